// The inner loops of the resize with AVX2.
#pragma once

#ifdef __x86_64__

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "resize_rows.h"
#include "taps.h"

namespace vidi::image {

// Taps in groups of four for pmaddwd, which multiplies 16-bit numbers and adds them in pairs. A weight has 23 bits, so it is
// split: weight = high << 11 | low, both of which fit. Positions near the right edge begin earlier, with weights of zero, so
// that reading whole groups never leaves the row, which holds columns [left, right).
struct PairedTaps {
  int groups = 0;                // of four taps, the same for every position
  std::vector<int64_t> first;    // first input position read, counted from `left`
  std::vector<int16_t> weights;  // per group: four high parts, then four low parts

  // False if the row is too short for whole groups; the portable loop then serves, and costs little.
  bool pack(const Taps& taps, int64_t left, int64_t right) {
    groups = (taps.longest() + 3) / 4;
    int64_t last_start = right - left - 4 * groups;
    if (last_start < 0) return false;
    first.resize(taps.size());
    weights.assign(taps.size() * groups * 8, 0);
    for (size_t i = 0; i < first.size(); i++) {
      int64_t start = taps.first[i] - left;
      first[i] = start < last_start ? start : last_start;
      for (int k = 0; k < taps.count[i]; k++) {
        int64_t at = start - first[i] + k;
        int16_t* group = &weights[(i * groups + at / 4) * 8];
        int32_t weight = taps.of(i)[k];
        group[at % 4] = static_cast<int16_t>(weight >> 11);
        group[4 + at % 4] = static_cast<int16_t>(weight & 2047);
      }
    }
    return true;
  }
};

// `Rows` rows at once, which share the work on the weights.
template <int Rows>
[[gnu::target("avx2")]] inline void horizontal_avx2(const uint8_t* const* src, const PairedTaps& taps, uint8_t* const* dst) {
  // r0 g0 b0 a0 r1 g1 … to r0 r1 g0 g1 …, so that each pair of neighbours in a channel lies side by side.
  const __m128i pairs = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  const __m256i high = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  const __m256i low = _mm256_add_epi8(high, _mm256_set1_epi8(8));
  const int16_t* weights = taps.weights.data();
  for (size_t i = 0; i < taps.first.size(); i++) {
    int64_t at = taps.first[i] * 4;
    __m256i high_sum[Rows], low_sum[Rows];
    for (int r = 0; r < Rows; r++) high_sum[r] = low_sum[r] = _mm256_setzero_si256();
    for (int g = 0; g < taps.groups; g++, at += 16, weights += 8) {
      __m256i w = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
      __m256i w_high = _mm256_shuffle_epi8(w, high), w_low = _mm256_shuffle_epi8(w, low);
      for (int r = 0; r < Rows; r++) {
        __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src[r] + at));
        __m256i words = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(bytes, pairs));
        high_sum[r] = _mm256_add_epi32(high_sum[r], _mm256_madd_epi16(words, w_high));
        low_sum[r] = _mm256_add_epi32(low_sum[r], _mm256_madd_epi16(words, w_low));
      }
    }
    for (int r = 0; r < Rows; r++) {
      __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high_sum[r], 11), low_sum[r]);
      __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
      sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << (kPrecisionBits - 1))), kPrecisionBits);
      __m128i clamped = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
      int32_t out = _mm_cvtsi128_si32(clamped);
      std::memcpy(dst[r] + 4 * i, &out, 4);
    }
  }
}

// Sixteen bytes at a time, two rows at once: their bytes are laid alternately, so that one pmaddwd weighs and adds both. An odd
// last row is paired with itself and a weight of zero.
[[gnu::target("avx2")]] inline void vertical_avx2(const uint8_t* const* rows, const int32_t* weights, int count, size_t bytes,
                                                  uint8_t* dst) {
  const __m256i half = _mm256_set1_epi32(1 << (kPrecisionBits - 1));
  size_t x = 0;
  for (; x + 16 <= bytes; x += 16) {
    __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    __m256i low[2] = {half, half};
    for (int k = 0; k < count; k += 2) {
      int32_t second = k + 1 < count ? weights[k + 1] : 0;
      __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[k] + x));
      __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[k + (k + 1 < count)] + x));
      __m256i w_high = _mm256_set1_epi32((second >> 11) * 65536 + (weights[k] >> 11 & 0xffff));
      __m256i w_low = _mm256_set1_epi32((second & 2047) << 16 | (weights[k] & 2047));
      __m256i words[2] = {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b))};
      for (int i = 0; i < 2; i++) {
        high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(words[i], w_high));
        low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(words[i], w_low));
      }
    }
    __m256i sums[2];
    for (int i = 0; i < 2; i++) sums[i] = _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high[i], 11), low[i]), kPrecisionBits);
    __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32(sums[0], sums[1]), 0xd8);
    __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + x), packed);
  }
  vertical_any(rows, weights, count, x, bytes, dst);
}

}  // namespace vidi::image

#endif
