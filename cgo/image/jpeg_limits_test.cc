// JPEG decoding of files that are damaged, unsupported, or ask for too much.
#include <ctime>

#include "testing.h"
#include "testing_jpeg.h"

namespace {

using namespace vidi::image::testing;

vi_jpeg_report last_report;

vidi_status* probe(const Bytes& jpeg) {
  vi_jpeg_info info;
  return vi_jpeg_probe(jpeg.data(), jpeg.size(), &info);
}

// Decodes into a buffer that has room for width × height, whatever the file says.
vidi_status* decode(const Bytes& jpeg, int width, int height, const vi_jpeg_limits& limits = {}) {
  auto exact = exact_buffer(jpeg.size());  // reading past the file is an error too
  std::memcpy(exact.get(), jpeg.data(), jpeg.size());
  size_t stride = static_cast<size_t>(width) * 4, size = stride * height;
  std::unique_ptr<uint8_t[]> dst(new uint8_t[size]);
  return vi_jpeg_decode(exact.get(), jpeg.size(), &limits, 8, dst.get(), stride, size, &last_report);
}

vidi_status* decode(const Bytes& jpeg) {
  vi_jpeg_info info{};
  Status status(vi_jpeg_probe(jpeg.data(), jpeg.size(), &info));
  return status ? status.release() : decode(jpeg, info.width, info.height);
}

// What is not a picture, or ends at once.

TEST(JpegDamage, AnEmptyFile) {
  uint8_t nothing = 0, dst[4];
  vi_jpeg_info info;
  vi_jpeg_limits limits{};
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "empty", vi_jpeg_probe(&nothing, 0, &info));
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "empty", vi_jpeg_decode(&nothing, 0, &limits, 8, dst, 4, 4, &last_report));
}

TEST(JpegDamage, SomethingElseThanAJpeg) {
  const Bytes png = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13};
  const Bytes text = {'<', 'h', 't', 'm', 'l', '>'};
  for (const Bytes& file : {png, text, Bytes{0}, Bytes(1000, 0), Bytes(1000, 0xFF)}) {
    EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "", probe(file));
    EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "", decode(file, 8, 8));
  }
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "Not a JPEG file", probe(text));
}

TEST(JpegDamage, MarkersWithoutAPicture) {
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "ends before", probe({0xFF, 0xD8}));
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "JPEG datastream contains no image", probe({0xFF, 0xD8, 0xFF, 0xD9}));
  Bytes sos_first = encode({});
  sos_first[find_frame_header(sos_first) + 1] = 0xFE;  // the frame header becomes a comment
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "SOS before SOF", probe(sos_first));
}

TEST(JpegDamage, AFileThatEndsEarlyAnywhere) {
  for (const char* kind : {"YCbCr420", "Grey", "Cmyk", "Progressive420", "RestartIntervals", "Arithmetic"}) {
    JpegSpec spec = jpeg_kind(kind);
    Bytes jpeg = encode(spec);
    for (int percent = 0; percent < 100; percent++) {
      Bytes part(jpeg.begin(), jpeg.begin() + 1 + static_cast<int64_t>(jpeg.size() - 2) * percent / 100);
      EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "", decode(part, spec.width, spec.height)) << kind << " cut at " << percent << " %";
    }
  }
}

TEST(JpegDamage, DamageInTheMiddleIsReportedAsThePlainLibraryTellsIt) {
  Bytes jpeg = encode(jpeg_kind("RestartIntervals"));
  int warned = 0, said_several_things = 0;
  for (size_t at = jpeg.size() / 2; at < jpeg.size() - 2; at++) {
    Bytes damaged = jpeg;
    damaged[at] ^= 0xFF;
    Status status(decode(damaged));
    if (status != nullptr) {  // a marker that cannot be passed over
      EXPECT_EQ(vidi_status_code(status.get()), VIDI_CORRUPT_IMAGE);
      continue;
    }
    std::vector<std::string> warnings = decode_plainly(damaged, JCS_RGB).warnings;
    EXPECT_EQ(last_report.warnings, static_cast<int64_t>(warnings.size()));
    EXPECT_EQ(std::string(last_report.first_warning), warnings.empty() ? "" : warnings[0]);
    warned += !warnings.empty();
    said_several_things += !warnings.empty() && warnings.front() != warnings.back();
  }
  EXPECT_GT(warned, 100);
  EXPECT_GT(said_several_things, 0);
}

TEST(JpegDamage, TheReportSaysNothingOfAnEarlierPicture) {
  const Bytes jpeg = encode({});
  last_report.warnings = 7;
  std::strcpy(last_report.first_warning, "earlier");
  ASSERT_OK(decode(jpeg));
  EXPECT_EQ(last_report.warnings, 0);
  EXPECT_STREQ(last_report.first_warning, "");
  last_report.warnings = 7;
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "", decode(Bytes(jpeg.begin(), jpeg.end() - 40), 48, 40));
  EXPECT_EQ(last_report.warnings, 0);
}

TEST(JpegDamage, ASideOfZeroPixels) {
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "", probe(with_size(encode({}), 0, 40)));
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "",
               probe(with_size(encode({}), 48, 0)));  // the height may follow in a DNL marker; libjpeg has none of it
}

TEST(JpegDamage, ASegmentLongerThanTheFile) {
  Bytes jpeg = encode({});
  size_t tables = find_marker(jpeg, 0xDB);
  jpeg[tables + 2] = jpeg[tables + 3] = 0xFF;
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "", decode(jpeg, 48, 40));
}

// What libjpeg does not decode.

TEST(JpegUnsupported, KindsOfFramesAndSamples) {
  const Bytes jpeg = encode({});
  size_t frame = find_frame_header(jpeg);
  for (int sof : {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}) {  // lossless, differential, and both with arithmetic coding
    Bytes other = jpeg;
    other[frame + 1] = static_cast<uint8_t>(sof);
    EXPECT_FAILS(VIDI_UNSUPPORTED_IMAGE, "", probe(other)) << std::hex << sof;
    EXPECT_FAILS(VIDI_UNSUPPORTED_IMAGE, "", decode(other, 48, 40)) << std::hex << sof;
  }
  for (int bits : {1, 9, 12, 16}) {
    Bytes deep = jpeg;
    deep[frame + 4] = static_cast<uint8_t>(bits);
    EXPECT_FAILS(VIDI_UNSUPPORTED_IMAGE, "precision", decode(deep, 48, 40)) << bits;
  }
}

TEST(JpegUnsupported, TwoColourComponents) {
  Bytes jpeg = encode(jpeg_kind("YCbCr444"));
  size_t frame = find_frame_header(jpeg);
  jpeg[frame + 9] = 2;  // components in the frame …
  jpeg.erase(jpeg.begin() + frame + 16, jpeg.begin() + frame + 19);
  jpeg[frame + 3] -= 3;
  size_t scan = find_marker(jpeg, 0xDA);
  jpeg[scan + 4] = 2;  // … and in the scan
  jpeg.erase(jpeg.begin() + scan + 9, jpeg.begin() + scan + 11);
  jpeg[scan + 3] -= 2;
  EXPECT_FAILS(VIDI_UNSUPPORTED_IMAGE, "1, 3 or 4 colour components", probe(jpeg));
  EXPECT_FAILS(VIDI_UNSUPPORTED_IMAGE, "1, 3 or 4 colour components", decode(jpeg, 48, 40));
}

TEST(JpegUnsupported, SamplingThatIsNoWholeRatio) {
  Bytes jpeg = encode(jpeg_kind("YCbCr444"));
  size_t frame = find_frame_header(jpeg);
  jpeg[frame + 11] = 0x31;  // 3 × 1 …
  jpeg[frame + 14] = 0x21;  // … beside 2 × 1
  EXPECT_FAILS(VIDI_UNSUPPORTED_IMAGE, "", decode(jpeg, 48, 40));
}

// What asks for too much.

TEST(JpegLimits, Pixels) {
  JpegSpec spec = jpeg_kind("YCbCr420");
  Bytes jpeg = encode(spec);
  vi_jpeg_limits limits{};
  limits.max_pixels = spec.width * spec.height;
  EXPECT_OK(decode(jpeg, spec.width, spec.height, limits));
  limits.max_pixels--;
  EXPECT_FAILS(VIDI_IMAGE_TOO_LARGE, "48 × 40 pixels", decode(jpeg, spec.width, spec.height, limits));
}

TEST(JpegLimits, AHugeHeaderIsRefusedBeforeAnyMemoryIsTaken) {
  Bytes jpeg = with_size(encode({}), 65500, 65500);
  vi_jpeg_info info;
  ASSERT_OK(vi_jpeg_probe(jpeg.data(), jpeg.size(), &info));
  EXPECT_EQ(info.width, 65500);
  EXPECT_EQ(info.height, 65500);
  EXPECT_FAILS(VIDI_IMAGE_TOO_LARGE, "65500 × 65500 pixels", decode(jpeg, 1, 1, default_limits()));
  EXPECT_FAILS(VIDI_IMAGE_TOO_LARGE, "", probe(with_size(encode({}), 65535, 1)));  // over libjpeg's own limit
}

TEST(JpegLimits, ScansTimesPixels) {
  JpegSpec spec = jpeg_kind("Progressive420");
  Bytes jpeg = encode(spec);
  int scans = 0;
  for (size_t i = 0; i + 1 < jpeg.size(); i++) scans += jpeg[i] == 0xFF && jpeg[i + 1] == 0xDA;
  ASSERT_GT(scans, 5);
  vi_jpeg_limits limits{};
  limits.max_scan_pixels = static_cast<int64_t>(scans) * spec.width * spec.height;
  EXPECT_OK(decode(jpeg, spec.width, spec.height, limits));
  limits.max_scan_pixels--;
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "too many scans", decode(jpeg, spec.width, spec.height, limits));
  limits.max_scan_pixels = 1;
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "too many scans", decode(jpeg, spec.width, spec.height, limits));
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "too many scans", decode(encode({}), 48, 40, limits));  // one scan is one too many here
}

TEST(JpegLimits, DecoderMemory) {
  JpegSpec spec = jpeg_kind("Progressive444");
  spec.width = spec.height = 600;
  Bytes jpeg = encode(spec);
  vi_jpeg_limits limits{};
  limits.max_decoder_bytes = 1 << 20;  // 600 × 600 × 3 coefficients of 2 bytes are twice that
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "more memory than allowed", decode(jpeg, 600, 600, limits));
  limits.max_decoder_bytes = 1;
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "more memory than allowed", decode(jpeg, 600, 600, limits));
  limits.max_decoder_bytes = 8 << 20;
  EXPECT_OK(decode(jpeg, 600, 600, limits));
}

TEST(JpegLimits, CpuTime) {
  // One refinement scan many times over: little to store, much to do.
  JpegSpec spec = jpeg_kind("ProgressiveGrey");
  spec.width = spec.height = 1000;
  Bytes jpeg = encode(spec);
  size_t last = jpeg.size();
  while (!(jpeg[last - 2] == 0xFF && jpeg[last - 1] == 0xDA)) last--;
  const Bytes scan(jpeg.begin() + static_cast<int64_t>(last) - 2, jpeg.end() - 2);
  jpeg.resize(jpeg.size() - 2);
  for (int i = 0; i < 300; i++) jpeg.insert(jpeg.end(), scan.begin(), scan.end());
  vi_jpeg_limits limits{};
  limits.max_cpu_ms = 40;
  std::clock_t start = std::clock();
  EXPECT_FAILS(VIDI_IMAGE_TOO_COMPLEX, "takes longer than allowed", decode(jpeg, 1000, 1000, limits));
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 0.5);
}

TEST(JpegLimits, TheLargestNumbersAreNoLimits) {
  vi_jpeg_limits limits{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
  EXPECT_OK(decode(encode(jpeg_kind("Progressive420")), 48, 40, limits));
}

}  // namespace
