// Which input positions make up each output position of a resize along one axis, and how much of each, as Pillow's
// precompute_coeffs (libImaging/Resample.c) has it: double precision, then rounded to 22 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "image.h"

namespace vidi::image {

constexpr int kPrecisionBits = 32 - 8 - 2;  // of a weight: a pixel's 8 bits and 2 spare ones must fit above it

struct Taps {
  int stride = 0;                // room for one position's weights
  std::vector<int64_t> first;    // first input position
  std::vector<int> count;        // how many, ≥ 1
  std::vector<int32_t> weights;  // stride per position, 1.0 = 1 << kPrecisionBits

  size_t size() const { return first.size(); }
  const int32_t* of(size_t i) const { return &weights[i * stride]; }

  // All input positions that any of the taps reads lie in [begin, end).
  int64_t begin() const;
  int64_t end() const;
  int longest() const;
};

// One axis of a resize: `in` positions of which those from `from` to `to` become `out`, and of these, n from `crop` on are
// wanted. Mirrored, the positions are counted from the other end on the way out, and the taps still name those on the way in:
// a sum of integers is the same in any order, so that turning a picture first would give the same bytes.
struct Axis {
  int64_t in;
  double from, to;
  int64_t out;
  int64_t crop, n;
  bool mirrored;
};

Taps taps_for(const Axis& axis, vi_filter filter);

}  // namespace vidi::image
