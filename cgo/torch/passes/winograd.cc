#include "winograd.h"

namespace tb {

bool winograd_fits(const WinogradLoops& loops, int64_t in, int64_t out) {
  return in > 0 && out > 0 && in % loops.lanes == 0 && out % loops.panel == 0;
}

namespace {

// The same element of up to 32 filters, which the compiler computes some of at once.
struct Lanes {
  double of[32];
};

template <typename Each>
Lanes each(int64_t count, Each&& value) {
  Lanes l;
  for (int64_t i = 0; i < count; i++) l.of[i] = value(i);
  return l;
}

}  // namespace

// G g Gᵀ, in panels: [out / panel][16][in][panel], in the order in which WinogradLoops::run reads them.
void winograd_weights(const WinogradLoops& loops, const WinogradFilters& filters, int64_t in, int64_t out, float* to) {
  const int64_t panel = loops.panel;
  for (int64_t k = 0; k < out; k += panel) {
    for (int64_t c = 0; c < in; c++) {
      Lanes g[3][3];
      for (int i = 0; i < 9; i++) {
        const float* first = filters.data + k * filters.out_stride + c * filters.in_stride + i * filters.tap_stride;
        g[i / 3][i % 3] = each(panel, [&](int64_t l) { return first[l * filters.out_stride]; });
      }
      Lanes rows[4][3];  // G g
      for (int j = 0; j < 3; j++) {
        rows[0][j] = g[0][j];
        rows[1][j] = each(panel, [&](int64_t l) { return (g[0][j].of[l] + g[1][j].of[l] + g[2][j].of[l]) / 2; });
        rows[2][j] = each(panel, [&](int64_t l) { return (g[0][j].of[l] - g[1][j].of[l] + g[2][j].of[l]) / 2; });
        rows[3][j] = g[2][j];
      }
      for (int i = 0; i < 4; i++) {
        const Lanes &left = rows[i][0], &middle = rows[i][1], &right = rows[i][2];
        float* at = to + (k * 16 + 4 * i * panel) * in + c * panel;
        for (int64_t l = 0; l < panel; l++) at[l] = static_cast<float>(left.of[l]);
        at += in * panel;
        for (int64_t l = 0; l < panel; l++) at[l] = static_cast<float>((left.of[l] + middle.of[l] + right.of[l]) / 2);
        at += in * panel;
        for (int64_t l = 0; l < panel; l++) at[l] = static_cast<float>((left.of[l] - middle.of[l] + right.of[l]) / 2);
        at += in * panel;
        for (int64_t l = 0; l < panel; l++) at[l] = static_cast<float>(right.of[l]);
      }
    }
  }
}

}  // namespace tb
