#include "winograd.h"

namespace tb {

bool winograd_fits(const WinogradLoops& loops, int64_t in, int64_t out) {
  return in > 0 && out > 0 && in % loops.lanes == 0 && out % loops.panel == 0;
}

// G g Gᵀ, in panels: [out / panel][16][in][panel], in the order in which WinogradLoops::run reads them.
void winograd_weights(const WinogradLoops& loops, const float* weights, int64_t in, int64_t out, float* to) {
  const int64_t panel = loops.panel;
  for (int64_t k = 0; k < out; k++) {
    for (int64_t c = 0; c < in; c++) {
      const float* g = weights + (k * in + c) * 9;
      double rows[4][3];  // G g
      for (int j = 0; j < 3; j++) {
        const double top = g[j], middle = g[3 + j], bottom = g[6 + j];
        rows[0][j] = top;
        rows[1][j] = (top + middle + bottom) / 2;
        rows[2][j] = (top - middle + bottom) / 2;
        rows[3][j] = bottom;
      }
      float* at = to + (k / panel * 16 * in + c) * panel + k % panel;
      for (int i = 0; i < 4; i++) {
        const double left = rows[i][0], middle = rows[i][1], right = rows[i][2];
        const double row[4] = {left, (left + middle + right) / 2, (left - middle + right) / 2, right};
        for (int j = 0; j < 4; j++) at[(4 * i + j) * in * panel] = static_cast<float>(row[j]);
      }
    }
  }
}

}  // namespace tb
