// The JPEG decoder against files made to break it, and against 10,000 mutants of good ones. There is nothing to expect of their
// pixels; that the sanitisers stay silent, that the limits hold and that the answer is one of five codes is the test.
#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>

#include "testing.h"
#include "testing_jpeg.h"

namespace {

using namespace vidi::image::testing;

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct Outcome {
  vidi_code code = VIDI_OK;
  int64_t warnings = 0;
  std::string text;
  uint64_t pixels = 0;  // a hash
};

Outcome failure(const Status& status) {
  std::string text = vidi_status_message(status.get());
  EXPECT_TRUE(presentable(text));
  return {vidi_status_code(status.get()), 0, text, 0};
}

// Probes and decodes a copy of the file that ends where its memory does, into a buffer that does too.
Outcome decode(const Bytes& file, int eighths, int fill) {
  auto exact = exact_buffer(file.size());
  std::copy(file.begin(), file.end(), exact.get());
  vi_jpeg_info info;
  Status probed(vi_jpeg_probe(exact.get(), file.size(), &info));
  if (probed != nullptr) return failure(probed);
  vi_jpeg_limits limits = default_limits();
  EXPECT_GT(info.width, 0);
  EXPECT_GT(info.height, 0);
  EXPECT_GT(info.decoder_bytes, 0);
  size_t stride = static_cast<size_t>((static_cast<int64_t>(info.width) * eighths + 7) / 8) * 4;
  size_t size = stride * ((static_cast<int64_t>(info.height) * eighths + 7) / 8);
  if (static_cast<int64_t>(info.width) * info.height > limits.max_pixels) size = stride = 4;  // it must not come to writing
  std::unique_ptr<uint8_t[]> dst(new uint8_t[size]);
  if (fill >= 0) std::memset(dst.get(), fill, size);
  vi_jpeg_report report;
  Status decoded(vi_jpeg_decode(exact.get(), file.size(), &limits, eighths, dst.get(), stride, size, &report));
  if (decoded != nullptr) return failure(decoded);
  Outcome outcome{VIDI_OK, report.warnings, report.first_warning, 0};
  if (fill >= 0) outcome.pixels = fnv(dst.get(), size);
  return outcome;
}

// The same file straight to a crop, upright by some orientation.
Outcome resize(const Bytes& file, int eighths, int fill) {
  auto exact = exact_buffer(file.size());
  std::copy(file.begin(), file.end(), exact.get());
  vi_jpeg_limits limits = default_limits();
  vi_resize to{64, 48, 9, 5, 40, 33, VI_BILINEAR, static_cast<int32_t>(file.size() % 9), {}};
  const size_t size = 40 * 33 * 3;
  auto dst = exact_buffer(size, fill);
  vi_jpeg_report report;
  Status resized(vi_jpeg_resize(exact.get(), file.size(), &limits, eighths, &to, dst.get(), size, &report));
  if (resized != nullptr) return failure(resized);
  return {VIDI_OK, report.warnings, report.first_warning, fnv(dst.get(), size)};
}

// What is decoded whole is resized too. Not always the other way round: damage below the crop is never seen.
void expect_resize_agrees(const Outcome& whole, const Outcome& crop) {
  bool unseen = crop.code == VIDI_OK && (whole.code == VIDI_CORRUPT_IMAGE || whole.code == VIDI_UNSUPPORTED_IMAGE);
  EXPECT_TRUE(whole.code == crop.code || unseen)
      << "decoded: " << whole.code << " " << whole.text << "; resized: " << crop.code << " " << crop.text;
  EXPECT_LE(crop.code == VIDI_OK && whole.code == VIDI_OK ? crop.warnings : 0, whole.warnings);
}

bool is_an_answer(vidi_code code) {
  switch (code) {
    case VIDI_OK:
    case VIDI_CORRUPT_IMAGE:
    case VIDI_UNSUPPORTED_IMAGE:
    case VIDI_IMAGE_TOO_LARGE:
    case VIDI_IMAGE_TOO_COMPLEX:
      return true;
    default:
      return false;
  }
}

const char* folder_of_shared_data() { return std::getenv("VIDI_SHARED"); }

#define NEED_SHARED_DATA()                                                                                         \
  if (folder_of_shared_data() == nullptr) {                                                                        \
    const char* ci = std::getenv("CI");                                                                            \
    if (ci != nullptr && *ci != 0) FAIL() << "VIDI_SHARED is not set, and CI must not skip the hostile pictures";  \
    GTEST_SKIP() << "VIDI_SHARED is not set: it names the folder that holds hostile/, pictures made to do damage"; \
  }

TEST(Hostile, NoFileOfTheCollectionBreaksTheDecoderOrItsLimits) {
  NEED_SHARED_DATA();
  std::map<vidi_code, int> codes;
  int files = 0, warned = 0;
  double slowest = 0;
  std::string slowest_name;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(std::filesystem::path(folder_of_shared_data()) / "hostile")) {
    if (!entry.is_regular_file()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    std::ifstream in(entry.path(), std::ios::binary);
    Bytes file((std::istreambuf_iterator<char>(in)), {});
    double start = thread_seconds();
    Outcome outcome = decode(file, 8, -1);
    double seconds = thread_seconds() - start;
    expect_resize_agrees(outcome, resize(file, 8, 0));
    EXPECT_TRUE(is_an_answer(outcome.code)) << outcome.code << ": " << outcome.text;
    EXPECT_LT(seconds, 3.0);  // 2 s of decoding are allowed; the rest is for one row of blocks and for sanitised code
    files++;
    codes[outcome.code]++;
    warned += outcome.warnings > 0;
    if (seconds > slowest) {
      slowest = seconds;
      slowest_name = entry.path().filename().string();
    }
  }
  EXPECT_GT(files, 1000);
  EXPECT_GT(codes[VIDI_OK], 50);
  EXPECT_GT(codes[VIDI_CORRUPT_IMAGE], 50);
  EXPECT_GE(codes[VIDI_IMAGE_TOO_LARGE], 1);
  EXPECT_GE(codes[VIDI_IMAGE_TOO_COMPLEX], 3);
  std::cout << files << " files: " << codes[VIDI_OK] << " decoded (" << warned << " with warnings), " << codes[VIDI_CORRUPT_IMAGE]
            << " corrupt, " << codes[VIDI_UNSUPPORTED_IMAGE] << " unsupported, " << codes[VIDI_IMAGE_TOO_LARGE] << " too large, "
            << codes[VIDI_IMAGE_TOO_COMPLEX] << " too complex; slowest " << slowest << " s, " << slowest_name << "\n";
}

TEST(Hostile, TheBombsAreRefusedForTheRightReason) {
  NEED_SHARED_DATA();
  auto bomb = [](const char* name) {
    std::ifstream in(std::filesystem::path(folder_of_shared_data()) / "hostile" / "bombs" / name, std::ios::binary);
    EXPECT_TRUE(in) << name;
    return decode(Bytes((std::istreambuf_iterator<char>(in)), {}), 8, -1);
  };
  EXPECT_EQ(bomb("jpeg_65500x65500_header.jpg").code, VIDI_IMAGE_TOO_LARGE);
  for (const char* scans : {"pg100.jpg", "pg1000.jpg", "pg3000.jpg"}) EXPECT_EQ(bomb(scans).code, VIDI_IMAGE_TOO_COMPLEX) << scans;
  EXPECT_EQ(bomb("jpg_base.jpg").code, VIDI_OK);
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  Bytes operator()(Bytes file) {
    if (file.size() < 8) return file;  // what an earlier mutation left
    switch (below(6)) {
      case 0:  // bytes anywhere
        for (size_t n = 1 + below(8); n > 0; n--) file[below(file.size())] = static_cast<uint8_t>(below(256));
        break;
      case 1:  // one bit anywhere
        file[below(file.size())] ^= static_cast<uint8_t>(1 << below(8));
        break;
      case 2:  // bytes of the headers, where the decoder takes decisions
        for (size_t n = 1 + below(3); n > 0; n--)
          file[2 + below(std::min<size_t>(file.size() - 2, 600))] = static_cast<uint8_t>(below(256));
        break;
      case 3:  // an early end
        file.resize(1 + below(file.size() - 1));
        break;
      case 4:  // another length in one segment
      case 5: {
        std::vector<size_t> segments;
        for (size_t at = 2; at + 4 <= file.size() && file[at] == 0xFF; at += 2 + (file[at + 2] << 8 | file[at + 3])) segments.push_back(at);
        if (segments.empty()) break;
        size_t at = segments[below(segments.size())];
        int length = (file[at + 2] << 8 | file[at + 3]) + static_cast<int>(below(9)) - 4;
        if (below(4) == 0) length = static_cast<int>(below(65536));
        file[at + 2] = static_cast<uint8_t>(length >> 8);
        file[at + 3] = static_cast<uint8_t>(length);
        break;
      }
    }
    return file;
  }

  size_t below(size_t n) { return random_() % n; }  // not a distribution of <random>: those differ between libraries

 private:
  std::mt19937 random_;
};

TEST(Hostile, MutantsOfGoodFilesAreDecodedOrRefusedAndNeverShowOldMemory) {
  std::vector<Bytes> good;
  for (JpegSpec spec : jpeg_kinds()) good.push_back(encode(spec));
  Mutator mutate(20260801);
  std::map<vidi_code, int> codes;
  int warned = 0;
  constexpr int kMutants = 10'000;
  for (int i = 0; i < kMutants; i++) {
    SCOPED_TRACE("mutant " + std::to_string(i));
    Bytes mutant = mutate(good[mutate.below(good.size())]);
    if (mutate.below(3) == 0) mutant = mutate(mutant);
    int eighths = 1 << mutate.below(4);
    Outcome first = decode(mutant, eighths, 0x00);
    EXPECT_TRUE(is_an_answer(first.code)) << first.code << ": " << first.text;
    // Every pixel comes from the file: what lay in the buffer before never shows, and the answer is the same each time.
    Outcome again = decode(mutant, eighths, 0xFF);
    EXPECT_EQ(first.code, again.code);
    EXPECT_EQ(first.warnings, again.warnings);
    EXPECT_EQ(first.text, again.text);
    EXPECT_EQ(first.pixels, again.pixels);
    Outcome crop = resize(mutant, eighths, 0x00), same = resize(mutant, eighths, 0xFF);
    expect_resize_agrees(first, crop);
    EXPECT_EQ(crop.code, same.code);
    EXPECT_EQ(crop.text, same.text);
    EXPECT_EQ(crop.pixels, same.pixels);
    codes[first.code]++;
    warned += first.warnings > 0;
  }
  // All kinds of outcome, or the mutants are too tame or too wild.
  EXPECT_GT(codes[VIDI_OK], kMutants / 10);
  EXPECT_GT(codes[VIDI_CORRUPT_IMAGE], kMutants / 10);
  EXPECT_GT(codes[VIDI_UNSUPPORTED_IMAGE], 5);
  EXPECT_GT(warned, kMutants / 20);
  std::cout << kMutants << " mutants: " << codes[VIDI_OK] << " decoded (" << warned << " with warnings), " << codes[VIDI_CORRUPT_IMAGE]
            << " corrupt, " << codes[VIDI_UNSUPPORTED_IMAGE] << " unsupported, " << codes[VIDI_IMAGE_TOO_LARGE] << " too large, "
            << codes[VIDI_IMAGE_TOO_COMPLEX] << " too complex\n";
}

}  // namespace
