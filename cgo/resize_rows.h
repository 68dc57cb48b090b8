// The two inner loops of the resize, for any CPU and for AVX2. All compute the same 32-bit sums, so all give the same bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace tb {

constexpr int kPrecisionBits = 32 - 8 - 2;  // of a weight: a pixel's 8 bits and 2 spare ones must fit above it

// For each output position of one axis: which input positions count, and how much.
struct Taps {
  int stride = 0;                // room for one position's weights
  std::vector<int64_t> first;    // first input position
  std::vector<int> count;        // how many
  std::vector<int32_t> weights;  // stride per position, 1.0 = 1 << kPrecisionBits
};

inline uint8_t to_byte(int32_t sum) {
  int32_t v = sum >> kPrecisionBits;
  return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

// One row of pixels to one row of taps.first.size() pixels. The four bytes of a pixel go side by side through a register.
inline void horizontal_any(const uint8_t* src, const Taps& taps, uint8_t* dst) {
  using Int4 = int32_t __attribute__((vector_size(16)));
  using Byte4 = uint8_t __attribute__((vector_size(4)));
  for (size_t i = 0; i < taps.first.size(); i++) {
    const uint8_t* pixel = src + taps.first[i] * 4;
    const int32_t* weights = &taps.weights[i * taps.stride];
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

inline void vertical_any(const uint8_t* src, size_t row_bytes, const int32_t* weights, int count, int32_t* sums, uint8_t* dst) {
  vertical_row(src, row_bytes, weights, count, sums, dst);
}

#ifdef __x86_64__

// Taps in groups of four for pmaddwd, which multiplies 16-bit numbers and adds them in pairs. A weight has 23 bits, so it is
// split: weight = high << 11 | low, both of which fit. Positions near the right edge begin earlier, with weights of zero, so
// that reading whole groups never leaves the row.
struct PackedTaps {
  int groups = 0;                // of four taps, the same for every position
  std::vector<int64_t> first;    // first input position read
  std::vector<int16_t> weights;  // per group: four high parts, then four low parts

  // False if the row is too short for whole groups; the portable loop then serves, and costs little.
  bool pack(const Taps& taps, int64_t width) {
    int longest = 0;
    for (int count : taps.count) longest = count > longest ? count : longest;
    groups = (longest + 3) / 4;
    if (width < 4 * groups) return false;
    first.resize(taps.first.size());
    weights.assign(taps.first.size() * groups * 8, 0);
    for (size_t i = 0; i < first.size(); i++) {
      int64_t last_start = width - 4 * groups;
      first[i] = taps.first[i] < last_start ? taps.first[i] : last_start;
      for (int k = 0; k < taps.count[i]; k++) {
        int64_t at = taps.first[i] - first[i] + k;
        int16_t* group = &weights[(i * groups + at / 4) * 8];
        int32_t weight = taps.weights[i * taps.stride + k];
        group[at % 4] = static_cast<int16_t>(weight >> 11);
        group[4 + at % 4] = static_cast<int16_t>(weight & 2047);
      }
    }
    return true;
  }
};

[[gnu::target("avx2")]] inline void horizontal_avx2(const uint8_t* src, const PackedTaps& taps, uint8_t* dst) {
  // r0 g0 b0 a0 r1 g1 … to r0 r1 g0 g1 …, so that each pair of neighbours in a channel lies side by side.
  const __m128i pairs = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  const __m256i high = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  const __m256i low = _mm256_add_epi8(high, _mm256_set1_epi8(8));
  const int16_t* weights = taps.weights.data();
  for (size_t i = 0; i < taps.first.size(); i++) {
    const uint8_t* pixel = src + taps.first[i] * 4;
    __m256i high_sum = _mm256_setzero_si256();
    __m256i low_sum = _mm256_setzero_si256();
    for (int g = 0; g < taps.groups; g++, pixel += 16, weights += 8) {
      __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel));
      __m256i words = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(bytes, pairs));
      __m256i w = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
      high_sum = _mm256_add_epi32(high_sum, _mm256_madd_epi16(words, _mm256_shuffle_epi8(w, high)));
      low_sum = _mm256_add_epi32(low_sum, _mm256_madd_epi16(words, _mm256_shuffle_epi8(w, low)));
    }
    __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high_sum, 11), low_sum);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << (kPrecisionBits - 1))), kPrecisionBits);
    __m128i clamped = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
    int32_t out = _mm_cvtsi128_si32(clamped);
    std::memcpy(dst + 4 * i, &out, 4);
  }
}

[[gnu::target("avx2")]] inline void vertical_avx2(const uint8_t* src, size_t row_bytes, const int32_t* weights, int count, int32_t* sums,
                                                  uint8_t* dst) {
  vertical_row(src, row_bytes, weights, count, sums, dst);
}

#endif

}  // namespace tb
