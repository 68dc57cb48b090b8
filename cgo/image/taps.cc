#include "taps.h"

#include <algorithm>
#include <cmath>

namespace vidi::image {
namespace {

struct Bilinear {
  static constexpr double support = 1.0;
  static double weight(double x) {
    x = std::fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
  }
};

struct Bicubic {  // Keys' kernel with a = −0.5
  static constexpr double support = 2.0;
  static double weight(double x) {
    constexpr double a = -0.5;
    x = std::fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
  }
};

constexpr double kPi = 3.14159265358979323846;

struct Box {
  static constexpr double support = 0.5;
  static double weight(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }
};

struct Hamming {
  static constexpr double support = 1.0;
  static double weight(double x) {
    x = std::fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x *= kPi;
    return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));  // single precision, as Pillow has them
  }
};

struct Lanczos {  // three lobes
  static constexpr double support = 3.0;
  static double weight(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }
  static double sinc(double x) {
    if (x == 0.0) return 1.0;
    x *= kPi;
    return std::sin(x) / x;
  }
};

template <typename Filter>
Taps compute(const Axis& axis) {
  // In the coordinates of the picture after it is turned.
  double from = axis.mirrored ? static_cast<double>(axis.in) - axis.to : axis.from;
  double scale = (axis.to - axis.from) / static_cast<double>(axis.out);
  double filter_scale = scale < 1.0 ? 1.0 : scale;
  double support = Filter::support * filter_scale;
  double inverse = 1.0 / filter_scale;
  Taps taps;
  taps.stride = static_cast<int>(std::min<int64_t>(static_cast<int64_t>(std::ceil(support)) * 2 + 1, axis.in));
  taps.first.resize(axis.n);
  taps.count.resize(axis.n);
  taps.weights.assign(static_cast<size_t>(axis.n) * taps.stride, 0);
  std::vector<double> raw(taps.stride);
  for (int64_t i = 0; i < axis.n; i++) {
    double centre = from + (static_cast<double>(axis.crop + i) + 0.5) * scale;
    int64_t first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    int64_t end = std::min(static_cast<int64_t>(centre + support + 0.5), axis.in);
    int count = static_cast<int>(end - first);
    double sum = 0.0;
    for (int k = 0; k < count; k++) {
      raw[k] = Filter::weight((static_cast<double>(k + first) - centre + 0.5) * inverse);
      sum += raw[k];
    }
    int32_t* weights = &taps.weights[static_cast<size_t>(i) * taps.stride];
    for (int k = 0; k < count; k++) {
      double w = sum != 0.0 ? raw[k] / sum : raw[k];
      weights[k] = static_cast<int32_t>(w < 0 ? -0.5 + w * (1 << kPrecisionBits) : 0.5 + w * (1 << kPrecisionBits));
    }
    if (axis.mirrored) {
      std::reverse(weights, weights + count);
      first = axis.in - end;
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

// One tap each. Pillow has a way of its own for this filter (ImagingScaleAffine, libImaging/Geometry.c): it adds up the scale from
// position to position, and so do we, for as many positions as its pictures have.
Taps nearest(const Axis& axis) {
  constexpr int64_t kMostSteps = 1 << 24;
  double from = axis.mirrored ? static_cast<double>(axis.in) - axis.to : axis.from;
  double scale = (axis.to - axis.from) / static_cast<double>(axis.out);
  double at = from + scale * 0.5;
  if (axis.crop <= kMostSteps)
    for (int64_t i = 0; i < axis.crop; i++) at += scale;
  else
    at += static_cast<double>(axis.crop) * scale;
  Taps taps;
  taps.stride = 1;
  taps.first.resize(axis.n);
  taps.count.assign(axis.n, 1);
  taps.weights.assign(axis.n, 1 << kPrecisionBits);
  for (int64_t i = 0; i < axis.n; i++, at += scale) {
    int64_t position = std::clamp<int64_t>(static_cast<int64_t>(at), 0, axis.in - 1);
    taps.first[i] = axis.mirrored ? axis.in - 1 - position : position;
  }
  return taps;
}

}  // namespace

// Windows move in one direction, so the first and the last bound them all.
int64_t Taps::begin() const { return std::min(first.front(), first.back()); }
int64_t Taps::end() const { return std::max(first.front() + count.front(), first.back() + count.back()); }
int Taps::longest() const { return *std::max_element(count.begin(), count.end()); }

Taps taps_for(const Axis& axis, vi_filter filter) {
  switch (filter) {
    case VI_LANCZOS:
      return compute<Lanczos>(axis);
    case VI_BICUBIC:
      return compute<Bicubic>(axis);
    case VI_BOX:
      return compute<Box>(axis);
    case VI_HAMMING:
      return compute<Hamming>(axis);
    case VI_NEAREST:
      return nearest(axis);
    case VI_BILINEAR:
      break;
  }
  return compute<Bilinear>(axis);
}

}  // namespace vidi::image
