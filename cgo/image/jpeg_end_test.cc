// JPEG files without an end marker: usable, with a warning, if every row is there, and damaged if rows are missing.
#include <random>

#include "testing.h"
#include "testing_jpeg.h"
#include "testing_picture.h"

namespace {

using namespace vidi::image::testing;
using vidi::image::testing::Bytes;

struct Outcome {
  vidi_code code;
  std::string message, warning;
  Bytes samples;
};

Outcome outcome(vidi_status* raw, const vi_jpeg_report& report, const uint8_t* samples, size_t size) {
  Status status(raw);
  Outcome o{vidi_status_code(raw), vidi_status_message(raw), report.first_warning, {}};
  if (raw == nullptr) o.samples.assign(samples, samples + size);
  return o;
}

constexpr int kWidth = 96, kHeight = 400;

Outcome decoded(const Bytes& jpeg) {
  Pixels p = blank(kWidth, kHeight);
  vi_jpeg_limits limits{};
  vi_jpeg_report report{};
  vidi_status* status = vi_jpeg_decode(jpeg.data(), jpeg.size(), &limits, 8, p.pixels.get(), p.stride, p.bytes, &report);
  return outcome(status, report, p.pixels.get(), p.bytes);
}

// A crop at `top` of the picture at full size: at 0 nearly all rows lie below it, at 368 none do.
Outcome streamed(const Bytes& jpeg, int64_t top) {
  vi_resize to = whole(kWidth, kHeight, VI_BILINEAR);
  to.crop_y = top;
  to.crop_height = 32;
  size_t size = kWidth * 32 * 3;
  auto dst = exact_buffer(size);
  vi_jpeg_limits limits{};
  vi_jpeg_report report{};
  vidi_status* status = vi_jpeg_resize(jpeg.data(), jpeg.size(), &limits, 8, &to, dst.get(), size, &report);
  return outcome(status, report, dst.get(), size);
}

Bytes with_tail(const Bytes& jpeg, size_t kept, const Bytes& tail) {
  Bytes out(jpeg.begin(), jpeg.begin() + static_cast<int64_t>(kept));
  out.insert(out.end(), tail.begin(), tail.end());
  return out;
}

Bytes garbage(size_t size) {
  std::mt19937 random(7);
  Bytes bytes(size);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random() % 255);  // without 255: no markers
  return bytes;
}

class JpegEnd : public ::testing::TestWithParam<JpegSpec> {
 protected:
  void SetUp() override {
    JpegSpec spec = GetParam();
    spec.width = kWidth;
    spec.height = kHeight;
    jpeg = encode(spec);
    scans = jpeg.size() - 2;
  }
  Bytes jpeg;
  size_t scans;  // where the end marker begins
};

std::vector<JpegSpec> huffman_kinds() {
  std::vector<JpegSpec> kinds;
  for (const JpegSpec& kind : jpeg_kinds())
    if (!kind.arithmetic) kinds.push_back(kind);
  JpegSpec restart = jpeg_kind("Progressive420");
  restart.name = "ProgressiveRestart420";
  restart.restart_rows = 1;
  kinds.push_back(restart);
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(Kinds, JpegEnd, ::testing::ValuesIn(huffman_kinds()), [](const auto& info) { return info.param.name; });

TEST_P(JpegEnd, IsMissingOrOverwrittenAndEveryRowIsThere) {
  const Outcome whole_picture = decoded(jpeg);
  const Bytes tails[] = {{}, {0xFF}, {0, 0}, {0xFF, 0}, {0x20, 0x0A}, Bytes(4096, 0), Bytes(4096, 0xFF), garbage(2), garbage(3000)};
  for (const Bytes& tail : tails) {
    Bytes file = with_tail(jpeg, scans, tail);
    Outcome got = decoded(file);
    EXPECT_EQ(got.message, "") << "tail of " << tail.size();
    EXPECT_NE(got.warning, "");
    EXPECT_TRUE(got.samples == whole_picture.samples) << "tail of " << tail.size();
    for (int64_t top : {0, 200, 368}) {
      got = streamed(file, top);
      EXPECT_EQ(got.message, "") << "tail of " << tail.size() << ", crop at " << top;
      EXPECT_NE(got.warning, "");
      EXPECT_TRUE(got.samples == streamed(jpeg, top).samples);
    }
  }
}

TEST_P(JpegEnd, IsMissingAndSoAreRows) {
  std::vector<size_t> kept{scans - 1, scans - 2, scans - 3, scans - 8, scans - 30};
  for (int percent = 30; percent < 100; percent += 5) kept.push_back(scans * static_cast<size_t>(percent) / 100);
  for (size_t size : kept)
    for (const Bytes& tail : {Bytes(), Bytes(20000, 0), Bytes(20000, 0xFF)}) {
      if (!tail.empty() && size + 60 > scans) continue;  // within what libjpeg reads ahead
      Bytes file = with_tail(jpeg, size, tail);
      EXPECT_EQ(decoded(file).code, VIDI_CORRUPT_IMAGE) << size << " of " << scans << ", tail of " << tail.size();
      for (int64_t top : {0, 200, 368})
        EXPECT_EQ(streamed(file, top).code, VIDI_CORRUPT_IMAGE)
            << size << " of " << scans << ", tail of " << tail.size() << ", crop at " << top;
    }
}

// Where one picture breaks off and other data follows, what looks like a marker ends the scan: rows are missing.
TEST_P(JpegEnd, IsMissingAndAnotherMarkerEndsTheData) {
  for (const Bytes& tail : {Bytes{0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0, 0}, Bytes{0xFF, 0xFE, 0, 4, 65, 66}})
    for (int64_t top : {0, 200, 368}) EXPECT_EQ(streamed(with_tail(jpeg, scans / 2, tail), top).code, VIDI_CORRUPT_IMAGE) << top;
}

// An arithmetic decoder reads zeros past the end, and has to: nobody can tell whether rows are missing.
TEST(JpegEndArithmetic, IsMissing) {
  for (const JpegSpec& kind : jpeg_kinds()) {
    if (!kind.arithmetic) continue;
    JpegSpec spec = kind;
    spec.width = kWidth;
    spec.height = kHeight;
    Bytes jpeg = encode(spec);
    jpeg.resize(jpeg.size() - 2);
    EXPECT_EQ(decoded(jpeg).code, VIDI_CORRUPT_IMAGE);
    EXPECT_EQ(streamed(jpeg, 0).code, VIDI_CORRUPT_IMAGE);
  }
}

// A progressive file whose last scans are missing is whole to look at, but blurred: libjpeg smooths it.
TEST(JpegEndProgressive, IsMissingAndSoAreScans) {
  JpegSpec spec = jpeg_kind("Progressive420");
  spec.width = kWidth;
  spec.height = kHeight;
  Bytes jpeg = encode(spec);
  int scans = 0;
  for (size_t at = find_marker(jpeg, 0xDA) + 2; at + 1 < jpeg.size(); at++) {
    if (jpeg[at] != 0xFF || jpeg[at + 1] != 0xDA) continue;
    EXPECT_EQ(streamed(with_tail(jpeg, at, {}), 200).code, VIDI_CORRUPT_IMAGE) << "cut at " << at;
    scans++;
  }
  EXPECT_GT(scans, 3);
}

}  // namespace
