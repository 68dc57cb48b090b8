// What one call may cost: memory of tensors, and time in loops.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "testing_module.h"

namespace {

using namespace tb::testing;

constexpr tb_engine kEngines[] = {TB_ENGINE_FUSED, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_PLAIN};
constexpr int64_t kMegabyte = 1 << 20;

// It has libtorch take tensors from where they are counted.
class Budget : public ::testing::Test {
 protected:
  void SetUp() override {
    tb_runtime runtime;
    ASSERT_OK(tb_runtime_init(&runtime));
  }
};

// A number above 1 in the first place has it do something.
std::string when_asked(const std::string& what) {
  return "def forward(self, x):\n    y = torch.relu(x)\n    if bool(x[0, 0, 0, 0] > 1.0):\n        " + what + "\n    return y\n";
}

at::Tensor picture(float first) {
  at::Tensor x = some_input(1, 8);
  x[0][0][0][0] = first;
  return x;
}

vidi_status* run(const Module& module, float first, int64_t max_bytes, int64_t max_ms) {
  const tb_limits limits = {max_bytes, max_ms};
  at::Tensor answer;
  return forward(module, picture(first), &answer, &limits);
}

Module warm(const std::string& source, tb_engine engine) {
  Module module = loaded(archive(source), engine);
  for (int i = 0; i < 4; i++) EXPECT_OK(run(module, 0, 0, 0));
  return module;
}

bool available(tb_engine engine) {
  return engine != TB_ENGINE_FUSED || tb_module_engine(loaded(archive(when_asked("y = y + 1")), TB_ENGINE_AUTO).get()) == engine;
}

TEST_F(Budget, LoopsThatNeverEndAreEnded) {
  for (const char* loop :
       {"while bool(y.sum() < 1e30):\n            y = y * 1.0",
        "i = 0\n        while i >= 0:\n            i = (i + 1) % 7\n        y = y + i",
        "while bool(y[0, 0, 0, 0] < 1e30):\n            y.clamp_(0.0, 1.0)",
        "i = 0\n        while i >= 0:\n            for j in range(3):\n                i = (i + j) % 7\n        y = y + i"})
    for (tb_engine engine : kEngines) {
      if (!available(engine)) continue;
      Module module = warm(when_asked(loop), engine);
      const auto begun = std::chrono::steady_clock::now();
      EXPECT_FAILS(VIDI_TOO_SLOW, "not done in 200 ms", run(module, 2, 0, 200));
      EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(150));
      EXPECT_OK(run(module, 0, 0, 200));  // and it goes on
    }
}

TEST_F(Budget, MemoryIsBounded) {
  for (const char* hog :
       {"l = [y]\n        for i in range(100000):\n            l.append(torch.ones([x.size(3) * 125000]))\n        y = l[-1]",
        "y = torch.zeros([1, x.size(3) * 250000000])", "y = torch.zeros([x.size(3) << 38])"})
    for (tb_engine engine : kEngines) {
      if (!available(engine)) continue;
      Module module = warm(when_asked(hog), engine);
      EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "more than the 100 MB", run(module, 2, 100 * kMegabyte, 0));
      EXPECT_LE(tb_module_peak(module.get()), 100 * kMegabyte);
      EXPECT_OK(run(module, 0, 100 * kMegabyte, 0));
    }
}

TEST_F(Budget, SmallTensorsCountWithWhatTheyCostBeside) {
  Module module =
      warm(when_asked("l = [y]\n        for i in range(1000000):\n            l.append(y[0, 0, 0, 0] + 1.0)\n        y = l[-1]"),
           TB_ENGINE_FROZEN);
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "more than the 10 MB", run(module, 2, 10 * kMegabyte, 0));
}

TEST_F(Budget, OthersAreNotCharged) {
  Module hog = warm(when_asked("y = torch.zeros([1, x.size(3) * 250000000])"), TB_ENGINE_FROZEN),
         good = warm(when_asked("y = y + 1"), TB_ENGINE_FROZEN);
  std::thread other([&] {
    for (int i = 0; i < 200; i++) EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "", run(hog, 2, kMegabyte, 0));
  });
  for (int i = 0; i < 200; i++) EXPECT_OK(run(good, 2, kMegabyte, 0));
  other.join();
}

// What is made in one call and freed in another must not add up.
TEST_F(Budget, ManyCallsAreAsCheapAsOne) {
  Module module = warm(when_asked("y = y + 1"), TB_ENGINE_FROZEN);
  for (int i = 0; i < 3000; i++) ASSERT_OK(run(module, 2, kMegabyte, 0));
  EXPECT_LE(tb_module_peak(module.get()), kMegabyte);
  EXPECT_GT(tb_module_peak(module.get()), 0);
}

TEST_F(Budget, ConstantsAreNotComputedAheadBeyondTheLimit) {
  const std::string bytes = archive("def forward(self, x):\n    return torch.relu(x) + torch.ones([100000000])[:8]\n");
  for (tb_engine engine : kEngines) {
    if (!available(engine)) continue;
    auto exact = exact_buffer(bytes.size());
    std::memcpy(exact.get(), bytes.data(), bytes.size());
    const tb_module_options options{engine, TB_FLOAT32, 200 * kMegabyte};
    tb_module* raw = nullptr;
    ASSERT_OK(tb_module_load_bytes(exact.get(), bytes.size(), nullptr, &options, &raw));
    Module module(raw);
    // They are computed in each run instead, which has limits of its own.
    EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "more than the 200 MB", run(module, 0, 200 * kMegabyte, 0));
    EXPECT_OK(run(module, 0, 500 * kMegabyte, 0));
  }
}

TEST_F(Budget, WeightsBeyondTheLimitAreRefused) {
  torch::jit::Module net("Net");
  net.register_parameter("w", at::ones({4 * kMegabyte}), false);
  net.define("def forward(self, x):\n    return x + self.w[0]\n");
  const std::string bytes = archive(net);
  const tb_module_options options{TB_ENGINE_FROZEN, TB_FLOAT32, kMegabyte};
  tb_module* raw = nullptr;
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "more than the 1 MB", tb_module_load_bytes(bytes.data(), bytes.size(), nullptr, &options, &raw));
  EXPECT_EQ(raw, nullptr);
}

}  // namespace
