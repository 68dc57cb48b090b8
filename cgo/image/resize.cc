// Resize of a picture that lies in memory: its rows, one after the other, through the Resampler.
#include <algorithm>

#include "guarded.h"
#include "resampler.h"

extern "C" vidi_status* vi_image_resize(const uint8_t* pixels, int64_t width, int64_t height, size_t stride, const vi_resize* resize_to,
                                        uint8_t* dst, size_t dst_bytes) {
  using vidi::require;
  return vidi::guarded(VIDI_INTERNAL, [&] {
    require(pixels != nullptr && resize_to != nullptr && dst != nullptr, VIDI_INVALID_ARGUMENT, "pixels, resize or dst is NULL");
    vidi::image::Resampler resampler(width, height, *resize_to, dst, dst_bytes);
    require(stride >= static_cast<size_t>(width) * 4, VIDI_INVALID_ARGUMENT, "the stride is shorter than a row");
    resampler.hold_columns(0, width);
    constexpr int kBatch = 8;
    const uint8_t* rows[kBatch];
    for (int64_t y = resampler.top(); y < resampler.bottom(); y += kBatch) {
      int n = static_cast<int>(std::min<int64_t>(kBatch, resampler.bottom() - y));
      for (int i = 0; i < n; i++) rows[i] = pixels + static_cast<size_t>(y + i) * stride;
      resampler.push(rows, n);
    }
  });
}
