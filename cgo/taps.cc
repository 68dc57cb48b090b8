#include "taps.h"

#include <algorithm>
#include <cmath>

namespace tb {
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

}  // namespace

// Windows move in one direction, so the first and the last bound them all.
int64_t Taps::begin() const { return std::min(first.front(), first.back()); }
int64_t Taps::end() const { return std::max(first.front() + count.front(), first.back() + count.back()); }
int Taps::longest() const { return *std::max_element(count.begin(), count.end()); }

Taps taps_for(const Axis& axis, tb_filter filter) { return filter == TB_BILINEAR ? compute<Bilinear>(axis) : compute<Bicubic>(axis); }

}  // namespace tb
