// Where tensors' elements lie: blocks that are used again, by any thread, and go back to the system when they are asked to.
#include "allocator.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <thread>

#include "testing.h"

namespace {

using namespace tb::testing;

constexpr size_t kMegabyte = size_t{1} << 20;

class Allocator : public ::testing::Test {
 protected:
  void SetUp() override {
    tb_runtime runtime;
    ASSERT_OK(tb_runtime_init(&runtime));
    tb::trim_allocator();
  }
  void TearDown() override { tb::trim_allocator(); }
  c10::DataPtr elements(size_t n) { return c10::GetCPUAllocator()->allocate(n); }
};

// Memory of this process that is not a file's, in bytes.
int64_t resident() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (int64_t kilobytes; word == "RssAnon:" && status >> kilobytes) return kilobytes << 10;
  ADD_FAILURE() << "/proc/self/status has no RssAnon";
  return 0;
}

TEST_F(Allocator, EverySizeIsAlignedAndHoldsWhatIsWritten) {
  for (size_t power = 0; power <= 27; power++) {
    tb::trim_allocator();
    for (size_t n :
         {(size_t{1} << power) - 1, size_t{1} << power, (size_t{1} << power) + 1, (size_t{5} << power) / 4, (size_t{7} << power) / 4}) {
      // Two of a size must not share a byte, nor the second use of a block touch another's.
      auto first = elements(n), second = elements(n);
      EXPECT_EQ(first.get(), first.get_context()) << n;  // libtorch frees by the address alone
      if (n == 0) {
        EXPECT_EQ(first.get(), nullptr);
        continue;
      }
      EXPECT_EQ(reinterpret_cast<uintptr_t>(first.get()) % 64, 0u) << n;
      std::memset(first.get(), 1, n);
      std::memset(second.get(), 2, n);
      auto* bytes = static_cast<uint8_t*>(first.get());
      ASSERT_EQ(std::count(bytes, bytes + n, 1), static_cast<int64_t>(n)) << n;
    }
  }
}

TEST_F(Allocator, TheNextOfASizeGetsTheBlockOfTheLast) {
  for (size_t n : {16 * 1024 - 64, 100'000, 3'211'264, 64 * int(kMegabyte) - 64}) {
    void* first;
    {
      auto held = elements(n);
      first = held.get();
    }
    auto again = elements(n);
    EXPECT_EQ(again.get(), first) << n;
    auto another = elements(n);
    EXPECT_NE(another.get(), first) << n;
  }
}

TEST_F(Allocator, TrimmingGivesWhatIsFreeToTheSystem) {
  const size_t n = 40 * kMegabyte;
  auto kept = elements(n);
  std::memset(kept.get(), 7, n);
  {
    auto freed = elements(n);
    std::memset(freed.get(), 1, n);
  }
  const int64_t before = resident();
  tb::trim_allocator();
  EXPECT_LE(resident(), before - static_cast<int64_t>(n * 3 / 4));
  EXPECT_EQ(static_cast<uint8_t*>(kept.get())[n - 1], 7);
}

TEST_F(Allocator, ThreadsFreeWhatOthersMade) {
  struct Filled {
    at::Tensor tensor;
    int value;
  };
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::vector<Filled> left;  // by one thread for another
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; i++) {
        Filled mine{at::empty({20'000 + 1000 * (i % 7)}, at::kInt), t * 2000 + i}, theirs{};
        mine.tensor.fill_(mine.value);
        {
          std::lock_guard<std::mutex> lock(mutex);
          left.push_back(std::move(mine));
          if (left.size() < 8) continue;
          theirs = std::move(left.front());
          left.erase(left.begin());
        }
        const auto* values = theirs.tensor.data_ptr<int>();
        for (int64_t k = 0; k < theirs.tensor.numel(); k += 97) wrong += values[k] != theirs.value;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Allocator, WhatCannotBeHadIsLibtorchsOwnError) {
  for (size_t n : {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2}) EXPECT_THROW(elements(n), c10::Error) << n;
  EXPECT_EQ(at::zeros({1 << 20}).sum().item<float>(), 0);  // and life goes on
}

TEST_F(Allocator, ARefusedModelLeavesNothing) {
  std::string big(8 * kMegabyte, 'x');
  const int64_t before = resident();
  { at::zeros({static_cast<int64_t>(8 * kMegabyte)}); }  // 32 MiB that nobody uses any more
  EXPECT_GE(resident(), before + static_cast<int64_t>(24 * kMegabyte));
  tb_module* module = nullptr;
  tb_module_options options = {};
  options.precision = TB_FLOAT32;
  EXPECT_FAILS(VIDI_BAD_MODEL, "", tb_module_load_bytes(big.data(), big.size(), nullptr, &options, &module));
  EXPECT_LE(resident(), before + static_cast<int64_t>(12 * kMegabyte));
}

#ifdef __SANITIZE_ADDRESS__
TEST_F(Allocator, AddressSanitizerSeesABlocksEnds) {
  for (size_t n : {600, 600'000}) {
    auto held = elements(n);
    auto* bytes = static_cast<volatile uint8_t*>(held.get());
    EXPECT_DEATH(bytes[n] = 1, "AddressSanitizer") << n;
    EXPECT_DEATH(bytes[-1] = 1, "AddressSanitizer") << n;
    held.clear();
    EXPECT_DEATH(bytes[0] = 1, "AddressSanitizer") << n;
  }
}
#endif

}  // namespace
