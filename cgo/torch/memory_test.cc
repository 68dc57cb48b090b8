// What happens when memory runs out: each allocation of a call fails once, and the answer is a status, never a crash or a leak.
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <new>

#include "status.h"
#include "testing.h"
#include "testing_jpeg.h"

namespace {

// How many allocations of this thread still succeed; negative: all.
thread_local int64_t allocations_left = -1;

void* allocate(size_t size, size_t alignment) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) allocations_left--;
  void* memory = alignment > alignof(std::max_align_t) ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                                                       : std::malloc(size ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

#ifdef __SANITIZE_ADDRESS__
// AddressSanitizer ends the process when an allocation fails; the tests want the error that malloc's callers make of it.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif

// Replaces the program's and libtorch's; AddressSanitizer still watches the malloc beneath. Not inlined, or GCC compares the free
// inside with the new outside.
[[gnu::noinline]] void* operator new(size_t size) { return allocate(size, 0); }
[[gnu::noinline]] void* operator new[](size_t size) { return allocate(size, 0); }
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t a) { return allocate(size, static_cast<size_t>(a)); }
[[gnu::noinline]] void* operator new[](size_t size, std::align_val_t a) { return allocate(size, static_cast<size_t>(a)); }
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace {

using tb::testing::Status;

template <typename Call>
Status with_allocations(int64_t n, Call&& call) {
  allocations_left = n;
  Status status(call());
  allocations_left = -1;
  return status;
}

// Calls with 0, 1, 2, … allocations allowed until it succeeds, and returns how many that took.
template <typename Call>
int64_t allocations_until_success(Call&& call) {
  for (int64_t n = 0; n < 1000; n++) {
    Status status = with_allocations(n, call);
    if (status == nullptr) return n;
    EXPECT_EQ(tb_status_code(status.get()), TB_OUT_OF_MEMORY) << tb_status_message(status.get());
    EXPECT_STREQ(tb_status_message(status.get()), "not enough memory");
  }
  return -1;
}

TEST(OutOfMemory, WithoutMemoryForAStatusAStaticOneStandsIn) {
  tb_status* a = with_allocations(0, [] { return tb::make_status(TB_SHAPE, "this text is too long for a small string"); }).release();
  tb_status* b = with_allocations(0, [] { return tb::guarded(TB_INTERNAL, [] { throw 42; }); }).release();
  EXPECT_EQ(a, b);
  EXPECT_EQ(tb_status_code(a), TB_OUT_OF_MEMORY);
  EXPECT_STREQ(tb_status_message(a), "not enough memory");
  tb_status_free(a);
  tb_status_free(b);
  EXPECT_STREQ(tb_status_message(a), "not enough memory");  // freeing it does nothing
}

TEST(OutOfMemory, ARefusalNeedsNoMemoryBeyondItsStatus) {
  // Even when it cannot be told what was wrong, the call fails.
  Status status = with_allocations(0, [] { return tb_thread_set_count(0); });
  ASSERT_NE(status, nullptr);
  EXPECT_EQ(tb_status_code(status.get()), TB_OUT_OF_MEMORY);
}

TEST(OutOfMemory, ResizeFailsCleanlyAtEachAllocation) {
  std::vector<uint8_t> pixels(16 * 16 * 4, 7), dst(8 * 8 * 3);
  tb_resize spec{8, 8, 0, 0, 8, 8, TB_BICUBIC, 0, {}};
  EXPECT_GE(allocations_until_success([&] { return tb_image_resize(pixels.data(), 16, 16, 64, &spec, dst.data(), dst.size()); }), 8);
  EXPECT_EQ(dst[0], 7);
}

TEST(OutOfMemory, JpegResizeFailsCleanlyAtEachAllocation) {
  const tb::testing::Bytes jpeg = tb::testing::encode({});
  std::vector<uint8_t> dst(8 * 8 * 3);
  tb_jpeg_limits limits{};
  tb_jpeg_report report;
  for (int32_t orientation : {1, 6}) {
    tb_resize spec{8, 8, 0, 0, 8, 8, TB_BILINEAR, orientation, {}};
    EXPECT_GE(allocations_until_success(
                  [&] { return tb_jpeg_resize(jpeg.data(), jpeg.size(), &limits, 8, &spec, dst.data(), dst.size(), &report); }),
              8);
  }
}

TEST(OutOfMemory, TensorsFailCleanlyAtEachAllocation) {
  std::vector<uint8_t> data(24);
  int64_t shape[] = {2, 3, 4};
  tb_tensor* out = nullptr;
  ASSERT_OK(tb_tensor_new(TB_UINT8, shape, 3, data.data(), 24, &out));  // libtorch's own first-time set-up is not what is tested
  tb_tensor_free(out);
  EXPECT_GE(allocations_until_success([&] { return tb_tensor_new(TB_UINT8, shape, 3, data.data(), 24, &out); }), 2);
  EXPECT_GE(allocations_until_success([&] {
              tb_tensor* same = nullptr;
              tb_status* status = tb_tensor_from_handle(tb_tensor_handle(out), &same);
              tb_tensor_free(same);
              return status;
            }),
            1);
  tb_tensor_free(out);

  const float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
  EXPECT_GE(allocations_until_success([&] { return tb_tensor_from_rgb(data.data(), 24, 1, 2, 4, mean, std, TB_FLOAT32, &out); }), 2);
  tb_tensor_free(out);
}

#ifdef __SANITIZE_ADDRESS__
// That the sanitisers are awake in this program: each finds what it is there for.
[[gnu::noinline]] tb_status* leak_a_status() { return tb::make_status(TB_INTERNAL, "leaked on purpose, and too long for a small string"); }

TEST(SanitisersDeathTest, FindLeaksOverflowsAndUndefinedBehaviour) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        for (int i = 0; i < 10; i++) leak_a_status();
        std::exit(0);
      },
      ::testing::ExitedWithCode(1), "detected memory leaks");
  volatile int size = 8;
  EXPECT_DEATH({ std::memset(tb::testing::exact_buffer(size).get(), 0, size + 1); }, "heap-buffer-overflow");
  EXPECT_DEATH({ size = INT32_MAX + size; }, "signed integer overflow");
}
#endif

// libjpeg takes its memory from malloc, so that has to fail: in a process of its own, where 24 MB at once are too much.
void decode_with_little_memory() {
  tb::testing::JpegSpec spec;
  spec.progressive = true;
  std::vector<uint8_t> jpeg = tb::testing::with_size(encode(spec), 4096, 4096);  // needs 50 MB of coefficients
  std::vector<uint8_t> dst(512 * 512 * 4);
  tb_jpeg_limits limits{};
  tb_jpeg_report report;
#ifndef __SANITIZE_ADDRESS__
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{pages * 4096 + (24 << 20), RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &limit);
#endif
  Status status(tb_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 1, dst.data(), 512 * 4, dst.size(), &report));
  std::fprintf(stderr, "code %d: %s\n", tb_status_code(status.get()), tb_status_message(status.get()));
  std::exit(tb_status_code(status.get()));
}

TEST(OutOfMemoryDeathTest, JpegDecoderWithoutMemoryReportsIt) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";  // a fresh process that reads the environment again
#ifdef __SANITIZE_ADDRESS__
  const char* before = std::getenv("ASAN_OPTIONS");
  std::string restore = before ? before : "";
  setenv("ASAN_OPTIONS", (restore + ":max_allocation_size_mb=24").c_str(), 1);
#endif
  EXPECT_EXIT(decode_with_little_memory(), ::testing::ExitedWithCode(TB_OUT_OF_MEMORY), "Insufficient memory");
#ifdef __SANITIZE_ADDRESS__
  before ? setenv("ASAN_OPTIONS", restore.c_str(), 1) : unsetenv("ASAN_OPTIONS");
#endif
}

}  // namespace
