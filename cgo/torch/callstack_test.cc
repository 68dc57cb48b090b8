// Operators that throw inside helper methods, which freezing removes: the error comes back, with its traceback.
#include "testing_module.h"

namespace {

using namespace tb::testing;

// Each method fails for an input of its own: of more than so many elements.
const char* kHelpers = R"(
def forward(self, x):
    return self._forward_impl(x)

def _forward_impl(self, x):
    if x.numel() > 1:
        x = self._last(self._first(x))
    for i in range(2):
        x = self._in_a_loop(x)
    return x

def _first(self, x):
    assert x.numel() < 6, "too many for the first helper"
    return x.view([-1]) * 1

def _last(self, x):
    if x.numel() == 5:
        x = torch.matmul(x.view([1, 5]), x.view([1, 5]))
    if x.numel() == 4:
        x = torch.zeros([70368744177664]) + x
    return x + 0

def _in_a_loop(self, x):
    if x.numel() == 3:
        x = torch.relu(x.view([2, 2]))
    return x
)";

void expect_errors(const Module& module, at::ScalarType type) {
  at::Tensor y;
  auto x = [type](int64_t count) { return at::ones({count}, type); };
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "too many for the first helper", forward(module, x(6), &y));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "cannot be multiplied", forward(module, x(5), &y));
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "can't allocate memory", forward(module, x(4), &y));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "invalid for input of size 3", forward(module, x(3), &y));
  EXPECT_OK(forward(module, x(2), &y));
}

class HelperTest : public ::testing::TestWithParam<std::tuple<int32_t, int32_t>> {};
INSTANTIATE_TEST_SUITE_P(Engines, HelperTest,
                         ::testing::Combine(::testing::Values(TB_ENGINE_PLAIN, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_AUTO),
                                            ::testing::Values(TB_FLOAT32, TB_BFLOAT16)));

TEST_P(HelperTest, ErrorsInsideComeBackBeforeWhileAndAfterItIsCompiled) {
  auto [engine, precision] = GetParam();
  Module module = loaded(archive(kHelpers), engine, precision);
  const auto type = static_cast<at::ScalarType>(precision);
  for (int run = 0; run < 4; run++) expect_errors(module, type);
  tb_module* raw = nullptr;
  ASSERT_OK(tb_module_fork(module.get(), &raw));
  Module fork(raw);
  module.reset();
  for (int run = 0; run < 4; run++) expect_errors(fork, type);
}

TEST_P(HelperTest, TheTracebackNamesTheHelpers) {
  auto [engine, precision] = GetParam();
  Module module = loaded(archive(kHelpers), engine, precision);
  Tensor in = wrapped(at::ones({6}, static_cast<at::ScalarType>(precision)));
  tb_tensor* out = nullptr;
  Status status(tb_module_forward(module.get(), in.get(), nullptr, &out));
  const std::string detail = vidi_status_detail(status.get());
  for (const char* name : {"in forward", "in _forward_impl"}) EXPECT_NE(detail.find(name), std::string::npos) << detail;
}

// A model that writes to training keeps the attribute, and is frozen twice by the optimised engine.
TEST_P(HelperTest, AModelThatIsFrozenTwice) {
  auto [engine, precision] = GetParam();
  Module module = loaded(archive(R"(
def forward(self, x):
    self.training = False
    return self.helper(x)

def helper(self, x):
    return torch.matmul(x, x) if x.dim() == 2 else x * 2
)"),
                         engine, precision);
  const auto type = static_cast<at::ScalarType>(precision);
  at::Tensor y;
  for (int run = 0; run < 4; run++) {
    EXPECT_FAILS(VIDI_FORWARD_FAILED, "cannot be multiplied", forward(module, at::ones({2, 3}, type), &y));
    EXPECT_OK(forward(module, at::ones({2}, type), &y));
  }
}

}  // namespace
