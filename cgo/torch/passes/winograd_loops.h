// The loops of winograd.h, once for each kind of CPU: a file that is compiled for one defines TB_LANES, the floats in a vector,
// TB_VECTORS, the vectors in a panel of output channels, and TB_ROWS, the tiles whose sums are in registers together. It may
// include nothing else that has code in it: the linker keeps one copy of an inline function, and must not keep one for a CPU that is not
// there.
#include "winograd.h"

namespace {

using tb::WinogradCall;

// So many floats (2 KB) before they are used, the weights of a layer whose transformed weights fit no cache (17 MB for 512 to 512
// channels) are asked for from memory. The CPU itself looks ahead less far: such a layer takes an eighth less time with it.
constexpr int kAhead = 512, kCacheLine = 16;

constexpr int kLanes = TB_LANES, kVectors = TB_VECTORS, kRows = TB_ROWS, kPanel = kLanes * kVectors;
static_assert(tb::kWinogradTiles % kRows == 0 && kPanel <= 32);  // winograd_weights counts on the latter

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));
inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector v) { *reinterpret_cast<Vector*>(to) = v; }

// Sums over `depth` of a[row][k] * b[k][column], for Rows rows, `a_stride` apart, and a panel of columns.
template <int Rows>
inline void multiply(const float* a, int64_t a_stride, const float* b, int64_t depth, float* out) {
  Vector sums[Rows][kVectors] = {};
  for (int64_t k = 0; k < depth; k++, b += kPanel) {
    for (int i = 0; i < kPanel; i += kCacheLine) __builtin_prefetch(b + kAhead + i);  // harmless behind the end
#pragma GCC unroll 16
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; v++) sums[r][v] += a[r * a_stride + k] * load(b + v * kLanes);
  }
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < kVectors; v++) store(out + r * kPanel + v * kLanes, sums[r][v]);
}

template <int Rows = kRows>
inline void multiply_rows(int64_t rows, const float* a, int64_t a_stride, const float* b, int64_t depth, float* out) {
  if (rows == Rows) return multiply<Rows>(a, a_stride, b, depth, out);
  if constexpr (Rows > 1) multiply_rows<Rows - 1>(rows, a, a_stride, b, depth, out);
}

// Where a tile's outputs are: the pixel at its upper left.
struct Place {
  int64_t image, top, left;
  Place(const WinogradCall& call, int64_t tile) {
    const int64_t across = (call.width + 1) / 2, down = (call.height + 1) / 2;
    image = tile / (across * down);
    top = tile / across % down * 2;
    left = tile % across * 2;
  }
};

// The 4×4 pixels under a tile, d, as Bᵀ d B: 16 rows of `in` floats, `stride` apart.
inline void transform_input(const WinogradCall& call, const Place& place, const float* zeros, float* to, int64_t stride) {
  const float* pixel[16];
  for (int i = 0; i < 16; i++) {
    const int64_t y = place.top - 1 + i / 4, x = place.left - 1 + i % 4;
    const bool inside = y >= 0 && y < call.height && x >= 0 && x < call.width;
    pixel[i] = inside ? call.x + ((place.image * call.height + y) * call.width + x) * call.in : zeros;
  }
  for (int64_t c = 0; c < call.in; c += kLanes) {
    Vector rows[4][4];  // Bᵀ d
    for (int j = 0; j < 4; j++) {
      const Vector a = load(pixel[j] + c), b = load(pixel[4 + j] + c), d = load(pixel[8 + j] + c), e = load(pixel[12 + j] + c);
      rows[0][j] = a - d;
      rows[1][j] = b + d;
      rows[2][j] = d - b;
      rows[3][j] = b - e;
    }
    for (int i = 0; i < 4; i++) {
      float* row = to + 4 * i * stride + c;
      store(row, rows[i][0] - rows[i][2]);
      store(row + stride, rows[i][1] + rows[i][2]);
      store(row + 2 * stride, rows[i][2] - rows[i][1]);
      store(row + 3 * stride, rows[i][1] - rows[i][3]);
    }
  }
}

// Aᵀ m A of 16 sums for each of `kLanes` output channels, `stride` apart, with all that follows the convolution.
inline void transform_output(const WinogradCall& call, const Place& place, int64_t channel, const float* from, int64_t stride) {
  Vector rows[2][4];  // Aᵀ m
  for (int j = 0; j < 4; j++) {
    const Vector a = load(from + j * stride), b = load(from + (4 + j) * stride);
    const Vector c = load(from + (8 + j) * stride), d = load(from + (12 + j) * stride);
    rows[0][j] = a + b + c;
    rows[1][j] = b - c - d;
  }
  const Vector bias = load(call.bias + channel);
  for (int i = 0; i < 2 && place.top + i < call.height; i++) {
    const Vector* row = rows[i];
    const Vector outputs[2] = {row[0] + row[1] + row[2] + bias, row[1] - row[2] - row[3] + bias};
    for (int j = 0; j < 2 && place.left + j < call.width; j++) {
      const int64_t at = ((place.image * call.height + place.top + i) * call.width + place.left + j) * call.out + channel;
      Vector y = outputs[j];
      if (call.residual != nullptr) y += load(call.residual + at);
      if (call.relu) y = y < 0 ? Vector{} : y;  // a NaN stays one
      store(call.y + at, y);
    }
  }
}

void run(const WinogradCall& call, int64_t tile, int64_t tile_end, int64_t panel, int64_t panel_end, float* scratch) {
  // In `scratch`: the transformed tiles, [16][tiles][in]; the sums of a panel, [16][tiles][kPanel]; and a pixel of the border.
  const int64_t tiles_stride = tb::kWinogradTiles * call.in + 16, sums_stride = tb::kWinogradTiles * kPanel + 16;
  float* const transformed = scratch;
  float* const sums = transformed + 16 * tiles_stride;
  float* const zeros = sums + 16 * sums_stride;
  for (int64_t c = 0; c < call.in; c++) zeros[c] = 0;
  const int64_t tiles = tile_end - tile, groups = (tiles + kRows - 1) / kRows;
  for (int64_t t = 0; t < tiles; t++) transform_input(call, Place(call, tile + t), zeros, transformed + t * call.in, tiles_stride);
  for (int64_t p = panel; p < panel_end; p++) {
    for (int i = 0; i < 16; i++) {
      const float* weights = call.weights + (p * 16 + i) * call.in * kPanel;
      for (int64_t g = 0; g < groups; g++) {  // of even sizes: a last one of a single tile would leave most multipliers idle
        const int64_t first = tiles * g / groups, rows = tiles * (g + 1) / groups - first;
        multiply_rows(rows, transformed + i * tiles_stride + first * call.in, call.in, weights, call.in,
                      sums + i * sums_stride + first * kPanel);
      }
    }
    for (int64_t t = 0; t < tiles; t++) {
      const Place place(call, tile + t);
      for (int v = 0; v < kVectors; v++)
        transform_output(call, place, p * kPanel + v * kLanes, sums + t * kPanel + v * kLanes, sums_stride);
    }
  }
}

}  // namespace
