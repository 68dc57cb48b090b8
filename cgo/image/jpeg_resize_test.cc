// JPEG straight to the crop: the same bytes as decoding the whole, turning it and resizing it, whatever the file and the crop.
#include <ctime>
#include <random>

#include "testing.h"
#include "testing_jpeg.h"
#include "testing_picture.h"

namespace {

using namespace vidi::image::testing;
using vidi::image::testing::Bytes;

struct Random {
  std::mt19937 engine{20260801};
  int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(engine() % static_cast<uint64_t>(high - low + 1)); }
};

// What a call gave: its crop, or why not.
struct Result {
  vidi_code code = VIDI_OK;
  std::string message;
  Bytes rgb;
  vi_jpeg_report report{};
};

Result streamed(const Bytes& jpeg, const vi_resize& to, int eighths = 8, const vi_jpeg_limits& limits = {}) {
  auto exact = exact_buffer(jpeg.size());  // reading past the file is an error
  std::memcpy(exact.get(), jpeg.data(), jpeg.size());
  size_t size = static_cast<size_t>(to.crop_width * to.crop_height * 3);
  auto dst = exact_buffer(size);
  Result r;
  Status status(vi_jpeg_resize(exact.get(), jpeg.size(), &limits, eighths, &to, dst.get(), size, &r.report));
  r.code = vidi_status_code(status.get());
  r.message = vidi_status_message(status.get());
  if (status == nullptr) r.rgb.assign(dst.get(), dst.get() + size);
  return r;
}

// By the two functions that it stands for, and a turn between them.
Result in_steps(const Bytes& jpeg, vi_resize to, int eighths = 8) {
  vi_jpeg_info info{};
  EXPECT_OK(vi_jpeg_probe(jpeg.data(), jpeg.size(), &info));
  Pixels stored = blank((info.width * eighths + 7) / 8, (info.height * eighths + 7) / 8);
  Result r;
  vi_jpeg_limits limits{};
  Status status(vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, eighths, stored.pixels.get(), stored.stride, stored.bytes, &r.report));
  r.code = vidi_status_code(status.get());
  r.message = vidi_status_message(status.get());
  if (status != nullptr) return r;
  vi_box box{0, 0, info.width * eighths / 8.0, info.height * eighths / 8.0};
  to.box = turned(box, stored.width, stored.height, to.orientation);
  Pixels upright = turned(stored, to.orientation);
  to.orientation = 1;
  r.rgb = resized(upright, to);
  return r;
}

// torchvision's Resize(size) and CenterCrop(crop) of the upright picture.
vi_resize centre(int64_t width, int64_t height, int64_t size, int64_t crop, vi_filter filter) {
  vi_resize to = whole(width < height ? size : size * width / height, width < height ? size * height / width : size, filter);
  to.crop_x = (to.width - crop) / 2;
  to.crop_y = (to.height - crop) / 2;
  to.crop_width = to.crop_height = crop;
  return to;
}

vi_resize any_resize(Random& random, int64_t width, int64_t height, int attempt) {
  auto filter = attempt % 2 ? VI_BILINEAR : VI_BICUBIC;
  int64_t crop = random.between(1, 64);
  switch (attempt % 5) {
    case 0:
      return centre(width, height, crop, crop, filter);
    case 1:
      return whole(random.between(1, 90), random.between(1, 90), filter);
    case 2: {  // a corner or a spot
      vi_resize to = whole(random.between(1, 300), random.between(1, 300), filter);
      to.crop_width = random.between(1, std::min<int64_t>(to.width, 40));
      to.crop_height = random.between(1, std::min<int64_t>(to.height, 40));
      to.crop_x = random.between(0, to.width - to.crop_width);
      to.crop_y = random.between(0, to.height - to.crop_height);
      return to;
    }
    default:
      return centre(width, height, crop * 8 / 7, crop, filter);
  }
}

class JpegResizeKind : public ::testing::TestWithParam<JpegSpec> {};
INSTANTIATE_TEST_SUITE_P(Kinds, JpegResizeKind, ::testing::ValuesIn(jpeg_kinds()), [](const auto& info) { return info.param.name; });

TEST_P(JpegResizeKind, IsTheSameAsDecodingTheWhole) {
  Random random;
  for (int i = 0; i < 40; i++) {
    JpegSpec spec = GetParam();
    const int64_t longest = i % 8 == 0 ? 700 : 200;
    spec.width = static_cast<int>(i % 7 == 1 ? random.between(1, 9) : random.between(1, longest));
    spec.height = static_cast<int>(i % 7 == 2 ? random.between(1, 9) : random.between(1, longest));
    Bytes jpeg = encode(spec);
    for (int orientation = 1; orientation <= 8; orientation++) {
      bool swapped = orientation >= 5;
      vi_resize to = any_resize(random, swapped ? spec.height : spec.width, swapped ? spec.width : spec.height, i + orientation);
      to.orientation = orientation;
      Result got = streamed(jpeg, to);
      ASSERT_EQ(got.message, "");
      EXPECT_EQ(got.report.warnings, 0);
      ASSERT_EQ(got.rgb, in_steps(jpeg, to).rgb)
          << spec.width << " × " << spec.height << " to " << to.width << " × " << to.height << ", crop " << to.crop_x << ", " << to.crop_y
          << ", " << to.crop_width << " × " << to.crop_height << ", orientation " << orientation;
    }
  }
}

TEST_P(JpegResizeKind, ScaledItIsTheSameAsDecodingTheWholeScaled) {
  Random random;
  for (int i = 0; i < 24; i++) {
    JpegSpec spec = GetParam();
    spec.width = static_cast<int>(random.between(1, 400));
    spec.height = static_cast<int>(random.between(1, 400));
    Bytes jpeg = encode(spec);
    int eighths = 1 << i % 3;
    vi_resize to = any_resize(random, spec.width, spec.height, i);
    to.orientation = 1 + i % 8;
    ASSERT_EQ(streamed(jpeg, to, eighths).rgb, in_steps(jpeg, to, eighths).rgb)
        << spec.width << " × " << spec.height << ", " << eighths << " eighths, orientation " << to.orientation;
  }
}

// The file cut off after its first scans and ended properly: libjpeg smooths what it has over the edges of blocks.
TEST(JpegResize, AProgressiveFileThatLacksScansIsTheSameToo) {
  int smoothed = 0;
  for (const char* kind : {"Progressive444", "Progressive420", "ProgressiveGrey"}) {
    JpegSpec spec = jpeg_kind(kind);
    spec.width = 333;
    spec.height = 222;
    Bytes jpeg = encode(spec);
    for (size_t at = find_marker(jpeg, 0xDA) + 2; at + 1 < jpeg.size(); at++) {
      if (jpeg[at] != 0xFF || jpeg[at + 1] != 0xDA) continue;
      Bytes part(jpeg.begin(), jpeg.begin() + static_cast<int64_t>(at));
      part.insert(part.end(), {0xFF, 0xD9});
      vi_resize to = centre(spec.width, spec.height, 128, 32, VI_BILINEAR);
      Result got = streamed(part, to), want = in_steps(part, to);
      ASSERT_EQ(got.rgb, want.rgb) << kind << " cut at " << at;
      smoothed++;
    }
  }
  EXPECT_GT(smoothed, 10);
}

TEST(JpegResize, TheBoxIsInPixelsOfTheStoredPictureAtFullSize) {
  JpegSpec spec = jpeg_kind("YCbCr420");
  spec.width = 161;
  spec.height = 99;
  Bytes jpeg = encode(spec);
  for (int eighths : {8, 4, 2, 1})
    for (int orientation : {1, 6}) {
      vi_resize to = whole(40, 30, VI_BILINEAR);
      to.orientation = orientation;
      Bytes all = streamed(jpeg, to, eighths).rgb;
      to.box = {0, 0, 161, 99};
      EXPECT_EQ(streamed(jpeg, to, eighths).rgb, all);
      to.box = {80, 40, 161, 99};
      Result part = streamed(jpeg, to, eighths);
      EXPECT_EQ(part.code, VIDI_OK);
      EXPECT_NE(part.rgb, all);
      to.box = {0, 0, 161.5, 99};
      EXPECT_EQ(streamed(jpeg, to, eighths).code, VIDI_INVALID_ARGUMENT) << eighths;
    }
}

// Damage and ends.

// A picture whose crop lies in the middle, with rows above and below that are not needed.
struct Portrait {
  Bytes jpeg;
  vi_resize to;
  explicit Portrait(const char* kind) {
    JpegSpec spec = jpeg_kind(kind);
    spec.width = 96;
    spec.height = 400;
    jpeg = encode(spec);
    to = centre(96, 400, 32, 32, VI_BILINEAR);
  }
};

TEST(JpegResize, AFileThatEndsEarlyAnywhereIsCorrupt) {
  for (const char* kind : {"YCbCr420", "Grey", "Cmyk", "Progressive420", "RestartIntervals", "Arithmetic"}) {
    Portrait p(kind);
    ASSERT_EQ(streamed(p.jpeg, p.to).code, VIDI_OK);
    for (size_t size = 1; size < p.jpeg.size() - 2; size += size + 60 < p.jpeg.size() ? 41 : 1) {
      Result got = streamed(Bytes(p.jpeg.begin(), p.jpeg.begin() + static_cast<int64_t>(size)), p.to);
      ASSERT_EQ(got.code, VIDI_CORRUPT_IMAGE) << kind << " cut at " << size;
      if (size * 10 > p.jpeg.size() * 9) {
        EXPECT_EQ(got.message, "the data ends before the picture does") << kind << " cut at " << size;
      }
    }
  }
}

TEST(JpegResize, DamageBelowTheCropIsNotReadAndDamageAboveItIsReported) {
  Portrait p("RestartIntervals");
  Bytes good = streamed(p.jpeg, p.to).rgb;
  auto damaged = [&](size_t percent) {
    Bytes jpeg = p.jpeg;
    size_t at = jpeg.size() * percent / 100;
    for (size_t i = at; i < at + 8; i++) jpeg[i] = 0x55;
    return streamed(jpeg, p.to);
  };
  Result below = damaged(90), inside = damaged(50);
  EXPECT_EQ(below.code, VIDI_OK);
  EXPECT_EQ(below.report.warnings, 0);
  EXPECT_EQ(below.rgb, good);
  EXPECT_EQ(inside.code, VIDI_OK);
  EXPECT_NE(inside.rgb, good);
  EXPECT_GT(inside.report.warnings, 0);
  EXPECT_STRNE(inside.report.first_warning, "");
}

TEST(JpegResize, WhatFollowsTheEndIsIgnored) {
  Portrait p("YCbCr444");
  Bytes longer = p.jpeg;
  longer.resize(longer.size() + 1000, 0xFF);
  EXPECT_EQ(streamed(longer, p.to).rgb, streamed(p.jpeg, p.to).rgb);
}

TEST(JpegResize, TheReportTellsTheTimeOfResizing) {
  Portrait p("YCbCr444");
  Result got = streamed(p.jpeg, p.to);
  EXPECT_GT(got.report.resize_ns, 0);
  EXPECT_LT(got.report.resize_ns, 1'000'000'000);
}

// Limits.

TEST(JpegResizeLimits, Pixels) {
  Portrait p("YCbCr420");
  vi_jpeg_limits limits{};
  limits.max_pixels = 96 * 400;
  EXPECT_EQ(streamed(p.jpeg, p.to, 8, limits).code, VIDI_OK);
  limits.max_pixels--;
  EXPECT_EQ(streamed(p.jpeg, p.to, 8, limits).code, VIDI_IMAGE_TOO_LARGE);
  EXPECT_EQ(streamed(with_size(p.jpeg, 65500, 65500), p.to, 8, default_limits()).code, VIDI_IMAGE_TOO_LARGE);
}

TEST(JpegResizeLimits, ScansTimesPixels) {
  Portrait p("Progressive420");
  int scans = 0;
  for (size_t i = 0; i + 1 < p.jpeg.size(); i++) scans += p.jpeg[i] == 0xFF && p.jpeg[i + 1] == 0xDA;
  vi_jpeg_limits limits{};
  limits.max_scan_pixels = static_cast<int64_t>(scans) * 96 * 400;
  EXPECT_EQ(streamed(p.jpeg, p.to, 8, limits).code, VIDI_OK);
  limits.max_scan_pixels--;
  EXPECT_EQ(streamed(p.jpeg, p.to, 8, limits).code, VIDI_IMAGE_TOO_COMPLEX);
  limits.max_scan_pixels = 1;
  EXPECT_EQ(streamed(Portrait("YCbCr420").jpeg, p.to, 8, limits).code, VIDI_IMAGE_TOO_COMPLEX);
}

TEST(JpegResizeLimits, DecoderMemory) {
  JpegSpec spec = jpeg_kind("Progressive444");
  spec.width = spec.height = 600;
  Bytes jpeg = encode(spec);
  vi_resize to = centre(600, 600, 64, 56, VI_BILINEAR);
  vi_jpeg_limits limits{};
  limits.max_decoder_bytes = 1 << 20;  // its coefficients take twice that
  EXPECT_EQ(streamed(jpeg, to, 8, limits).code, VIDI_IMAGE_TOO_COMPLEX);
  limits.max_decoder_bytes = 8 << 20;
  EXPECT_EQ(streamed(jpeg, to, 8, limits).code, VIDI_OK);
}

TEST_P(JpegResizeKind, TheEstimateOfTheDecodersMemoryIsEnough) {
  JpegSpec spec = GetParam();
  spec.width = 700;
  spec.height = 500;
  Bytes jpeg = encode(spec);
  vi_jpeg_info info{};
  ASSERT_OK(vi_jpeg_probe(jpeg.data(), jpeg.size(), &info));
  vi_jpeg_limits limits{};
  limits.max_decoder_bytes = info.decoder_bytes;
  EXPECT_EQ(streamed(jpeg, centre(700, 500, 64, 56, VI_BILINEAR), 8, limits).message, "");
}

// A refinement scan many times over, and a tall picture of whose end a crop is wanted: nearly all of it is skipped.
TEST(JpegResizeLimits, CpuTimeAlsoWhileSkipping) {
  JpegSpec scans = jpeg_kind("ProgressiveGrey");
  scans.width = scans.height = 1000;
  Bytes many = encode(scans);
  size_t last = many.size();
  while (!(many[last - 2] == 0xFF && many[last - 1] == 0xDA)) last--;
  const Bytes scan(many.begin() + static_cast<int64_t>(last) - 2, many.end() - 2);
  many.resize(many.size() - 2);
  for (int i = 0; i < 300; i++) many.insert(many.end(), scan.begin(), scan.end());

  JpegSpec tall = jpeg_kind("YCbCr444");
  tall.quality = 100;
  tall.width = 600;
  tall.height = 12000;
  Bytes long_way = encode(tall);
  vi_resize bottom = whole(60, 1200, VI_BILINEAR);
  bottom.crop_y = 1190;
  bottom.crop_height = 10;

  vi_jpeg_limits limits{};
  limits.max_cpu_ms = 40;
  struct Case {
    const Bytes* jpeg;
    vi_resize to;
    int eighths;
  };
  for (const Case& c : {Case{&many, whole(64, 64, VI_BILINEAR), 8}, {&long_way, bottom, 8}, {&long_way, bottom, 1}}) {
    std::clock_t start = std::clock();
    Result got = streamed(*c.jpeg, c.to, c.eighths, limits);
    EXPECT_EQ(got.code, VIDI_IMAGE_TOO_COMPLEX);
    EXPECT_EQ(got.message, "decoding takes longer than allowed");
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 0.5);
  }
}

// Refusals of the caller's mistakes.

TEST(JpegResizeRefuses, Nulls) {
  Portrait p("YCbCr444");
  vi_jpeg_limits l{};
  vi_jpeg_report r;
  size_t n = p.jpeg.size(), size = 32 * 32 * 3;
  const uint8_t* data = p.jpeg.data();
  auto dst = exact_buffer(size);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_resize(nullptr, n, &l, 8, &p.to, dst.get(), size, &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_resize(data, n, nullptr, 8, &p.to, dst.get(), size, &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_resize(data, n, &l, 8, nullptr, dst.get(), size, &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_resize(data, n, &l, 8, &p.to, nullptr, size, &r));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_jpeg_resize(data, n, &l, 8, &p.to, dst.get(), size, nullptr));
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "empty", vi_jpeg_resize(data, 0, &l, 8, &p.to, dst.get(), size, &r));
  for (size_t bad : {size - 1, size + 1, size_t{0}})
    EXPECT_FAILS(VIDI_SHAPE, "dst is not as long", vi_jpeg_resize(data, n, &l, 8, &p.to, dst.get(), bad, &r));
}

TEST(JpegResizeRefuses, OtherScalesCropsAndTurns) {
  Portrait p("YCbCr444");
  for (int eighths : {0, 3, 5, 6, 7, 9, 16, -1, INT32_MAX, INT32_MIN})
    EXPECT_EQ(streamed(p.jpeg, p.to, eighths).code, VIDI_INVALID_ARGUMENT);
  vi_resize outside = p.to, filter = p.to, turn = p.to;
  outside.crop_y = 1000;
  filter.filter = 0;
  turn.orientation = 9;
  for (const vi_resize& bad : {outside, filter, turn}) EXPECT_EQ(streamed(p.jpeg, bad).code, VIDI_INVALID_ARGUMENT);
}

}  // namespace
