// The whole C ABI of libvidiimage.so, which decodes JPEG and PNG and resizes pictures. It needs no libtorch.
//
// Rules that hold for every function here
//   Errors     A function that can fail returns vidi_status* (cgo/status/status.h).
//   Ownership  Arguments belong to the caller, are read only during the call, and no pointer to them is kept.
//   Threads    Functions may be called from any thread.
//
// The header is plain C99 and includes nothing of libjpeg or libpng.
//
// A picture is rows of 8-bit pixels, 4 bytes each: red, green, blue, and a fourth byte that is 255 after decoding and is
// otherwise ignored. `stride` is the distance between rows in bytes, ≥ 4 × width.
#ifndef VI_IMAGE_H
#define VI_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

// Raised whenever a signature or a struct here changes; the Go side refuses a library with another number.
#define VI_ABI_VERSION 1

typedef struct vi_library {
  int32_t abi_version;   // VI_ABI_VERSION of the library
  int32_t jpeg_version;  // libjpeg-turbo's version number, 2001005 is 2.1.5; 0 if unknown
} vi_library;
void vi_describe(vi_library* out);

// Statuses made by this library and not yet freed.
int64_t vi_live_statuses(void);

typedef enum vi_jpeg_colors {
  VI_JPEG_GRAY = 1,
  VI_JPEG_RGB = 3,   // stored as YCbCr or RGB
  VI_JPEG_CMYK = 4,  // stored as CMYK or YCCK
} vi_jpeg_colors;

typedef struct vi_jpeg_info {
  int32_t width;  // pixels, > 0
  int32_t height;
  int32_t colors;         // a vi_jpeg_colors
  int32_t progressive;    // 1 if the file has several scans over the whole picture
  int64_t decoder_bytes;  // estimate of what the decoder needs beside the pixels
} vi_jpeg_info;

// Reads the header only. Fails with VIDI_CORRUPT_IMAGE or VIDI_UNSUPPORTED_IMAGE.
vidi_status* vi_jpeg_probe(const uint8_t* data, size_t size, vi_jpeg_info* out);

typedef struct vi_jpeg_limits {
  int64_t max_pixels;         // width × height; 0 means no limit, here and below
  int64_t max_scan_pixels;    // scans × width × height: work that a small file can ask for many times over
  int64_t max_decoder_bytes;  // memory of the decoder beside the pixels
  int64_t max_cpu_ms;         // CPU time of this call
} vi_jpeg_limits;

typedef struct vi_jpeg_report {
  int64_t warnings;         // pieces of damage that the decoder repaired or skipped
  int64_t resize_ns;        // of vi_jpeg_resize: about how long it resized, by the clock on the wall; the rest is decoding
  char first_warning[200];  // what it said of the first, "" if there was none
} vi_jpeg_report;

// Decodes the whole picture, scaled to eighths / 8 of its size, into dst: h rows of stride bytes, where
// w = ceil(width × eighths / 8), h likewise, and dst_bytes ≥ stride × (h − 1) + 4 × w. eighths is 8, or 4, 2 or 1 to let the
// inverse DCT shrink the picture, which is faster and not what Pillow does. At 8 the pixels are those that Pillow gives:
// accurate integer DCT, smooth chroma upsampling, grey replicated, CMYK and YCCK inverted as Adobe writes them and turned to
// RGB by Pillow's formula. Data that ends before the last row is VIDI_CORRUPT_IMAGE.
vidi_status* vi_jpeg_decode(const uint8_t* data, size_t size, const vi_jpeg_limits* limits, int32_t eighths, uint8_t* dst, size_t stride,
                            size_t dst_bytes, vi_jpeg_report* report);

// Numbered as in Pillow, but for nearest, which is 0 there. All but nearest are antialiased.
typedef enum vi_filter { VI_LANCZOS = 1, VI_BILINEAR = 2, VI_BICUBIC = 3, VI_BOX = 4, VI_HAMMING = 5, VI_NEAREST = 6 } vi_filter;

typedef struct vi_box {
  double x0, y0, x1, y1;
} vi_box;

typedef struct vi_resize {
  int64_t width;  // the size that the whole upright picture is resized to …
  int64_t height;
  int64_t crop_x;  // … and the window of it that is computed
  int64_t crop_y;
  int64_t crop_width;
  int64_t crop_height;
  int32_t filter;       // a vi_filter
  int32_t orientation;  // EXIF's, 1 to 8: how the stored picture is turned upright, before it is resized; 0 is 1
  vi_box box;           // the part of the stored picture to resize, in pixels and fractions of them; all 0 for the whole
} vi_resize;

// Writes the crop, crop_height × crop_width × 3 bytes (rows of RGB, no padding), bit for bit what Pillow's
// ImageOps.exif_transpose, then resize((width, height), filter, box), then crop(window) give, where the box is turned with the
// picture. Costs memory and time for the window only.
vidi_status* vi_image_resize(const uint8_t* pixels, int64_t width, int64_t height, size_t stride, const vi_resize* resize, uint8_t* dst,
                             size_t dst_bytes);

// vi_jpeg_decode and vi_image_resize in one: the same bytes in dst, without the decoded picture ever being in memory. Only the
// rows and columns that the crop needs are decoded, so damage below them is not found. A file without an end marker is
// decoded to its last row: VIDI_CORRUPT_IMAGE if rows are missing, a warning in the report if not. The box is in pixels of the stored
// picture at full size, whatever the eighths. The limits are those of vi_jpeg_decode.
vidi_status* vi_jpeg_resize(const uint8_t* data, size_t size, const vi_jpeg_limits* limits, int32_t eighths, const vi_resize* resize,
                            uint8_t* dst, size_t dst_bytes, vi_jpeg_report* report);

// The same for a PNG that is not interlaced (others are VIDI_UNSUPPORTED_IMAGE), laid over white where it is transparent; of 16 bits
// the high 8 count. All of the file is read, so damage anywhere in it is VIDI_CORRUPT_IMAGE. max_pixels and max_cpu_ms are limits as
// in vi_jpeg_limits; the decoder needs little beside some rows. *resize_ns is about how long it resized, by the clock on the wall.
vidi_status* vi_png_resize(const uint8_t* data, size_t size, int64_t max_pixels, int64_t max_cpu_ms, const vi_resize* resize, uint8_t* dst,
                           size_t dst_bytes, int64_t* resize_ns);

#ifdef __cplusplus
}
#endif
#endif  // VI_IMAGE_H
