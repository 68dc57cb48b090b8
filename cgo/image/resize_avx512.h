// The inner loops of the resize with AVX-512 VNNI, whose vpdpbusd multiplies four bytes by four signed bytes and adds all into a
// 32-bit sum. A weight of 23 bits is three signed bytes: low + (middle << 8) + (high << 16). So three instructions weigh and add
// four taps, and no pixel needs to be widened. The three sums are put together at the end, modulo 2³² as everywhere.
#pragma once

#ifdef __x86_64__

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "taps.h"

namespace vidi::image {

#define VI_AVX512 [[gnu::target("avx512f,avx512bw,avx512vl,avx512vnni")]]

// Taps in groups of four: the low bytes of the weights, the middle ones, the high ones.
struct QuartedTaps {
  struct Group {
    int32_t low, middle, high;
  };
  int groups = 0;              // the same for every position
  std::vector<int64_t> first;  // first input position read, counted from `left`
  std::vector<Group> weights;  // `groups` per position

  // For positions in [left, right), all of whose groups are read whole: those near the right edge begin earlier, with weights of
  // zero. False if there is no room for that.
  bool pack(const Taps& taps, int64_t left, int64_t right) {
    groups = (taps.longest() + 3) / 4;
    int64_t last_start = right - left - 4 * groups;
    if (last_start < 0) return false;
    fill(taps, left, last_start);
    return true;
  }

  // For positions that the caller looks up one by one.
  void pack(const Taps& taps) {
    groups = (taps.longest() + 3) / 4;
    fill(taps, 0, INT64_MAX);
  }

 private:
  void fill(const Taps& taps, int64_t left, int64_t last_start) {
    first.resize(taps.size());
    weights.assign(taps.size() * groups, {});
    for (size_t i = 0; i < first.size(); i++) {
      int64_t start = taps.first[i] - left;
      first[i] = start < last_start ? start : last_start;
      for (int k = 0; k < taps.count[i]; k++) {
        int64_t at = start - first[i] + k;
        Group& group = weights[i * groups + at / 4];
        int32_t weight = taps.of(i)[k];
        auto low = static_cast<int8_t>(weight);
        weight = (weight - low) >> 8;
        auto middle = static_cast<int8_t>(weight);
        auto high = static_cast<int8_t>((weight - middle) >> 8);
        reinterpret_cast<int8_t*>(&group.low)[at % 4] = low;
        reinterpret_cast<int8_t*>(&group.middle)[at % 4] = middle;
        reinterpret_cast<int8_t*>(&group.high)[at % 4] = high;
      }
    }
  }
};

// The three sums as one, rounded and shifted to pixel values, which may lie outside a byte.
VI_AVX512 inline __m512i put_together(__m512i low, __m512i middle, __m512i high) {
  __m512i sum = _mm512_add_epi32(_mm512_add_epi32(low, _mm512_slli_epi32(middle, 8)), _mm512_slli_epi32(high, 16));
  return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(1 << (kPrecisionBits - 1))), kPrecisionBits);
}

// Four rows at once, one in each quarter of a register.
VI_AVX512 inline void horizontal_avx512(const uint8_t* const* src, const QuartedTaps& taps, uint8_t* const* dst) {
  // r0 g0 b0 a0 r1 g1 … to r0 r1 r2 r3 g0 g1 ….
  const __m512i fours = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const QuartedTaps::Group* weights = taps.weights.data();
  for (size_t i = 0; i < taps.first.size(); i++) {
    int64_t at = taps.first[i] * 4;
    __m512i low = _mm512_setzero_si512(), middle = low, high = low;
    for (int g = 0; g < taps.groups; g++, at += 16, weights++) {
      auto row = [&](int r) { return reinterpret_cast<const __m128i*>(src[r] + at); };
      __m256i two = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(row(0))), _mm_loadu_si128(row(1)), 1);
      __m256i more = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(row(2))), _mm_loadu_si128(row(3)), 1);
      __m512i bytes = _mm512_shuffle_epi8(_mm512_inserti64x4(_mm512_castsi256_si512(two), more, 1), fours);
      low = _mm512_dpbusd_epi32(low, bytes, _mm512_set1_epi32(weights->low));
      middle = _mm512_dpbusd_epi32(middle, bytes, _mm512_set1_epi32(weights->middle));
      high = _mm512_dpbusd_epi32(high, bytes, _mm512_set1_epi32(weights->high));
    }
    __m512i pixels = _mm512_max_epi32(put_together(low, middle, high), _mm512_setzero_si512());
    __m128i bytes = _mm512_cvtusepi32_epi8(pixels);
    const int32_t out[4] = {_mm_extract_epi32(bytes, 0), _mm_extract_epi32(bytes, 1), _mm_extract_epi32(bytes, 2),
                            _mm_extract_epi32(bytes, 3)};
    for (int r = 0; r < 4; r++) std::memcpy(dst[r] + 4 * i, &out[r], 4);
  }
}

// `count` rows, as many as the groups have taps or fewer, to one. Sixty-four bytes at a time, four rows at once: their bytes are
// laid alternately.
VI_AVX512 inline void vertical_avx512(const uint8_t* const* rows, const QuartedTaps::Group* weights, int count, size_t bytes,
                                      uint8_t* dst) {
  for (size_t x = 0; x < bytes; x += 64) {
    __mmask64 inside = bytes - x >= 64 ? ~__mmask64{0} : (__mmask64{1} << (bytes - x)) - 1;
    __m512i low[4], middle[4], high[4];
    for (int i = 0; i < 4; i++) low[i] = middle[i] = high[i] = _mm512_setzero_si512();
    for (int k = 0; k < count; k += 4) {
      // Rows beyond the last have a weight of zero; the last one stands for them.
      auto row = [&](int r) { return rows[k + r < count ? k + r : count - 1] + x; };
      __m512i a = _mm512_maskz_loadu_epi8(inside, row(0)), b = _mm512_maskz_loadu_epi8(inside, row(1));
      __m512i c = _mm512_maskz_loadu_epi8(inside, row(2)), d = _mm512_maskz_loadu_epi8(inside, row(3));
      __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
      __m512i ab2 = _mm512_unpackhi_epi8(a, b), cd2 = _mm512_unpackhi_epi8(c, d);
      const __m512i fours[4] = {_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd), _mm512_unpacklo_epi16(ab2, cd2),
                                _mm512_unpackhi_epi16(ab2, cd2)};
      const QuartedTaps::Group& w = weights[k / 4];
      for (int i = 0; i < 4; i++) {
        low[i] = _mm512_dpbusd_epi32(low[i], fours[i], _mm512_set1_epi32(w.low));
        middle[i] = _mm512_dpbusd_epi32(middle[i], fours[i], _mm512_set1_epi32(w.middle));
        high[i] = _mm512_dpbusd_epi32(high[i], fours[i], _mm512_set1_epi32(w.high));
      }
    }
    __m512i sums[4];
    for (int i = 0; i < 4; i++) sums[i] = put_together(low[i], middle[i], high[i]);
    // Packing undoes the order that unpacking made.
    __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(sums[0], sums[1]), _mm512_packs_epi32(sums[2], sums[3]));
    _mm512_mask_storeu_epi8(dst + x, inside, packed);
  }
}

}  // namespace vidi::image

#endif
