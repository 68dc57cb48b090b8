// No model answers with memory that others have used.
#include <gtest/gtest.h>

#include "testing_module.h"

namespace {

using namespace tb::testing;

constexpr tb_engine kEngines[] = {TB_ENGINE_AUTO, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_PLAIN};

// It has libtorch take tensors from where memory is used again.
class Fills : public ::testing::Test {
 protected:
  void SetUp() override {
    tb_runtime runtime;
    ASSERT_OK(tb_runtime_init(&runtime));
  }
};

// Leaves blocks of every size behind that are full of sevens, as those of another picture would be.
void leave_memory() {
  for (int64_t n = 64; n <= 1 << 20; n *= 2) at::full({n}, 7.0f);
}

TEST_F(Fills, MemoryOfOthersIsNoAnswer) {
  for (const char* made : {
           "torch.empty([1, 30000])",
           "torch.empty_like(torch.cat([x, x], 2))",
           "torch.empty_strided([1, 30000], [30000, 1])",
           "torch.empty_permuted([1, 30000], [0, 1])",
           "x.new_empty([1, 30000])",
           "x.new_empty_strided([1, 30000], [30000, 1])",
           "torch.empty([1, 30000], out=torch.ones([1, 30000]))",
           "torch.as_strided(torch.empty_strided([2], [20000]), [20001], [1]).unsqueeze(0)",
           "self.helper(x)",
       })
    for (tb_engine engine : kEngines) {
      SCOPED_TRACE(std::string(made) + ", engine " + std::to_string(engine));
      leave_memory();
      Module module = loaded(archive("def helper(self, x):\n    return torch.empty([1, 30000])\n"
                                     "def forward(self, x):\n    return " +
                                     std::string(made) + "\n"),
                             engine);
      for (int i = 0; i < 4; i++) {
        leave_memory();
        at::Tensor answer;
        ASSERT_OK(forward(module, some_input(1, 64), &answer));
        EXPECT_EQ(answer.abs().max().item<float>(), 0);
      }
    }
}

// What a model writes into such a tensor stays.
TEST_F(Fills, WhatIsWrittenStays) {
  const char* code =
      "def forward(self, x):\n    y = torch.empty([1, 4])\n    y[0, 1] = 2.0\n    z = y.view([4])\n"
      "    z[2] = 3.0\n    return y\n";
  for (tb_engine engine : kEngines) {
    at::Tensor answer;
    ASSERT_OK(forward(loaded(archive(code), engine), some_input(1, 8), &answer));
    EXPECT_TRUE(answer.equal(at::tensor({0.0f, 2.0f, 3.0f, 0.0f}).view({1, 4}))) << answer;
  }
}

}  // namespace
