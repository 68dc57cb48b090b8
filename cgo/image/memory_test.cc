// What happens when memory runs out: each allocation of a call fails once, and the answer is a status, never a crash or a leak.
#include <sys/resource.h>

#include <fstream>
#include <vector>

#include "../status/testing_memory.h"
#include "guarded.h"
#include "testing.h"
#include "testing_jpeg.h"

namespace {

using namespace vidi::image::testing;

TEST(OutOfMemory, WithoutMemoryForAStatusAStaticOneStandsIn) {
  vidi_status* a = with_allocations(0, [] { return vidi::make_status(VIDI_SHAPE, "this text is too long for a small string"); }).release();
  vidi_status* b = with_allocations(0, [] { return vidi::guarded(VIDI_INTERNAL, [] { throw 42; }); }).release();
  EXPECT_EQ(a, b);
  EXPECT_EQ(vidi_status_code(a), VIDI_OUT_OF_MEMORY);
  EXPECT_STREQ(vidi_status_message(a), "not enough memory");
  vidi_status_free(a);
  vidi_status_free(b);
  EXPECT_STREQ(vidi_status_message(a), "not enough memory");  // freeing it does nothing
}

TEST(OutOfMemory, ResizeFailsCleanlyAtEachAllocation) {
  std::vector<uint8_t> pixels(16 * 16 * 4, 7), dst(8 * 8 * 3);
  vi_resize spec{8, 8, 0, 0, 8, 8, VI_BICUBIC, 0, {}};
  EXPECT_GE(allocations_until_success([&] { return vi_image_resize(pixels.data(), 16, 16, 64, &spec, dst.data(), dst.size()); }), 8);
  EXPECT_EQ(dst[0], 7);
}

TEST(OutOfMemory, JpegResizeFailsCleanlyAtEachAllocation) {
  const Bytes jpeg = encode({});
  std::vector<uint8_t> dst(8 * 8 * 3);
  vi_jpeg_limits limits{};
  vi_jpeg_report report;
  for (int32_t orientation : {1, 6}) {
    vi_resize spec{8, 8, 0, 0, 8, 8, VI_BILINEAR, orientation, {}};
    EXPECT_GE(allocations_until_success(
                  [&] { return vi_jpeg_resize(jpeg.data(), jpeg.size(), &limits, 8, &spec, dst.data(), dst.size(), &report); }),
              8);
  }
}

// libjpeg takes its memory from malloc, so that has to fail: in a process of its own, where 24 MB at once are too much.
void decode_with_little_memory() {
  JpegSpec spec;
  spec.progressive = true;
  std::vector<uint8_t> jpeg = with_size(encode(spec), 4096, 4096);  // needs 50 MB of coefficients
  std::vector<uint8_t> dst(512 * 512 * 4);
  vi_jpeg_limits limits{};
  vi_jpeg_report report;
#ifndef __SANITIZE_ADDRESS__
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{pages * 4096 + (24 << 20), RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &limit);
#endif
  Status status(vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 1, dst.data(), 512 * 4, dst.size(), &report));
  std::fprintf(stderr, "code %d: %s\n", vidi_status_code(status.get()), vidi_status_message(status.get()));
  std::exit(vidi_status_code(status.get()));
}

TEST(OutOfMemoryDeathTest, JpegDecoderWithoutMemoryReportsIt) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";  // a fresh process that reads the environment again
#ifdef __SANITIZE_ADDRESS__
  const char* before = std::getenv("ASAN_OPTIONS");
  std::string restore = before ? before : "";
  setenv("ASAN_OPTIONS", (restore + ":max_allocation_size_mb=24").c_str(), 1);
#endif
  EXPECT_EXIT(decode_with_little_memory(), ::testing::ExitedWithCode(VIDI_OUT_OF_MEMORY), "Insufficient memory");
#ifdef __SANITIZE_ADDRESS__
  before ? setenv("ASAN_OPTIONS", restore.c_str(), 1) : unsetenv("ASAN_OPTIONS");
#endif
}

}  // namespace
