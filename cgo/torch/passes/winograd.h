// 3×3 convolutions with fewer multiplications: Winograd's minimal filtering F(2×2, 3×3), as Lavin and Gray describe it ("Fast
// Algorithms for Convolutional Neural Networks", 2015, section 4.1). Four neighbouring outputs need 16 multiplications for each
// pair of channels instead of 36. The transforms only add, subtract and halve, and the sums are shorter than direct ones, so that the
// errors are as small as those of oneDNN's direct kernels (winograd_test.cc holds both against float64), though an output also
// takes part in the rounding of its neighbours. What is not a number, or infinite, spreads as NaN to all outputs of its tiles.
#pragma once

#include <cstdint>

namespace tb {

// One convolution with stride 1 and a border of one zero, y = relu(x * weights + bias + residual), in float32. Pictures are
// channels-last: [images, height, width, channels] without gaps.
struct WinogradCall {
  const float* x;         // images × height × width × in
  const float* weights;   // what winograd_weights made
  const float* bias;      // out
  const float* residual;  // images × height × width × out, or NULL
  float* y;               // images × height × width × out; overlaps nothing else
  int64_t images, height, width, in, out;
  bool relu;
};

// The inner loops for one kind of CPU.
struct WinogradLoops {
  int lanes;  // the input's channels come in multiples of these
  int panel;  // and the output's of these
  // The outputs of tiles [tile, tile_end), kWinogradTiles at most and counted through all images, for panels of channels [panel,
  // panel_end). `scratch` holds winograd_scratch floats, which are the caller's again afterwards.
  void (*run)(const WinogradCall& call, int64_t tile, int64_t tile_end, int64_t panel, int64_t panel_end, float* scratch);
};

// So many tiles go through the matrix products together: few enough to stay in a core's second cache with their transforms, and
// a multiple of the rows that the loops keep in registers.
constexpr int64_t kWinogradTiles = 24;

// Tiles of 2×2 outputs in all images of a call.
inline int64_t winograd_tiles(const WinogradCall& call) { return call.images * ((call.height + 1) / 2) * ((call.width + 1) / 2); }

// Floats that a call of WinogradLoops::run needs for itself. Rows are set apart by a cache line: with powers of two between them
// they would compete for the same few places in the cache.
inline int64_t winograd_scratch(const WinogradLoops& loops, int64_t in) {
  return 16 * (kWinogradTiles * in + 16) + 16 * (kWinogradTiles * loops.panel + 16) + in;
}

// NULL where this CPU has no such instructions.
const WinogradLoops* winograd_avx2();
const WinogradLoops* winograd_avx512();

// The fastest of them; NULL where there are none: leave the convolution to libtorch then.
inline const WinogradLoops* winograd_loops() {
  const WinogradLoops* widest = winograd_avx512();
  return widest != nullptr ? widest : winograd_avx2();
}

// Whether `loops` can do such a convolution.
bool winograd_fits(const WinogradLoops& loops, int64_t in, int64_t out);

// Filters [out, in, 3, 3] in any order; the distances are in floats.
struct WinogradFilters {
  const float* data;
  int64_t out_stride, in_stride, tap_stride;  // between filters, their channels, and the nine weights of one of them
};

// Transforms filters to `to`, which has room for 16 × in × out floats. Computed in float64 and rounded once.
void winograd_weights(const WinogradLoops& loops, const WinogradFilters& filters, int64_t in, int64_t out, float* to);

}  // namespace tb
