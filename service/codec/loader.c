#include "loader.h"

// The functions of image.h, as NATIVE_FUNCTIONS wants them.
#define VI_RETURNING(R)                                                                                                                    \
  R(int64_t, vi_live_statuses, (void), ())                                                                                                 \
  R(vidi_status*, vi_jpeg_probe, (const uint8_t* a, size_t b, vi_jpeg_info* c), (a, b, c))                                                 \
  R(vidi_status*, vi_jpeg_decode,                                                                                                          \
    (const uint8_t* a, size_t b, const vi_jpeg_limits* c, int32_t d, uint8_t* e, size_t f, size_t g, vi_jpeg_report* h),                   \
    (a, b, c, d, e, f, g, h))                                                                                                              \
  R(vidi_status*, vi_image_resize, (const uint8_t* a, int64_t b, int64_t c, size_t d, const vi_resize* e, uint8_t* f, size_t g),           \
    (a, b, c, d, e, f, g))                                                                                                                 \
  R(vidi_status*, vi_jpeg_resize,                                                                                                          \
    (const uint8_t* a, size_t b, const vi_jpeg_limits* c, int32_t d, const vi_resize* e, uint8_t* f, size_t g, vi_jpeg_report* h),         \
    (a, b, c, d, e, f, g, h))                                                                                                              \
  R(vidi_status*, vi_png_resize, (const uint8_t* a, size_t b, int64_t c, int64_t d, const vi_resize* e, uint8_t* f, size_t g, int64_t* h), \
    (a, b, c, d, e, f, g, h))

// The same for functions that return nothing.
#define VI_VOID(V) V(vi_describe, (vi_library * a), (a))

NATIVE_FUNCTIONS(functions, VI_RETURNING, VI_VOID)

const void* vi_functions(void) { return functions; }
