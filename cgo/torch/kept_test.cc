// What a model keeps from one call to the next: bounded, and counted to the byte where nothing is kept.
#include <ATen/core/List.h>
#include <gtest/gtest.h>

#include "testing_module.h"

namespace {

using namespace tb::testing;

constexpr tb_engine kEngines[] = {TB_ENGINE_AUTO, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_PLAIN};
constexpr int64_t kMegabyte = 1 << 20;

class Kept : public ::testing::Test {
 protected:
  void SetUp() override {
    tb_runtime runtime;
    ASSERT_OK(tb_runtime_init(&runtime));
  }
};

// A module with a list, a tensor and a dictionary to keep something in.
std::string keeping(const std::string& what) {
  torch::jit::Module net("Net");
  net.register_attribute("training", c10::BoolType::get(), true);
  net.register_attribute("list", c10::ListType::ofTensors(), c10::List<at::Tensor>());
  net.register_attribute("tensor", c10::TensorType::get(), at::ones({1, 1}));
  c10::Dict<int64_t, std::string> numbers;
  net.register_attribute("texts", c10::DictType::create(c10::IntType::get(), c10::StringType::get()), numbers);
  net.define("def forward(self, x):\n    y = torch.relu(x.mean([2, 3]))\n    " + what + "\n    return y\n");
  return archive(net);
}

vidi_status* run(const Module& module, int64_t max_bytes, int64_t side = 8) {
  const tb_limits limits = {max_bytes, 0};
  at::Tensor answer;
  return forward(module, some_input(1, side), &answer, &limits);
}

TEST_F(Kept, WhatGrowsIsRefused) {
  for (const char* what : {
         "self.list.append(torch.ones([262144 + x.size(0)]))", "self.list.append(x)",
#if !defined(__SANITIZE_ADDRESS__)  // whose operator new counts nothing
             "for i in range(3000):\n        self.texts[len(self.texts)] = ','.join(['a', 'b', 'c']) + str(i)",
#endif
             "self.list.append(x)\n    assert len(self.list) == 0, 'after it was kept'"
       })
    for (tb_engine engine : kEngines) {
      SCOPED_TRACE(std::string(what) + " " + std::to_string(engine));
      Module module = loaded(keeping(what), engine);
      int calls = 0;
      std::string why;
      for (; calls < 200 && why.find("keeps memory") == std::string::npos; calls++) {
        Status status(run(module, 8 * kMegabyte, 256));
        why = vidi_status_message(status.get());
      }
      EXPECT_GT(calls, 4);
      EXPECT_LT(calls, 200);
      EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "the model keeps memory from one image to the next", run(module, 8 * kMegabyte));
    }
}

// Each call makes, frees or hands over something, and in the end nothing more is there.
TEST_F(Kept, WhatDoesNotGrowCountsNothing) {
  for (const char* what :
       {"pass", "self.tensor = y", "self.tensor = x", "y = self.tensor", "y = x", "y = self.tensor.expand([100, 1])",
        "self.tensor = y\n    y = y[:, :2]", "self.list.append(y.clone())\n    if len(self.list) > 4:\n        y = self.list.pop(0)",
        "self.texts[0] = str(len(self.list))", "self.tensor = x.mul(2.0)", "assert bool(y[0, 0] < -1.0), 'raised'"})
    for (tb_engine engine : kEngines) {
      SCOPED_TRACE(std::string(what) + " " + std::to_string(engine));
      Module module = loaded(keeping(what), engine);
      for (int i = 0; i < 8; i++) vidi_status_free(run(module, 0));
      const int64_t warm = tb_module_kept(module.get());
      for (int i = 0; i < 100; i++) vidi_status_free(run(module, 0));
      EXPECT_EQ(tb_module_kept(module.get()), warm);
    }
}

TEST_F(Kept, ForksCountTogether) {
  Module module = loaded(keeping("self.list.append(torch.ones([262144 + x.size(0)]))"), TB_ENGINE_FROZEN);
  tb_module* raw = nullptr;
  ASSERT_OK(tb_module_fork(module.get(), &raw));
  Module fork(raw);
  for (int i = 0; i < 20; i++) {
    ASSERT_OK(run(module, 32 * kMegabyte));
    if (i < 10) {
      ASSERT_OK(run(fork, 32 * kMegabyte));
    }
  }
  for (int i = 0; i < 4; i++) vidi_status_free(run(fork, 32 * kMegabyte));
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "keeps memory", run(module, 32 * kMegabyte));
}

}  // namespace
