// Pictures in memory for the tests of the resize, and the resize itself with the loops of choice.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "guarded.h"
#include "resampler.h"
#include "testing.h"

namespace vidi::image::testing {

using Bytes = std::vector<uint8_t>;

// The pictures of testdata/make_resize.py.
inline uint8_t sample(const std::string& pattern, int x, int y, int c) {
  if (pattern == "noise") return static_cast<uint8_t>(x * 37 + y * 101 + c * 59 + x * y * 7 + (x * x * 3 >> 1));
  if (pattern == "edges") return (x / 3 + y / 2 + c) % 2 ? 255 : 0;
  return static_cast<uint8_t>((x * (2 + c) + y * (4 - c)) / 3);
}

// The filters of testdata/make_resize.py.
inline vi_filter filter_of(const std::string& name) {
  for (auto [known, filter] : {std::pair("lanczos", VI_LANCZOS),
                               {"bilinear", VI_BILINEAR},
                               {"bicubic", VI_BICUBIC},
                               {"box", VI_BOX},
                               {"hamming", VI_HAMMING},
                               {"nearest", VI_NEAREST}})
    if (name == known) return filter;
  ADD_FAILURE() << "no filter " << name;
  return VI_BILINEAR;
}

struct Pixels {
  int64_t width, height;
  size_t stride;
  size_t bytes;
  std::unique_ptr<uint8_t[]> pixels;  // ends with the last pixel of the last row
};

inline Pixels blank(int64_t width, int64_t height, size_t padding = 0) {
  Pixels p{width, height, static_cast<size_t>(width) * 4 + padding, 0, nullptr};
  p.bytes = p.stride * (height - 1) + static_cast<size_t>(width) * 4;
  p.pixels = exact_buffer(p.bytes, 0xEE);
  return p;
}

// `fourth` goes into the byte beside each pixel's colours, `padding` into the bytes between rows.
inline Pixels picture(const std::string& pattern, int width, int height, int fourth = 255, size_t padding = 0) {
  Pixels p = blank(width, height, padding);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      uint8_t* pixel = &p.pixels[y * p.stride + static_cast<size_t>(x) * 4];
      for (int c = 0; c < 3; c++) pixel[c] = sample(pattern, x, y, c);
      pixel[3] = static_cast<uint8_t>(fourth);
    }
  return p;
}

// Where the stored picture's pixel at x, y lies once the picture of width × height is turned upright, by the EXIF standard's
// words for where its first row and first column are.
inline std::pair<double, double> upright(double x, double y, double width, double height, int orientation) {
  switch (orientation) {
    case 2:
      return {width - x, y};
    case 3:
      return {width - x, height - y};
    case 4:
      return {x, height - y};
    case 5:
      return {y, x};
    case 6:
      return {height - y, x};
    case 7:
      return {height - y, width - x};
    case 8:
      return {y, width - x};
  }
  return {x, y};
}

inline Pixels turned(const Pixels& p, int orientation) {
  Pixels out = orientation >= 5 ? blank(p.height, p.width) : blank(p.width, p.height);
  for (int64_t y = 0; y < p.height; y++)
    for (int64_t x = 0; x < p.width; x++) {
      auto [to_x, to_y] = upright(static_cast<double>(x), static_cast<double>(y), static_cast<double>(p.width - 1),
                                  static_cast<double>(p.height - 1), orientation);
      std::memcpy(&out.pixels[static_cast<size_t>(to_y) * out.stride + static_cast<size_t>(to_x) * 4], &p.pixels[y * p.stride + x * 4], 4);
    }
  return out;
}

inline vi_box turned(const vi_box& box, int64_t width, int64_t height, int orientation) {
  auto [ax, ay] = upright(box.x0, box.y0, static_cast<double>(width), static_cast<double>(height), orientation);
  auto [bx, by] = upright(box.x1, box.y1, static_cast<double>(width), static_cast<double>(height), orientation);
  return {std::min(ax, bx), std::min(ay, by), std::max(ax, bx), std::max(ay, by)};
}

inline vi_resize whole(int64_t width, int64_t height, vi_filter filter) { return {width, height, 0, 0, width, height, filter, 0, {}}; }

// The window as a vector of exactly its bytes: writing past the end is seen by AddressSanitizer.
inline Bytes resized(const Pixels& p, const vi_resize& to) {
  size_t size = static_cast<size_t>(to.crop_width * to.crop_height * 3);
  auto dst = exact_buffer(size);
  EXPECT_OK(vi_image_resize(p.pixels.get(), p.width, p.height, p.stride, &to, dst.get(), size));
  return Bytes(dst.get(), dst.get() + size);
}

inline Bytes resized(const Pixels& p, const vi_resize& to, Loops loops) {
  size_t size = static_cast<size_t>(to.crop_width * to.crop_height * 3);
  auto dst = exact_buffer(size);
  EXPECT_OK(guarded(VIDI_INTERNAL, [&] {
    Resampler resampler(p.width, p.height, to, dst.get(), size, loops);
    resampler.hold_columns(0, p.width);
    for (int64_t y = resampler.top(), n = 1; y < resampler.bottom(); y += n, n = 1 + n % 7) {  // in batches of all sizes
      n = std::min(n, resampler.bottom() - y);
      const uint8_t* rows[7];
      for (int64_t i = 0; i < n; i++) rows[i] = &p.pixels[(y + i) * p.stride];
      resampler.push(rows, static_cast<int>(n));
    }
  }));
  return Bytes(dst.get(), dst.get() + size);
}

// Those that this CPU has.
inline std::vector<Loops> all_loops() {
  std::vector<Loops> all;
  for (int i = 0; i <= static_cast<int>(best_loops()); i++) all.push_back(static_cast<Loops>(i));
  return all;
}

}  // namespace vidi::image::testing
