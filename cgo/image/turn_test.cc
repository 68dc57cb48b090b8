// The resize of a stored picture that is turned on the way, and of a part of one: the same bytes as turning it first.
#include <cmath>
#include <random>
#include <sstream>

#include "guarded.h"
#include "resampler.h"
#include "testing.h"
#include "testing_picture.h"

namespace {

using namespace vidi::image::testing;

struct Random {
  std::mt19937 engine{20260801};
  int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(engine() % static_cast<uint64_t>(high - low + 1)); }
};

vi_resize somewhere(Random& random, int64_t largest, vi_filter filter) {
  vi_resize to = whole(random.between(1, largest), random.between(1, largest), filter);
  to.crop_width = random.between(1, to.width);
  to.crop_height = random.between(1, to.height);
  to.crop_x = random.between(0, to.width - to.crop_width);
  to.crop_y = random.between(0, to.height - to.crop_height);
  return to;
}

TEST(Turn, ResultsArePillowsToTheLastBit) {
  std::vector<std::string> lines = testdata("turn.txt");
  EXPECT_EQ(lines.size(), 288u) << "testdata/turn.txt is not whole";
  for (const std::string& line : lines) {
    std::istringstream fields(line);
    std::string pattern, filter, hash;
    int width, height;
    vi_resize to{};
    ASSERT_TRUE(fields >> pattern >> width >> height >> to.orientation >> to.box.x0 >> to.box.y0 >> to.box.x1 >> to.box.y1 >> to.width >>
                to.height >> to.crop_x >> to.crop_y >> to.crop_width >> to.crop_height >> filter >> hash)
        << line;
    to.filter = filter_of(filter);
    Bytes got = resized(picture(pattern, width, height), to);
    EXPECT_EQ(fnv(got.data(), got.size()), std::stoull(hash, nullptr, 16)) << line;
  }
}

class TurnOrientation : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Exif, TurnOrientation, ::testing::Range(1, 9));

TEST_P(TurnOrientation, IsTheSameAsTurningFirst) {
  Random random;
  for (int i = 0; i < 300; i++) {
    int largest = i % 10 == 0 ? 900 : 60;
    Pixels p = picture(i % 2 ? "noise" : "edges", static_cast<int>(random.between(1, largest)),
                       static_cast<int>(random.between(1, largest)), 255, i % 3);
    vi_resize to = somewhere(random, 70, i % 4 < 2 ? VI_BILINEAR : VI_BICUBIC);
    Bytes want = resized(turned(p, GetParam()), to);
    to.orientation = GetParam();
    for (vidi::image::Loops loops : all_loops())
      ASSERT_EQ(resized(p, to, loops), want) << p.width << " × " << p.height << ", attempt " << i;
  }
}

TEST_P(TurnOrientation, TheBoxIsTurnedWithThePicture) {
  Random random;
  for (int i = 0; i < 200; i++) {
    Pixels p = picture("noise", static_cast<int>(random.between(2, 90)), static_cast<int>(random.between(2, 90)));
    Pixels upright = turned(p, GetParam());
    auto eighth = [](int64_t n) { return static_cast<double>(n) / 8; };  // exact, and so are differences
    vi_resize to = somewhere(random, 40, i % 2 ? VI_BILINEAR : VI_BICUBIC), stored = to;
    int64_t x0 = random.between(0, p.width * 8 - 1), y0 = random.between(0, p.height * 8 - 1);
    stored.box = {eighth(x0), eighth(y0), eighth(random.between(x0 + 1, p.width * 8)), eighth(random.between(y0 + 1, p.height * 8))};
    stored.orientation = GetParam();
    to.box = turned(stored.box, p.width, p.height, GetParam());
    ASSERT_EQ(resized(p, stored), resized(upright, to)) << p.width << " × " << p.height << ", attempt " << i;
  }
}

TEST_P(TurnOrientation, OnlyTheRowsAndColumnsThatItNamesAreRead) {
  Random random;
  for (int i = 0; i < 100; i++) {
    Pixels p = picture("noise", static_cast<int>(random.between(1, 200)), static_cast<int>(random.between(1, 200)));
    vi_resize to = somewhere(random, 60, i % 2 ? VI_BILINEAR : VI_BICUBIC);
    to.orientation = GetParam();
    Bytes want = resized(p, to);
    size_t size = want.size();
    auto dst = exact_buffer(size);
    vidi::image::Resampler resampler(p.width, p.height, to, dst.get(), size);
    int64_t left = random.between(0, resampler.left()), right = random.between(resampler.right(), p.width);
    resampler.hold_columns(left, right);
    for (int64_t y = resampler.top(); y < resampler.bottom(); y++) {
      size_t bytes = static_cast<size_t>(right - left) * 4;
      auto row = exact_buffer(bytes);  // gone after the call, and not a byte longer
      std::memcpy(row.get(), &p.pixels[y * p.stride + static_cast<size_t>(left) * 4], bytes);
      const uint8_t* rows[] = {row.get()};
      resampler.push(rows, 1);
    }
    ASSERT_EQ(Bytes(dst.get(), dst.get() + size), want);
  }
}

TEST(Turn, NoOrientationIsTheFirst) {
  Pixels p = picture("noise", 40, 30);
  vi_resize to = whole(20, 10, VI_BILINEAR);
  Bytes want = resized(p, to);
  to.orientation = 1;
  EXPECT_EQ(resized(p, to), want);
}

TEST(Turn, ABoxOfTheWholePictureIsNoBox) {
  Pixels p = picture("noise", 40, 30);
  vi_resize to = whole(23, 17, VI_BICUBIC);
  Bytes want = resized(p, to);
  to.box = {0, 0, 40, 30};
  EXPECT_EQ(resized(p, to), want);
}

TEST(Turn, OtherOrientationsAndBoxesAreRefused) {
  Pixels p = picture("noise", 8, 6);
  auto dst = exact_buffer(4 * 5 * 3);
  auto attempt = [&](int32_t orientation, vi_box box) {
    vi_resize to = whole(4, 5, VI_BILINEAR);
    to.orientation = orientation;
    to.box = box;
    return vi_image_resize(p.pixels.get(), p.width, p.height, p.stride, &to, dst.get(), 4 * 5 * 3);
  };
  EXPECT_OK(attempt(8, {0, 0, 8, 6}));
  for (int32_t bad : {-1, 9, INT32_MAX, INT32_MIN}) EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "orientation", attempt(bad, {}));
  const double nan = std::nan(""), inf = INFINITY;
  const vi_box boxes[] = {{0, 0, 8.1, 6}, {0, 0, 8, 6.1}, {-0.1, 0, 8, 6}, {0, -0.1, 8, 6}, {4, 0, 4, 6},   {5, 0, 4, 6},
                          {0, 6, 8, 6},   {0, 5, 8, 4},   {nan, 0, 8, 6},  {0, nan, 8, 6},  {0, 0, nan, 6}, {0, 0, 8, nan},
                          {0, 0, inf, 6}, {0, 0, 8, inf}, {-inf, 0, 8, 6}, {0, 0, 0, 6}};
  for (const vi_box& bad : boxes)
    for (int32_t orientation : {1, 6}) EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "box", attempt(orientation, bad)) << bad.x0 << " " << bad.y0;
}

}  // namespace
