// PNG straight to the crop: libpng's own writer makes files of every kind, whose pixels are known.
#include <png.h>
#include <zlib.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>

#include "testing.h"
#include "testing_picture.h"

namespace {

using namespace vidi::image::testing;

struct Kind {
  const char* name;
  int color_type, depth;
  bool tRNS, interlaced;
};

// The colour that Pillow's paste over white gives.
uint8_t over_white(int value, int alpha) {
  int t = value * alpha + 255 * (255 - alpha) + 128;
  return static_cast<uint8_t>(((t >> 8) + t) >> 8);
}

void append(png_structp png, png_bytep data, size_t n) {
  auto* out = static_cast<Bytes*>(png_get_io_ptr(png));
  out->insert(out->end(), data, data + n);
}

struct Made {
  Bytes file;
  Pixels pixels;  // what decoding it over white gives
};

// A file of this kind with samples that look random, and what it shows.
Made make(const Kind& kind, int width, int height) {
  Made made{{}, blank(width, height)};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &made.file, append, nullptr);
  png_set_IHDR(png, info, width, height, kind.depth, kind.color_type, kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  const int most = (1 << std::min(kind.depth, 8)) - 1;
  png_color palette[256];
  png_byte alphas[256];
  for (int i = 0; i < 256; i++) {
    palette[i] = {static_cast<png_byte>(i * 7), static_cast<png_byte>(255 - i * 3), static_cast<png_byte>(i * i)};
    alphas[i] = static_cast<png_byte>(i * 5);
  }
  if (kind.color_type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, most + 1);
  // Of grey and RGB files one colour is transparent: the first pixel's.
  auto value = [&](int x, int y, int c) { return static_cast<int>(sample("noise", x, y, c)) & most; };
  if (kind.tRNS && kind.color_type == PNG_COLOR_TYPE_PALETTE) png_set_tRNS(png, info, alphas, most + 1, nullptr);
  if (kind.tRNS && kind.color_type != PNG_COLOR_TYPE_PALETTE) {
    png_color_16 transparent{};
    transparent.gray = static_cast<png_uint_16>(value(0, 0, 0));
    transparent.red = transparent.gray;
    transparent.green = static_cast<png_uint_16>(value(0, 0, 1));
    transparent.blue = static_cast<png_uint_16>(value(0, 0, 2));
    png_set_tRNS(png, info, nullptr, 0, &transparent);
  }
  png_write_info(png, info);
  if (kind.depth < 8) png_set_packing(png);
  const bool grey = !(kind.color_type & PNG_COLOR_MASK_COLOR), alpha = kind.color_type & PNG_COLOR_MASK_ALPHA;
  const int channels = kind.color_type == PNG_COLOR_TYPE_PALETTE ? 1 : (grey ? 1 : 3) + alpha;
  const int bytes = kind.depth == 16 ? 2 : 1;
  std::vector<Bytes> rows(height, Bytes(static_cast<size_t>(width) * channels * bytes));
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      uint8_t rgba[4];
      for (int c = 0; c < channels; c++) rows[y][(x * channels + c) * bytes] = static_cast<uint8_t>(value(x, y, c));  // big-endian
      if (kind.color_type == PNG_COLOR_TYPE_PALETTE) {
        int i = value(x, y, 0);
        rgba[0] = palette[i].red, rgba[1] = palette[i].green, rgba[2] = palette[i].blue, rgba[3] = kind.tRNS ? alphas[i] : 255;
      } else {
        for (int c = 0; c < 3; c++) rgba[c] = static_cast<uint8_t>(value(x, y, grey ? 0 : c) * 255 / most);
        rgba[3] = alpha ? static_cast<uint8_t>(value(x, y, channels - 1)) : 255;
        bool match = true;
        for (int c = 0; c < channels; c++) match &= value(x, y, c) == value(0, 0, c);
        if (kind.tRNS && match && kind.depth < 16) rgba[3] = 0;
      }
      for (int c = 0; c < 3; c++) made.pixels.pixels[y * made.pixels.stride + x * 4 + c] = over_white(rgba[c], rgba[3]);
    }
  std::vector<png_bytep> pointers;
  for (Bytes& row : rows) pointers.push_back(row.data());
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return made;
}

struct Result {
  vidi_code code = VIDI_OK;
  std::string message;
  Bytes rgb;
};

Result streamed(const Bytes& png, const vi_resize& to, int64_t max_pixels = 0, int64_t max_cpu_ms = 0) {
  auto exact = exact_buffer(png.size());  // reading past the file is an error
  std::memcpy(exact.get(), png.data(), png.size());
  size_t size = static_cast<size_t>(to.crop_width * to.crop_height * 3);
  auto dst = exact_buffer(size);
  int64_t resize_ns = -1;
  Status status(vi_png_resize(exact.get(), png.size(), max_pixels, max_cpu_ms, &to, dst.get(), size, &resize_ns));
  Result r{vidi_status_code(status.get()), vidi_status_message(status.get()), {}};
  EXPECT_GE(resize_ns, 0);
  if (status == nullptr) {
    r.rgb.assign(dst.get(), dst.get() + size);
  } else {
    EXPECT_TRUE(presentable(r.message));
  }
  return r;
}

const Kind kKinds[] = {
    {"grey 1", PNG_COLOR_TYPE_GRAY, 1, false, false},
    {"grey 2", PNG_COLOR_TYPE_GRAY, 2, false, false},
    {"grey 4", PNG_COLOR_TYPE_GRAY, 4, false, false},
    {"grey 8", PNG_COLOR_TYPE_GRAY, 8, false, false},
    {"grey 16", PNG_COLOR_TYPE_GRAY, 16, false, false},
    {"grey 4 with a transparent one", PNG_COLOR_TYPE_GRAY, 4, true, false},
    {"grey 8 with a transparent one", PNG_COLOR_TYPE_GRAY, 8, true, false},
    {"grey and alpha 8", PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false},
    {"grey and alpha 16", PNG_COLOR_TYPE_GRAY_ALPHA, 16, false, false},
    {"RGB 8", PNG_COLOR_TYPE_RGB, 8, false, false},
    {"RGB 16", PNG_COLOR_TYPE_RGB, 16, false, false},
    {"RGB 8 with a transparent one", PNG_COLOR_TYPE_RGB, 8, true, false},
    {"RGBA 8", PNG_COLOR_TYPE_RGB_ALPHA, 8, false, false},
    {"RGBA 16", PNG_COLOR_TYPE_RGB_ALPHA, 16, false, false},
    {"palette 1", PNG_COLOR_TYPE_PALETTE, 1, false, false},
    {"palette 4", PNG_COLOR_TYPE_PALETTE, 4, true, false},
    {"palette 8", PNG_COLOR_TYPE_PALETTE, 8, false, false},
    {"palette 8 with alphas", PNG_COLOR_TYPE_PALETTE, 8, true, false},
};

TEST(Png, EveryKindGivesWhatResizingItsPixelsGives) {
  for (const Kind& kind : kKinds)
    for (auto [width, height] : {std::pair{1, 1}, {7, 3}, {64, 48}, {53, 131}}) {
      Made made = make(kind, width, height);
      for (int orientation : {1, 3, 6}) {
        SCOPED_TRACE(std::string(kind.name) + ", " + std::to_string(width) + " × " + std::to_string(height) + ", turn " +
                     std::to_string(orientation));
        vi_resize to = whole(20, 30, orientation == 3 ? VI_BICUBIC : VI_BILINEAR);
        to.crop_x = 3, to.crop_y = 9, to.crop_width = 11, to.crop_height = 13, to.orientation = orientation;
        Result got = streamed(made.file, to);
        EXPECT_EQ(got.code, VIDI_OK) << got.message;
        EXPECT_EQ(got.rgb, resized(made.pixels, to));
      }
    }
}

TEST(Png, InterlacedIsAnUnsupportedKind) {
  Result r = streamed(make({"", PNG_COLOR_TYPE_RGB, 8, false, true}, 20, 20).file, whole(5, 5, VI_BILINEAR));
  EXPECT_EQ(r.code, VIDI_UNSUPPORTED_IMAGE) << r.message;
}

TEST(Png, AFileThatEndsEarlyIsCorruptWhereverItEnds) {
  Made made = make(kKinds[9], 40, 30);
  vi_resize spot = whole(40, 30, VI_BILINEAR);
  spot.crop_width = spot.crop_height = 2;  // most of the file lies below the crop
  ASSERT_EQ(streamed(made.file, spot).code, VIDI_OK);
  for (size_t n = 1; n < made.file.size(); n += 7) {
    Bytes part(made.file.begin(), made.file.begin() + static_cast<int64_t>(n));
    EXPECT_EQ(streamed(part, spot).code, VIDI_CORRUPT_IMAGE) << n << " of " << made.file.size() << " bytes";
  }
}

void add_chunk(Bytes* file, const char* name, const Bytes& body) {
  auto u32 = [file](size_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) file->push_back(static_cast<uint8_t>(v >> shift));
  };
  u32(body.size());
  const size_t from = file->size();
  file->insert(file->end(), name, name + 4);
  file->insert(file->end(), body.begin(), body.end());
  u32(crc32(0, &(*file)[from], static_cast<uInt>(file->size() - from)));
}

// A picture of RGB, in pieces: up to the pixels, and its rows and then `more` zeros, compressed.
std::pair<Bytes, Bytes> goes_on(const Made& made, size_t more) {
  Bytes rows;
  for (int y = 0; y < made.pixels.height; y++) {
    rows.push_back(0);
    for (int x = 0; x < made.pixels.width; x++) {
      const uint8_t* p = &made.pixels.pixels[y * made.pixels.stride + x * 4];
      rows.insert(rows.end(), p, p + 3);
    }
  }
  rows.resize(rows.size() + more);
  uLongf size = compressBound(rows.size());
  Bytes packed(size);
  EXPECT_EQ(compress2(packed.data(), &size, rows.data(), rows.size(), 6), Z_OK);
  packed.resize(size);
  const size_t header_end = 8 + 25;
  return {Bytes(made.file.begin(), made.file.begin() + header_end), packed};
}

// What Pillow does, too. 60 MB of zeros are 60 KB: many more than good files have behind their rows.
TEST(Png, PixelsBehindTheLastRowAreNotInflated) {
  const Made made = make({"", PNG_COLOR_TYPE_RGB, 8, false, false}, 40, 30);
  const vi_resize to = whole(20, 15, VI_BILINEAR);
  const Bytes want = resized(made.pixels, to);
  auto [head, packed] = goes_on(made, 60'000'000);
  for (size_t piece : {packed.size(), size_t{8192}, size_t{100}}) {
    Bytes file = head;
    for (size_t at = 0; at < packed.size(); at += piece)
      add_chunk(&file, "IDAT", Bytes(packed.begin() + at, packed.begin() + std::min(at + piece, packed.size())));
    file[file.size() - 1] ^= 1;  // nobody looks at this checksum
    Bytes cut = file;
    add_chunk(&file, "IEND", {});
    Result r = streamed(file, to);
    EXPECT_EQ(r.code, VIDI_OK) << r.message;
    EXPECT_EQ(r.rgb, want);
    for (int less : {0, 1, 7}) {
      cut.resize(cut.size() - less);
      r = streamed(cut, to);
      EXPECT_EQ(r.code, VIDI_CORRUPT_IMAGE) << "without an end";
      EXPECT_NE(r.message.find("ends before"), std::string::npos) << r.message;
    }
  }
}

// A few bytes behind the last row are read, and their checksum counts.
TEST(Png, ALittleBehindTheLastRowIsReadAndDamageThereFound) {
  const Made made = make({"", PNG_COLOR_TYPE_RGB, 8, false, false}, 40, 30);
  const vi_resize to = whole(20, 15, VI_BILINEAR);
  auto [file, packed] = goes_on(made, 5000);
  add_chunk(&file, "IDAT", packed);
  const size_t checksum = file.size() - 1;
  add_chunk(&file, "IEND", {});
  Result r = streamed(file, to);
  EXPECT_EQ(r.rgb, resized(made.pixels, to)) << r.message;
  file[checksum] ^= 1;
  EXPECT_EQ(streamed(file, to).code, VIDI_CORRUPT_IMAGE);
}

TEST(Png, TheClockIsReadBeforeTheFirstRowToo) {
  Made made = make({"", PNG_COLOR_TYPE_RGB, 8, false, false}, 40, 30);
  Bytes flood(made.file.begin(), made.file.begin() + 8 + 25);
  for (int i = 0; i < 40; i++) add_chunk(&flood, "teXt", Bytes(1 << 20));
  flood.insert(flood.end(), made.file.begin() + 8 + 25, made.file.end());
  const vi_resize to = whole(20, 15, VI_BILINEAR);
  EXPECT_EQ(streamed(flood, to, 0, 60'000).code, VIDI_OK);
  EXPECT_EQ(streamed(flood, to, 0, 1).code, VIDI_IMAGE_TOO_COMPLEX);  // it takes 10 ms and more
}

TEST(Png, LimitsHold) {
  Bytes file = make(kKinds[9], 900, 700).file;
  vi_resize to = whole(9, 7, VI_BILINEAR);
  Result r = streamed(file, to, 900 * 700 - 1);
  EXPECT_EQ(r.code, VIDI_IMAGE_TOO_LARGE);
  EXPECT_EQ(r.message, "900 × 700 pixels");
  EXPECT_EQ(streamed(file, to, 900 * 700, 60'000).code, VIDI_OK);
  r = streamed(make(kKinds[9], 3000, 2000).file, to, 0, 1);
  EXPECT_EQ(r.code, VIDI_IMAGE_TOO_COMPLEX) << r.message;
  EXPECT_NE(r.message.find("takes longer"), std::string::npos);
}

TEST(Png, RefusesNullsAndBadCrops) {
  Bytes file = make(kKinds[9], 8, 8).file;
  vi_resize to = whole(4, 4, VI_BILINEAR);
  uint8_t dst[48];
  int64_t ns;
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "an argument is NULL", vi_png_resize(nullptr, 8, 0, 0, &to, dst, 48, &ns));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "an argument is NULL", vi_png_resize(file.data(), file.size(), 0, 0, nullptr, dst, 48, &ns));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "an argument is NULL", vi_png_resize(file.data(), file.size(), 0, 0, &to, nullptr, 48, &ns));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "an argument is NULL", vi_png_resize(file.data(), file.size(), 0, 0, &to, dst, 48, nullptr));
  EXPECT_FAILS(VIDI_CORRUPT_IMAGE, "empty", vi_png_resize(file.data(), 0, 0, 0, &to, dst, 48, &ns));
  EXPECT_FAILS(VIDI_SHAPE, "as long as the crop", vi_png_resize(file.data(), file.size(), 0, 0, &to, dst, 47, &ns));
  to.crop_x = 1;
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "inside the resized picture", vi_png_resize(file.data(), file.size(), 0, 0, &to, dst, 48, &ns));
}

bool is_an_answer(vidi_code code) {
  return code == VIDI_OK || code == VIDI_CORRUPT_IMAGE || code == VIDI_UNSUPPORTED_IMAGE || code == VIDI_IMAGE_TOO_LARGE ||
         code == VIDI_IMAGE_TOO_COMPLEX;
}

// There is nothing to expect of their pixels: that the sanitisers stay silent and that the answer is one of five codes is the test.
TEST(Png, MutantsOfGoodFilesAreDecodedOrRefused) {
  std::vector<Bytes> good;
  for (auto [width, height] : {std::pair{1, 1}, {31, 17}})
    for (const Kind& kind : kKinds) good.push_back(make(kind, width, height).file);
  std::mt19937 random(20260801);
  std::map<vidi_code, int> codes;
  for (int i = 0; i < 4000; i++) {
    Bytes file = good[i % good.size()];
    size_t at = 8 + random() % (file.size() - 8);
    file[at] = static_cast<uint8_t>(random());
    // Without right checksums hardly a mutant would get past the chunk it is in.
    for (size_t chunk = 8; chunk + 12 <= file.size();) {
      size_t length = file[chunk] << 24 | file[chunk + 1] << 16 | file[chunk + 2] << 8 | file[chunk + 3];
      if (length > file.size() - chunk - 12) break;
      uint32_t crc = 0xFFFFFFFF;
      for (size_t k = chunk + 4; k < chunk + 8 + length; k++) {
        crc ^= file[k];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
      }
      crc = ~crc;
      for (int k = 0; k < 4; k++) file[chunk + 8 + length + k] = static_cast<uint8_t>(crc >> (24 - 8 * k));
      chunk += 12 + length;
    }
    vi_resize to = whole(6, 5, VI_BILINEAR);
    to.orientation = i % 9;
    Result r = streamed(file, to, 1'000'000, 2000);
    EXPECT_TRUE(is_an_answer(r.code)) << r.code << ": " << r.message;
    codes[r.code]++;
  }
  EXPECT_GT(codes[VIDI_OK], 200);
  EXPECT_GT(codes[VIDI_CORRUPT_IMAGE], 1000);
}

TEST(Png, NoFileOfTheCollectionBreaksTheDecoderOrItsLimits) {
  const char* shared = std::getenv("VIDI_SHARED");
  if (shared == nullptr) {
    const char* ci = std::getenv("CI");
    if (ci != nullptr && *ci != 0) FAIL() << "VIDI_SHARED is not set, and CI must not skip the hostile pictures";
    GTEST_SKIP() << "VIDI_SHARED is not set: it names the folder that holds hostile/, pictures made to do damage";
  }
  std::map<vidi_code, int> codes;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(std::filesystem::path(shared) / "hostile")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    Bytes file((std::istreambuf_iterator<char>(in)), {});
    if (file.empty()) continue;
    Result r = streamed(file, whole(16, 16, VI_BILINEAR), 50'000'000, 2000);
    EXPECT_TRUE(is_an_answer(r.code)) << entry.path().filename() << ": " << r.code << ": " << r.message;
    codes[r.code]++;
  }
  EXPECT_GT(codes[VIDI_OK], 100);
  EXPECT_GT(codes[VIDI_CORRUPT_IMAGE], 500);
  std::cout << codes[VIDI_OK] << " decoded, " << codes[VIDI_CORRUPT_IMAGE] << " no PNG or corrupt, " << codes[VIDI_UNSUPPORTED_IMAGE]
            << " interlaced, " << codes[VIDI_IMAGE_TOO_LARGE] << " too large, " << codes[VIDI_IMAGE_TOO_COMPLEX] << " too complex\n";
}

}  // namespace
