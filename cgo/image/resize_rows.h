// The inner loops of the resize for any CPU. Those for AVX2 and AVX-512 compute the same 32-bit sums, so all give the same bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "taps.h"

namespace vidi::image {

inline uint8_t to_byte(int32_t sum) {
  int32_t v = sum >> kPrecisionBits;
  return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

// One row of pixels, which begins at column `left` of the picture, to one row of taps.size() pixels. The four bytes of a pixel
// go side by side through a register.
inline void horizontal_any(const uint8_t* src, int64_t left, const Taps& taps, uint8_t* dst) {
  using Int4 = int32_t __attribute__((vector_size(16)));
  using Byte4 = uint8_t __attribute__((vector_size(4)));
  for (size_t i = 0; i < taps.size(); i++) {
    const uint8_t* pixel = src + (taps.first[i] - left) * 4;
    const int32_t* weights = taps.of(i);
    Int4 sum = {1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1)};
    for (int k = 0; k < taps.count[i]; k++, pixel += 4) {
      Byte4 bytes;
      std::memcpy(&bytes, pixel, 4);
      sum += __builtin_convertvector(bytes, Int4) * weights[k];
    }
    for (int c = 0; c < 4; c++) dst[4 * i + c] = to_byte(sum[c]);
  }
}

// Bytes [from, to) of `count` rows, weighted and added to one row of bytes.
inline void vertical_any(const uint8_t* const* rows, const int32_t* weights, int count, size_t from, size_t to, uint8_t* dst) {
  for (size_t x = from; x < to; x++) {
    int32_t sum = 1 << (kPrecisionBits - 1);
    for (int k = 0; k < count; k++) sum += rows[k][x] * weights[k];
    dst[x] = to_byte(sum);
  }
}

}  // namespace vidi::image
