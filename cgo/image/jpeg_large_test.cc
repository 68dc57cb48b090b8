// Large JPEG files, whose upper rows are skipped in several steps: streaming gives the bytes that decoding the whole and resizing
// it gives. VIDI_JPEG=all takes every file (`make test-jpeg`), else each day takes a few of each kind, others than the day before.
#include <ctime>
#include <random>

#include "testing.h"
#include "testing_jpeg.h"
#include "testing_picture.h"

namespace {

using namespace vidi::image::testing;
using vidi::image::testing::Bytes;

constexpr int kFilesPerKind = 150, kFilesPerDay = 3;

// Every sampling, stored in one scan, in several, and with restart markers.
std::vector<JpegSpec> large_kinds() {
  std::vector<JpegSpec> kinds = jpeg_kinds();
  auto add = [&](const char* name, J_COLOR_SPACE stored, int h, int v) -> JpegSpec& { return add_kind(&kinds, name, stored, h, v); };
  add("YCbCr311", JCS_YCbCr, 3, 1);
  add("YCbCr1x3", JCS_YCbCr, 1, 3);
  add("YCbCr1x4", JCS_YCbCr, 1, 4);
  add("YCbCr2x4", JCS_YCbCr, 2, 4);
  add("Ycck422", JCS_YCCK, 2, 1);
  add("Progressive422", JCS_YCbCr, 2, 1).progressive = true;
  add("Progressive440", JCS_YCbCr, 1, 2).progressive = true;
  add("Progressive410", JCS_YCbCr, 4, 2).progressive = true;
  add("ProgressiveYcck", JCS_YCCK, 1, 1).progressive = true;
  add("ProgressiveRestart422", JCS_YCbCr, 2, 1).progressive = true;
  kinds.back().restart_rows = 2;
  add("RestartGrey", JCS_GRAYSCALE, 1, 1).restart_rows = 3;
  add("Restart444", JCS_YCbCr, 1, 1).restart_rows = 1;
  add("Restart422", JCS_YCbCr, 2, 1).restart_rows = 2;
  add("RestartCmyk", JCS_CMYK, 1, 1).restart_rows = 1;
  for (JpegSpec& kind : kinds) kind.cheap = true;
  return kinds;
}

struct Case {
  int width, height, eighths;
};

// File n of a kind. One in six is as large as cameras' pictures; the others are as small as a skip in several steps allows.
Case case_of(int n, int kind, std::mt19937* random) {
  static const int kMegapixels[] = {7, 12, 7, 24, 7, 12, 7, 50};
  auto between = [&](int low, int high) { return low + static_cast<int>((*random)() % static_cast<unsigned>(high - low + 1)); };
  double pixels = (n + kind) % 6 == 0 ? kMegapixels[(n / 6 + kind) % 8] * 1e6 : between(1100, 2600) * 1e3;
  double ratio = between(35, 300) / 100.0;  // height to width
  if (n % 3 == 1) ratio = between(200, 1600) / 100.0;
  int width = static_cast<int>(std::sqrt(pixels / ratio));
  return {width, static_cast<int>(pixels / width), 1 << (n + kind) % 4};
}

// A crop that lies far down in the stored picture, as wide as a strip or as the whole, or the usual one in the middle.
vi_resize crop_of(int64_t width, int64_t height, int orientation, int attempt, std::mt19937* random) {
  bool swapped = orientation >= 5;
  int64_t w = swapped ? height : width, h = swapped ? width : height;
  int64_t size = 24 + static_cast<int64_t>((*random)() % 233);
  vi_resize to = whole(w < h ? size : size * w / h, w < h ? size * h / w : size, attempt % 2 ? VI_BILINEAR : VI_BICUBIC);
  to.orientation = orientation;
  int64_t crop = std::max<int64_t>(size * 7 / 8, 1);
  to.crop_width = to.crop_height = crop;
  to.crop_x = (to.width - crop) / 2;
  to.crop_y = (to.height - crop) / 2;
  if (attempt == 0) return to;
  // Where the stored picture's lower edge lies once it is turned.
  int64_t thin = 1 + static_cast<int64_t>((*random)() % 24), in = static_cast<int64_t>((*random)() % 40);
  if (swapped) {
    to.crop_width = std::min(thin, to.width);
    to.crop_x = std::clamp<int64_t>(orientation == 6 || orientation == 7 ? in : to.width - thin - in, 0, to.width - to.crop_width);
  } else {
    to.crop_height = std::min(thin, to.height);
    to.crop_y = std::clamp<int64_t>(orientation == 3 || orientation == 4 ? in : to.height - thin - in, 0, to.height - to.crop_height);
  }
  return to;
}

Bytes streamed(const Bytes& jpeg, const vi_resize& to, int eighths) {
  size_t size = static_cast<size_t>(to.crop_width * to.crop_height * 3);
  auto dst = exact_buffer(size);
  vi_jpeg_limits limits{};
  vi_jpeg_report report{};
  EXPECT_OK(vi_jpeg_resize(jpeg.data(), jpeg.size(), &limits, eighths, &to, dst.get(), size, &report));
  EXPECT_EQ(report.warnings, 0);
  return Bytes(dst.get(), dst.get() + size);
}

class JpegLarge : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Kinds, JpegLarge, ::testing::Range(0, static_cast<int>(large_kinds().size())),
                         [](const auto& info) { return large_kinds()[static_cast<size_t>(info.param)].name; });

TEST_P(JpegLarge, IsTheSameAsDecodingTheWhole) {
  JpegSpec spec = large_kinds()[static_cast<size_t>(GetParam())];
  const char* asked = std::getenv("VIDI_JPEG");
  bool all = asked != nullptr && std::string(asked) == "all";
  int first = all ? 0 : static_cast<int>(std::time(nullptr) / 86400 * kFilesPerDay % kFilesPerKind);
  int count = all ? kFilesPerKind : kFilesPerDay;
  if (!all) std::printf("files %d to %d of 0 to %d; VIDI_JPEG=all takes the rest\n", first, first + count - 1, kFilesPerKind - 1);
  int64_t samples = 0, differing = 0;
  for (int n = first; n < first + count; n++) {
    std::mt19937 random(static_cast<unsigned>(n * 1000 + GetParam()));
    Case c = case_of(n, GetParam(), &random);
    spec.width = c.width;
    spec.height = c.height;
    Bytes jpeg = encode(spec);
    Pixels stored = blank((c.width * c.eighths + 7) / 8, (c.height * c.eighths + 7) / 8);
    vi_jpeg_limits limits{};
    vi_jpeg_report report{};
    ASSERT_OK(vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, c.eighths, stored.pixels.get(), stored.stride, stored.bytes, &report));
    for (int attempt = 0; attempt < 3; attempt++) {
      vi_resize to = crop_of(c.width, c.height, 1 + (n + attempt * 3) % 8, attempt, &random);
      Bytes got = streamed(jpeg, to, c.eighths);
      to.box = {0, 0, c.width * c.eighths / 8.0, c.height * c.eighths / 8.0};
      Bytes want = resized(stored, to);
      int64_t before = differing;
      for (size_t i = 0; i < want.size(); i++) differing += got[i] != want[i];
      samples += static_cast<int64_t>(want.size());
      EXPECT_EQ(differing, before) << "file " << n << ", " << c.width << " × " << c.height << ", " << c.eighths << " eighths, to "
                                   << to.width << " × " << to.height << ", crop " << to.crop_x << ", " << to.crop_y << ", " << to.crop_width
                                   << " × " << to.crop_height << ", orientation " << to.orientation;
    }
  }
  std::printf("%d files, %lld samples, %lld differ\n", count, static_cast<long long>(samples), static_cast<long long>(differing));
}

}  // namespace
