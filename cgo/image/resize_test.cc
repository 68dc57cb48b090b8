// The resize: Pillow's results to the last bit, the properties that follow from what it is, and every refusal.
#include <random>
#include <sstream>
#include <thread>
#include <tuple>

#include "testing.h"
#include "testing_picture.h"

namespace {

using namespace vidi::image::testing;

Bytes cut(const Bytes& rgb, int64_t width, const vi_resize& window) {
  Bytes out;
  for (int64_t y = 0; y < window.crop_height; y++) {
    auto row = rgb.begin() + ((window.crop_y + y) * width + window.crop_x) * 3;
    out.insert(out.end(), row, row + window.crop_width * 3);
  }
  return out;
}

struct Golden {
  std::string pattern, filter, hash;
  int width, height;
  vi_resize to{};
};

std::vector<Golden> goldens() {
  std::vector<Golden> all;
  for (const std::string& line : testdata("resize.txt")) {
    std::istringstream fields(line);
    Golden g;
    fields >> g.pattern >> g.width >> g.height >> g.to.width >> g.to.height >> g.to.crop_x >> g.to.crop_y >> g.to.crop_width >>
        g.to.crop_height >> g.filter >> g.hash;
    EXPECT_TRUE(fields && g.hash.size() == 16) << line;
    g.to.filter = filter_of(g.filter);
    all.push_back(g);
  }
  EXPECT_EQ(all.size(), 810u) << "testdata/resize.txt is not whole";
  return all;
}

TEST(Resize, ResultsArePillowsToTheLastBit) {
  for (const Golden& g : goldens()) {
    Bytes got = resized(picture(g.pattern, g.width, g.height), g.to);
    EXPECT_EQ(fnv(got.data(), got.size()), std::stoull(g.hash, nullptr, 16))
        << g.pattern << " " << g.width << " × " << g.height << " to " << g.to.width << " × " << g.to.height << " " << g.filter;
  }
}

TEST(Resize, WithAllInstructionsTheResultsAreTheSame) {
  for (const Golden& g : goldens()) {
    Pixels p = picture(g.pattern, g.width, g.height);
    for (vidi::image::Loops loops : all_loops())
      EXPECT_EQ(resized(p, g.to, vidi::image::Loops::portable), resized(p, g.to, loops)) << g.width << " × " << g.height << " " << g.filter;
  }
}

TEST(Resize, WithAllInstructionsAtAnySizeAndWindow) {
  std::mt19937 random(1);
  auto between = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1)); };
  for (int i = 0; i < 400; i++) {
    int width = static_cast<int>(between(1, i % 10 == 0 ? 5000 : 60)), height = static_cast<int>(between(1, 40));
    vi_resize to{between(1, 70), between(1, 50), 0, 0, 0, 0, i % 2 ? VI_BILINEAR : VI_BICUBIC, 0, {}};
    to.crop_width = between(1, to.width);
    to.crop_height = between(1, to.height);
    to.crop_x = between(0, to.width - to.crop_width);
    to.crop_y = between(0, to.height - to.crop_height);
    Pixels p = picture(i % 3 ? "noise" : "edges", width, height);
    for (vidi::image::Loops loops : all_loops())
      ASSERT_EQ(resized(p, to, vidi::image::Loops::portable), resized(p, to, loops)) << width << " × " << height << ", attempt " << i;
  }
}

class ResizeFilter : public ::testing::TestWithParam<vi_filter> {};
INSTANTIATE_TEST_SUITE_P(Filters, ResizeFilter, ::testing::Values(VI_BILINEAR, VI_BICUBIC),
                         [](const auto& info) { return info.param == VI_BILINEAR ? "Bilinear" : "Bicubic"; });

TEST_P(ResizeFilter, APictureOfOneColourStaysThat) {
  for (int value : {0, 1, 127, 254, 255})
    for (auto [w, h] : {std::pair{3, 2}, {40, 30}, {97, 5}, {1, 1}, {200, 1}}) {
      Pixels p = picture("noise", 40, 30);
      std::memset(p.pixels.get(), value, p.bytes);
      EXPECT_EQ(resized(p, whole(w, h, GetParam())), Bytes(static_cast<size_t>(w) * h * 3, static_cast<uint8_t>(value)))
          << value << ", " << w << " × " << h;
    }
}

TEST_P(ResizeFilter, TheSameSizeChangesNothing) {
  for (const char* pattern : {"noise", "edges", "smooth"}) {
    Pixels p = picture(pattern, 31, 17);
    Bytes want;
    for (int i = 0; i < 31 * 17; i++) want.insert(want.end(), &p.pixels[4 * i], &p.pixels[4 * i + 3]);
    EXPECT_EQ(resized(p, whole(31, 17, GetParam())), want) << pattern;
  }
}

TEST_P(ResizeFilter, AWindowIsThatPartOfTheWholeWhereverItLies) {
  Pixels p = picture("noise", 53, 37);
  for (auto [w, h] : {std::pair{20, 14}, {53, 14}, {80, 90}, {7, 61}}) {
    Bytes all = resized(p, whole(w, h, GetParam()));
    for (int64_t cw : {1, 3, w / 2, w})
      for (int64_t ch : {1, 2, h / 2, h})
        for (int64_t x : {int64_t{0}, (w - cw) / 2, w - cw})
          for (int64_t y : {int64_t{0}, (h - ch) / 3, h - ch}) {
            vi_resize window{w, h, x, y, cw, ch, GetParam(), 0, {}};
            ASSERT_EQ(resized(p, window), cut(all, w, window)) << w << " × " << h << ": " << x << ", " << y << ", " << cw << " × " << ch;
          }
  }
}

TEST_P(ResizeFilter, EveryPixelCanBeHadAlone) {
  Pixels p = picture("edges", 23, 19);
  Bytes all = resized(p, whole(12, 25, GetParam()));
  for (int64_t y = 0; y < 25; y++)
    for (int64_t x = 0; x < 12; x++) {
      vi_resize pixel{12, 25, x, y, 1, 1, GetParam(), 0, {}};
      ASSERT_EQ(resized(p, pixel), cut(all, 12, pixel)) << x << ", " << y;
    }
}

TEST_P(ResizeFilter, TheFourthByteAndThePaddingAreIgnored) {
  vi_resize to = whole(19, 33, GetParam());
  Bytes want = resized(picture("noise", 29, 21, 255), to);
  EXPECT_EQ(resized(picture("noise", 29, 21, 0), to), want);
  EXPECT_EQ(resized(picture("noise", 29, 21, 77, 5), to), want);
}

TEST_P(ResizeFilter, AWindowOfAnEnormousEnlargementCostsOnlyItself) {
  Pixels p = picture("smooth", 9, 9);
  int64_t huge = (INT64_C(1) << 40) - 1;
  for (int64_t at : {int64_t{0}, huge / 2, huge - 4}) {
    Bytes corner = resized(p, {huge, huge, at, at, 4, 4, GetParam(), 0, {}});
    for (int i = 3; i < 48; i++) EXPECT_EQ(corner[i], corner[i % 3]);  // so close together no two pixels differ
  }
}

TEST_P(ResizeFilter, SeveralThreadsResizeAtOnce) {
  Pixels p = picture("noise", 200, 150);
  vi_resize to = whole(64, 48, GetParam());
  Bytes want = resized(p, to);
  std::vector<Bytes> got(4);
  std::vector<std::thread> threads;
  for (Bytes& g : got)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; i++) g = resized(p, to);
    });
  for (std::thread& t : threads) t.join();
  for (const Bytes& g : got) EXPECT_EQ(g, want);
}

// Each refusal: one value of a good call changed.

struct Call {
  int64_t width = 8, height = 6;
  size_t stride = 32;
  vi_resize to{4, 5, 1, 2, 3, 2, VI_BILINEAR, 0, {}};
  size_t dst_bytes = 3 * 2 * 3;
  vidi_status* run() const {
    Bytes pixels(8 * 6 * 4), dst(3 * 2 * 3);
    return vi_image_resize(pixels.data(), width, height, stride, &to, dst.data(), dst_bytes);
  }
};

TEST(ResizeRefuses, Nulls) {
  Bytes pixels(8 * 6 * 4), dst(3 * 2 * 3);
  Call good;
  EXPECT_OK(good.run());
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_image_resize(nullptr, 8, 6, 32, &good.to, dst.data(), dst.size()));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_image_resize(pixels.data(), 8, 6, 32, nullptr, dst.data(), dst.size()));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", vi_image_resize(pixels.data(), 8, 6, 32, &good.to, nullptr, dst.size()));
}

TEST(ResizeRefuses, SizesOutOfRange) {
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MIN, int64_t{INT32_MAX / 4 + 1}, INT64_MAX}) {
    for (auto side : {&Call::width, &Call::height}) {
      Call call;
      call.*side = bad;
      call.stride = SIZE_MAX;
      EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "picture's size", call.run()) << bad;
    }
  }
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_C(1) << 40, INT64_MAX}) {
    for (auto side : {&vi_resize::width, &vi_resize::height}) {
      Call call;
      call.to.*side = bad;
      EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "resized size", call.run()) << bad;
    }
  }
}

TEST(ResizeRefuses, AStrideShorterThanARow) {
  for (size_t bad : {0, 1, 31}) {
    Call call;
    call.stride = bad;
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "stride", call.run()) << bad;
  }
}

TEST(ResizeRefuses, WindowsOutsideTheResult) {
  for (int64_t bad : {int64_t{0}, int64_t{-1}, int64_t{8193}, INT64_MIN, INT64_MAX})
    for (auto side : {&vi_resize::crop_width, &vi_resize::crop_height}) {
      Call call;
      call.to.*side = bad;
      EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "1 to 8192", call.run()) << bad;
    }
  const std::tuple<int64_t vi_resize::*, int64_t> outside[] = {
      {&vi_resize::crop_x, -1},    {&vi_resize::crop_x, 2},      {&vi_resize::crop_x, INT64_MAX}, {&vi_resize::crop_x, INT64_MIN},
      {&vi_resize::crop_y, -1},    {&vi_resize::crop_y, 4},      {&vi_resize::crop_y, INT64_MAX}, {&vi_resize::crop_y, INT64_MIN},
      {&vi_resize::crop_width, 4}, {&vi_resize::crop_height, 4}, {&vi_resize::crop_width, 8192},  {&vi_resize::crop_height, 8192}};
  for (auto [member, bad] : outside) {
    Call call;
    call.to.*member = bad;
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "inside the resized picture", call.run()) << bad;
  }
}

TEST(ResizeRefuses, OtherFilters) {
  for (int32_t bad : {0, 7, -2, INT32_MAX}) {
    Call call;
    call.to.filter = bad;
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "vi_filter", call.run()) << bad;
  }
}

TEST(ResizeRefuses, ABufferThatIsNotExactlyTheWindow) {
  for (size_t bad : {size_t{0}, size_t{17}, size_t{19}, SIZE_MAX}) {
    Call call;
    call.dst_bytes = bad;
    EXPECT_FAILS(VIDI_SHAPE, "dst is not as long", call.run()) << bad;
  }
}

}  // namespace
