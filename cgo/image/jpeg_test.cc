// JPEG decoding of good files: the pixels, the sizes, and not one byte outside the buffer.
#include <sstream>
#include <thread>

#include "testing.h"
#include "testing_jpeg.h"

namespace {

using namespace vidi::image::testing;

struct Decoded {
  vi_jpeg_info info;
  vi_jpeg_report report;
  int width, height;
  std::unique_ptr<uint8_t[]> pixels;  // rows without padding
};

vi_jpeg_info probed(const Bytes& jpeg) {
  vi_jpeg_info info{};
  EXPECT_OK(vi_jpeg_probe(jpeg.data(), jpeg.size(), &info));
  return info;
}

Decoded decoded(const Bytes& jpeg, int eighths = 8) {
  Decoded d;
  d.info = probed(jpeg);
  d.width = (d.info.width * eighths + 7) / 8;
  d.height = (d.info.height * eighths + 7) / 8;
  size_t size = static_cast<size_t>(d.width) * d.height * 4;
  d.pixels = exact_buffer(size);
  vi_jpeg_limits limits = no_limits();
  EXPECT_OK(vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, eighths, d.pixels.get(), d.width * 4, size, &d.report));
  return d;
}

// The number of pixels that differ from those of `want` (RGB) or are not opaque.
int64_t different_pixels(const Decoded& got, const Picture& want) {
  EXPECT_EQ(got.width, want.width);
  EXPECT_EQ(got.height, want.height);
  EXPECT_EQ(want.channels, 3);
  int64_t different = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(want.width) * want.height; i++)
    different += std::memcmp(&got.pixels[4 * i], &want.samples[3 * i], 3) != 0 || got.pixels[4 * i + 3] != 255;
  return different;
}

// Pillow's way from a CMYK file to RGB: samples inverted as "CMYK;I" unpacks them, then cmyk2rgb of libImaging/Convert.c.
Picture as_pillow_shows_cmyk(const Picture& cmyk) {
  Picture rgb{cmyk.width, cmyk.height, 3, {}, {}};
  for (size_t i = 0; i < cmyk.samples.size(); i += 4) {
    int white = 255 - static_cast<uint8_t>(~cmyk.samples[i + 3]);
    for (int c = 0; c < 3; c++) {
      int product = static_cast<uint8_t>(~cmyk.samples[i + c]) * white + 128;
      rgb.samples.push_back(static_cast<uint8_t>(std::max(0, white - (((product >> 8) + product) >> 8))));
    }
  }
  return rgb;
}

Picture expected(const JpegSpec& spec, const Bytes& jpeg, int eighths = 8) {
  if (spec.stored == JCS_CMYK || spec.stored == JCS_YCCK) return as_pillow_shows_cmyk(decode_plainly(jpeg, JCS_CMYK, eighths));
  return decode_plainly(jpeg, JCS_RGB, eighths);
}

TEST(Jpeg, PixelsAreThoseThatPillowShows) {
  std::vector<std::string> lines = testdata("jpeg.txt");
  EXPECT_EQ(lines.size(), 7u);
  for (const std::string& line : lines) {
    std::istringstream fields(line);
    std::string name, hash, hex;
    int width, height;
    ASSERT_TRUE(fields >> name >> width >> height >> hash >> hex) << line;
    Bytes jpeg, rgb;
    for (size_t i = 0; i < hex.size(); i += 2) jpeg.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    Decoded d = decoded(jpeg);
    ASSERT_EQ(d.width, width);
    ASSERT_EQ(d.height, height);
    for (int i = 0; i < width * height; i++) rgb.insert(rgb.end(), &d.pixels[4 * i], &d.pixels[4 * i + 3]);
    EXPECT_EQ(fnv(rgb.data(), rgb.size()), std::stoull(hash, nullptr, 16)) << name;
  }
}

class JpegKind : public ::testing::TestWithParam<JpegSpec> {};
INSTANTIATE_TEST_SUITE_P(Kinds, JpegKind, ::testing::ValuesIn(jpeg_kinds()), [](const auto& info) { return info.param.name; });

TEST_P(JpegKind, ProbeTellsSizeColoursAndScans) {
  JpegSpec spec = GetParam();
  spec.width = 123;
  spec.height = 45;
  vi_jpeg_info info = probed(encode(spec));
  EXPECT_EQ(info.width, 123);
  EXPECT_EQ(info.height, 45);
  EXPECT_EQ(info.progressive, spec.progressive);
  EXPECT_EQ(info.colors, spec.stored == JCS_GRAYSCALE                         ? VI_JPEG_GRAY
                         : spec.stored == JCS_CMYK || spec.stored == JCS_YCCK ? VI_JPEG_CMYK
                                                                              : VI_JPEG_RGB);
  EXPECT_GT(info.decoder_bytes, 0);
}

TEST_P(JpegKind, PixelsAreThoseOfThePlainLibrary) {
  const int sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {7, 5}, {16, 16}, {17, 33}, {120, 75}};
  for (auto [width, height] : sizes) {
    JpegSpec spec = GetParam();
    spec.width = width;
    spec.height = height;
    Bytes jpeg = encode(spec);
    Decoded d = decoded(jpeg);
    EXPECT_EQ(different_pixels(d, expected(spec, jpeg)), 0) << width << " × " << height;
    EXPECT_EQ(d.report.warnings, 0);
    EXPECT_STREQ(d.report.first_warning, "");
  }
}

TEST_P(JpegKind, ScaledPixelsAreThoseOfThePlainLibrary) {
  for (int eighths : {1, 2, 4}) {
    JpegSpec spec = GetParam();
    spec.width = 83;
    spec.height = 61;
    Bytes jpeg = encode(spec);
    EXPECT_EQ(different_pixels(decoded(jpeg, eighths), expected(spec, jpeg, eighths)), 0) << eighths << " eighths";
  }
}

TEST_P(JpegKind, TheEstimateOfTheDecodersMemoryIsEnoughAndNotFarOff) {
  JpegSpec spec = GetParam();
  spec.width = 700;
  spec.height = 500;
  Bytes jpeg = encode(spec);
  vi_jpeg_info info = probed(jpeg);
  auto dst = exact_buffer(700 * 500 * 4);
  vi_jpeg_report report;
  vi_jpeg_limits limits = no_limits();
  limits.max_decoder_bytes = info.decoder_bytes;
  EXPECT_OK(vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 8, dst.get(), 2800, 700 * 500 * 4, &report));
  if (!spec.progressive) return;
  limits.max_decoder_bytes = info.decoder_bytes / 2;
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "more memory than allowed",
               vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 8, dst.get(), 2800, 700 * 500 * 4, &report));
}

TEST(Jpeg, PaddingBetweenRowsStaysUntouched) {
  Bytes jpeg = encode(jpeg_kind("YCbCr420"));
  vi_jpeg_info info = probed(jpeg);
  size_t stride = info.width * 4 + 13, size = stride * (info.height - 1) + info.width * 4;
  auto dst = exact_buffer(size, 0x5A);
  vi_jpeg_limits limits = no_limits();
  vi_jpeg_report report;
  ASSERT_OK(vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 8, dst.get(), stride, size, &report));
  Decoded packed = decoded(jpeg);
  for (int y = 0; y < info.height; y++) {
    EXPECT_EQ(std::memcmp(&dst[y * stride], &packed.pixels[y * info.width * 4], info.width * 4), 0);
    for (size_t x = info.width * 4; y + 1 < info.height && x < stride; x++) ASSERT_EQ(dst[y * stride + x], 0x5A);
  }
}

TEST(Jpeg, TheBufferMayNotBeOneByteShort) {
  Bytes jpeg = encode(jpeg_kind("YCbCr444"));
  vi_jpeg_info info = probed(jpeg);
  size_t row = info.width * 4, exact = row * info.height;
  vi_jpeg_limits limits = no_limits();
  vi_jpeg_report report;
  auto attempt = [&](size_t stride, size_t size) {
    auto dst = exact_buffer(size);
    return vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 8, dst.get(), stride, size, &report);
  };
  EXPECT_OK(attempt(row, exact));
  EXPECT_OK(attempt(row + 1, exact + info.height - 1));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small", attempt(row, exact - 1));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small", attempt(row + 1, exact + info.height - 2));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small", attempt(row - 1, exact));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small", attempt(0, exact));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small", attempt(SIZE_MAX, exact));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small", attempt(row, 1));
}

TEST(Jpeg, ScaledSizesAreRoundedUp) {
  JpegSpec spec = jpeg_kind("YCbCr444");
  spec.width = 33;
  spec.height = 17;
  Bytes jpeg = encode(spec);
  const int sizes[][3] = {{8, 33, 17}, {4, 17, 9}, {2, 9, 5}, {1, 5, 3}};
  for (auto [eighths, width, height] : sizes) {
    Decoded d = decoded(jpeg, eighths);  // its buffer is exact: a larger picture would overrun it
    EXPECT_EQ(d.width, width);
    EXPECT_EQ(d.height, height);
    vi_jpeg_limits limits = no_limits();
    size_t size = static_cast<size_t>(width) * height * 4 - 1;
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too small",
                 vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, eighths, d.pixels.get(), width * 4, size, &d.report));
  }
}

TEST(Jpeg, OtherScalesAreRefused) {
  Bytes jpeg = encode({}), dst(48 * 40 * 4 * 4);
  vi_jpeg_limits limits = no_limits();
  vi_jpeg_report report;
  for (int eighths : {0, 3, 5, 6, 7, 9, 16, -1, INT32_MAX, INT32_MIN})
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "eighths",
                 vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, eighths, dst.data(), 48 * 4, dst.size(), &report));
}

TEST(Jpeg, NullsAreRefused) {
  Bytes jpeg = encode({}), dst(48 * 40 * 4);
  vi_jpeg_limits l = no_limits();
  vi_jpeg_report r;
  vi_jpeg_info info;
  const uint8_t* data = jpeg.data();
  size_t n = jpeg.size();
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_probe(nullptr, n, &info));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_probe(data, n, nullptr));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_decode(nullptr, n, &l, 8, dst.data(), 192, dst.size(), &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_decode(data, n, nullptr, 8, dst.data(), 192, dst.size(), &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_decode(data, n, &l, 8, nullptr, 192, dst.size(), &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_decode(data, n, &l, 8, dst.data(), 192, dst.size(), nullptr));
}

TEST(Jpeg, DataAfterTheEndIsIgnored) {
  Bytes jpeg = encode({}), longer = jpeg;
  longer.resize(longer.size() + 1000, 0xFF);
  longer.insert(longer.end(), jpeg.begin(), jpeg.end());
  EXPECT_EQ(different_pixels(decoded(longer), decode_plainly(jpeg, JCS_RGB)), 0);
}

TEST(Jpeg, SeveralThreadsDecodeAtOnce) {
  std::vector<JpegSpec> kinds = jpeg_kinds();
  std::vector<int64_t> different(4, -1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      different[t] = 0;
      for (const JpegSpec& spec : kinds) {
        Bytes jpeg = encode(spec);
        different[t] += different_pixels(decoded(jpeg), expected(spec, jpeg));
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(different, std::vector<int64_t>(4, 0));
}

}  // namespace
