// Antialiased resize of 8-bit pictures with the arithmetic of Pillow's Image.resize (libImaging/Resample.c), so that the
// result is the same to the last bit: weights in double precision, rounded to 22 bits; a horizontal pass that is rounded to
// 8 bits; then a vertical one. Only the rows and columns that the crop needs are computed.
#include <cmath>
#include <cstring>
#include <vector>

#include "resize_rows.h"
#include "status.h"

namespace {

using tb::kPrecisionBits;
using tb::Taps;

struct Filter {
  double (*weight)(double);
  double support;
};

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double bicubic(double x) {  // Keys' kernel with a = −0.5
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Taps for output positions [crop, crop + n) of an axis resized from `in` to `out` positions.
Taps taps_for(int64_t in, int64_t out, int64_t crop, int64_t n, const Filter& filter) {
  double scale = static_cast<double>(in) / static_cast<double>(out);
  double filter_scale = scale < 1.0 ? 1.0 : scale;
  double support = filter.support * filter_scale;
  double inverse = 1.0 / filter_scale;
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(n);
  taps.count.resize(n);
  taps.weights.assign(static_cast<size_t>(n) * taps.stride, 0);
  std::vector<double> raw(taps.stride);
  for (int64_t i = 0; i < n; i++) {
    double centre = (static_cast<double>(crop + i) + 0.5) * scale;
    int64_t first = static_cast<int64_t>(centre - support + 0.5);
    if (first < 0) first = 0;
    int64_t end = static_cast<int64_t>(centre + support + 0.5);
    if (end > in) end = in;
    int count = static_cast<int>(end - first);
    double sum = 0.0;
    for (int k = 0; k < count; k++) {
      raw[k] = filter.weight((static_cast<double>(k + first) - centre + 0.5) * inverse);
      sum += raw[k];
    }
    int32_t* weights = &taps.weights[static_cast<size_t>(i) * taps.stride];
    for (int k = 0; k < count; k++) {
      double w = sum != 0.0 ? raw[k] / sum : raw[k];
      weights[k] = static_cast<int32_t>(w < 0 ? -0.5 + w * (1 << kPrecisionBits) : 0.5 + w * (1 << kPrecisionBits));
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

// Chooses the loops for this CPU and this picture.
class Rows {
 public:
  Rows(const Taps& across, int64_t width) : across_(across) {
#ifdef __x86_64__
    avx2_ = __builtin_cpu_supports("avx2");
    packed_ = avx2_ && across_packed_.pack(across, width);
#else
    (void)width;
#endif
  }

  void horizontal(const uint8_t* src, uint8_t* dst) const {
#ifdef __x86_64__
    if (packed_) return tb::horizontal_avx2(src, across_packed_, dst);
#endif
    tb::horizontal_any(src, across_, dst);
  }

  void vertical(const uint8_t* src, size_t row_bytes, const int32_t* weights, int count, int32_t* sums, uint8_t* dst) const {
#ifdef __x86_64__
    if (avx2_) return tb::vertical_avx2(src, row_bytes, weights, count, sums, dst);
#endif
    tb::vertical_any(src, row_bytes, weights, count, sums, dst);
  }

 private:
  const Taps& across_;
#ifdef __x86_64__
  tb::PackedTaps across_packed_;
  bool avx2_ = false;
  bool packed_ = false;
#endif
};

void resize(const uint8_t* pixels, int64_t width, int64_t height, size_t stride, const tb_resize& r, uint8_t* dst) {
  const Filter filter = r.filter == TB_BILINEAR ? Filter{bilinear, 1.0} : Filter{bicubic, 2.0};
  Taps across = taps_for(width, r.width, r.crop_x, r.crop_width, filter);
  Taps down = taps_for(height, r.height, r.crop_y, r.crop_height, filter);
  Rows loops(across, width);

  // The rows that the vertical pass will read, each resized horizontally first. Windows move down, so the first and the
  // last position of the crop bound them.
  int64_t top = down.first.front();
  int64_t bottom = down.first.back() + down.count.back();
  size_t row_bytes = static_cast<size_t>(r.crop_width) * 4;
  std::vector<uint8_t> rows(static_cast<size_t>(bottom - top) * row_bytes);
  for (int64_t y = top; y < bottom; y++) loops.horizontal(pixels + static_cast<size_t>(y) * stride, &rows[(y - top) * row_bytes]);

  std::vector<int32_t> sums(row_bytes);
  std::vector<uint8_t> line(row_bytes);
  for (int64_t y = 0; y < r.crop_height; y++) {
    loops.vertical(&rows[(down.first[y] - top) * row_bytes], row_bytes, &down.weights[static_cast<size_t>(y) * down.stride], down.count[y],
                   sums.data(), line.data());
    for (int64_t x = 0; x < r.crop_width; x++, dst += 3) std::memcpy(dst, &line[4 * x], 3);
  }
}

}  // namespace

extern "C" tb_status* tb_image_resize(const uint8_t* pixels, int64_t width, int64_t height, size_t stride, const tb_resize* resize_to,
                                      uint8_t* dst, size_t dst_bytes) {
  using tb::require;
  return tb::guarded(TB_INTERNAL, [&] {
    require(pixels != nullptr && resize_to != nullptr && dst != nullptr, TB_INVALID_ARGUMENT, "pixels, resize or dst is NULL");
    const tb_resize& r = *resize_to;
    // Sides that fit an int keep every product below inside 64 bits; Pillow has the same bound on the input.
    require(width > 0 && height > 0 && width <= INT32_MAX / 4 && height <= INT32_MAX / 4, TB_INVALID_ARGUMENT,
            "the picture's size is out of range");
    require(stride >= static_cast<size_t>(width) * 4, TB_INVALID_ARGUMENT, "the stride is shorter than a row");
    require(r.width > 0 && r.height > 0 && r.width < INT64_C(1) << 40 && r.height < INT64_C(1) << 40, TB_INVALID_ARGUMENT,
            "the resized size is out of range");
    require(r.crop_width > 0 && r.crop_height > 0 && r.crop_width <= 8192 && r.crop_height <= 8192, TB_INVALID_ARGUMENT,
            "the crop is 1 to 8192 pixels a side");
    require(r.crop_x >= 0 && r.crop_y >= 0 && r.crop_x <= r.width - r.crop_width && r.crop_y <= r.height - r.crop_height,
            TB_INVALID_ARGUMENT, "the crop does not lie inside the resized picture");
    require(r.filter == TB_BILINEAR || r.filter == TB_BICUBIC, TB_INVALID_ARGUMENT, "the filter is bilinear or bicubic");
    require(dst_bytes == static_cast<size_t>(r.crop_width * r.crop_height * 3), TB_SHAPE, "dst is not as long as the crop");
    resize(pixels, width, height, stride, r, dst);
  });
}
