// Antialiased resize of 8-bit pictures with the arithmetic of Pillow's Image.resize (libImaging/Resample.c), so that the
// result is the same to the last bit: weights in double precision, rounded to 22 bits; a horizontal pass that is rounded to
// 8 bits; then a vertical one. Only the rows and columns that the crop needs are computed.
#include <cmath>
#include <cstring>
#include <vector>

#include "status.h"

namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;

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

// For each output position of one axis: which input positions count, and how much.
struct Taps {
  int stride = 0;                // room for one position's weights
  std::vector<int64_t> first;    // first input position
  std::vector<int> count;        // how many
  std::vector<int32_t> weights;  // stride per position, 1.0 = 1 << kPrecisionBits
};

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

using Int4 = int32_t __attribute__((vector_size(16)));
using Byte4 = uint8_t __attribute__((vector_size(4)));

inline uint8_t to_byte(int32_t sum) {
  int32_t v = sum >> kPrecisionBits;
  return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

// One row of pixels to one row of n pixels. The four bytes of a pixel go side by side through a vector register.
[[gnu::always_inline]] inline void horizontal_row(const uint8_t* src, const Taps& taps, int64_t n, uint8_t* dst) {
  for (int64_t i = 0; i < n; i++) {
    const uint8_t* pixel = src + taps.first[i] * 4;
    const int32_t* weights = &taps.weights[static_cast<size_t>(i) * taps.stride];
    Int4 sum = {1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1)};
    for (int k = 0; k < taps.count[i]; k++, pixel += 4) {
      Byte4 bytes;
      std::memcpy(&bytes, pixel, 4);
      sum += __builtin_convertvector(bytes, Int4) * weights[k];
    }
    for (int c = 0; c < 4; c++) dst[4 * i + c] = to_byte(sum[c]);
  }
}

// `count` rows of row_bytes each, weighted and added to one row of bytes. sums is scratch of row_bytes.
[[gnu::always_inline]] inline void vertical_row(const uint8_t* src, size_t row_bytes, const int32_t* weights, int count, int32_t* sums,
                                                uint8_t* dst) {
  for (size_t x = 0; x < row_bytes; x++) sums[x] = 1 << (kPrecisionBits - 1);
  for (int k = 0; k < count; k++, src += row_bytes)
    for (size_t x = 0; x < row_bytes; x++) sums[x] += src[x] * weights[k];
  for (size_t x = 0; x < row_bytes; x++) dst[x] = to_byte(sums[x]);
}

// The same loops compiled twice: for any CPU, and for AVX2, whose 32-bit multiply is what they wait for.
void horizontal_any(const uint8_t* src, const Taps& taps, int64_t n, uint8_t* dst) { horizontal_row(src, taps, n, dst); }
void vertical_any(const uint8_t* src, size_t row_bytes, const int32_t* weights, int count, int32_t* sums, uint8_t* dst) {
  vertical_row(src, row_bytes, weights, count, sums, dst);
}
#ifdef __x86_64__
[[gnu::target("avx2")]] void horizontal_avx2(const uint8_t* src, const Taps& taps, int64_t n, uint8_t* dst) {
  horizontal_row(src, taps, n, dst);
}
[[gnu::target("avx2")]] void vertical_avx2(const uint8_t* src, size_t row_bytes, const int32_t* weights, int count, int32_t* sums,
                                           uint8_t* dst) {
  vertical_row(src, row_bytes, weights, count, sums, dst);
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2");
const auto horizontal = kHasAvx2 ? horizontal_avx2 : horizontal_any;
const auto vertical = kHasAvx2 ? vertical_avx2 : vertical_any;
#else
const auto horizontal = horizontal_any;
const auto vertical = vertical_any;
#endif

void resize(const uint8_t* pixels, int64_t width, int64_t height, size_t stride, const tb_resize& r, uint8_t* dst) {
  const Filter filter = r.filter == TB_BILINEAR ? Filter{bilinear, 1.0} : Filter{bicubic, 2.0};
  Taps across = taps_for(width, r.width, r.crop_x, r.crop_width, filter);
  Taps down = taps_for(height, r.height, r.crop_y, r.crop_height, filter);

  // The rows that the vertical pass will read, each resized horizontally first. Windows move down, so the first and the
  // last position of the crop bound them.
  int64_t top = down.first.front();
  int64_t bottom = down.first.back() + down.count.back();
  size_t row_bytes = static_cast<size_t>(r.crop_width) * 4;
  std::vector<uint8_t> rows(static_cast<size_t>(bottom - top) * row_bytes);
  for (int64_t y = top; y < bottom; y++)
    horizontal(pixels + static_cast<size_t>(y) * stride, across, r.crop_width, &rows[(y - top) * row_bytes]);

  std::vector<int32_t> sums(row_bytes);
  std::vector<uint8_t> line(row_bytes);
  for (int64_t y = 0; y < r.crop_height; y++) {
    vertical(&rows[(down.first[y] - top) * row_bytes], row_bytes, &down.weights[static_cast<size_t>(y) * down.stride], down.count[y],
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
