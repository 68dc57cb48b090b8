// PNG straight to a small picture, through libpng: rows go into the resampler as they are decoded.
//
// libpng reports errors by calling on_error, which jumps to the setjmp in the run_* function. So those hold nothing but plain data,
// and everything with a destructor stays in the ABI function around them.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "guarded.h"
#include "resampler.h"

namespace {

struct PngDecoder {
  png_structp png;
  png_infop info;
  jmp_buf on_error;
  const uint8_t* next;  // of the file
  size_t left;          // bytes of it
  int64_t deadline_ns;  // of this thread's CPU clock; 0 for none
  size_t unclocked;     // bytes read since the clock was
  int64_t height;       // 0 until rows are read
  size_t behind_rows;   // bytes read since the last row was complete
  bool at_end;          // the pixels are behind: nothing more is inflated
  bool goes_on;         // far more pixels follow than the picture has
  bool alpha;           // rows have one that counts
  vidi_code code;
  char message[200];
};

constexpr char kEndsEarly[] = "the data ends before the picture does";

int64_t now_ns(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

[[noreturn]] void give_up(PngDecoder* d, vidi_code code, const char* message) {
  d->code = code;
  std::snprintf(d->message, sizeof(d->message), "%s", message);
  longjmp(d->on_error, 1);
}

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  give_up(static_cast<PngDecoder*>(png_get_error_ptr(png)), VIDI_CORRUPT_IMAGE, message);
}

void on_warning(png_structp, png_const_charp) {}

void check_time(PngDecoder* d) {
  d->unclocked = 0;
  if (d->deadline_ns > 0 && now_ns(CLOCK_THREAD_CPUTIME_ID) > d->deadline_ns)
    give_up(d, VIDI_IMAGE_TOO_COMPLEX, "decoding takes longer than allowed");
}

// After the last row libpng inflates to the end of the data and throws that away: gigabytes, where somebody means it. So much of it
// as good files may have is read, because its checksums count; then it is left, as Pillow leaves it. The row is in its place by then.
void leave_what_goes_on(PngDecoder* d, size_t n) {
  constexpr size_t kMostBehindRows = 16 << 10;
  if (d->height == 0 || d->at_end || png_get_current_row_number(d->png) < d->height) return;
  d->behind_rows += n;
  if (d->behind_rows <= kMostBehindRows) return;
  d->goes_on = true;
  d->code = VIDI_OK;
  longjmp(d->on_error, 1);
}

// A kilobyte read may become a megabyte inflated, so the clock is read here too.
void on_read(png_structp png, png_bytep dst, size_t n) {
  constexpr size_t kBetweenClocks = 4 << 10;
  auto* d = static_cast<PngDecoder*>(png_get_io_ptr(png));
  if (n > d->left) give_up(d, VIDI_CORRUPT_IMAGE, kEndsEarly);
  if ((d->unclocked += n) >= kBetweenClocks) check_time(d);
  leave_what_goes_on(d, n);
  std::memcpy(dst, d->next, n);
  d->next += n;
  d->left -= n;
}

// Reads up to the pixels, and sets the output to rows of 8-bit red, green, blue, and alpha or 255.
vidi_code run_start(PngDecoder* d, int64_t max_pixels) {
  if (setjmp(d->on_error)) return d->code;
  d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
  if (d->png == nullptr) give_up(d, VIDI_OUT_OF_MEMORY, "there is no memory for the decoder");
  d->info = png_create_info_struct(d->png);
  if (d->info == nullptr) give_up(d, VIDI_OUT_OF_MEMORY, "there is no memory for the decoder");
  png_set_read_fn(d->png, d, on_read);
  // Sizes are bounded by max_pixels. Of the other chunks only tRNS matters to the pixels: the rest is not unpacked, but its
  // checksums count, as they do for Pillow.
  png_set_user_limits(d->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_crc_action(d->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(d->png, d->info);
  int64_t width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
  if (max_pixels > 0 && width > max_pixels / height) {
    char text[96];
    std::snprintf(text, sizeof(text), "%lld × %lld pixels", static_cast<long long>(width), static_cast<long long>(height));
    give_up(d, VIDI_IMAGE_TOO_LARGE, text);
  }
  if (png_get_interlace_type(d->png, d->info) != PNG_INTERLACE_NONE)
    give_up(d, VIDI_UNSUPPORTED_IMAGE, "an interlaced PNG cannot be read row by row");
  d->alpha = (png_get_color_type(d->png, d->info) & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(d->png, d->info, PNG_INFO_tRNS) != 0;
  png_set_expand(d->png);    // palettes, fewer than 8 bits, and tRNS
  png_set_strip_16(d->png);  // the high byte, as tools/reference does
  png_set_gray_to_rgb(d->png);
  if (!d->alpha) png_set_filler(d->png, 0xFF, PNG_FILLER_AFTER);
  png_read_update_info(d->png, d->info);
  if (png_get_rowbytes(d->png, d->info) != static_cast<size_t>(width) * 4)
    give_up(d, VIDI_INTERNAL, "libpng's rows are not of 4 bytes a pixel");
  return VIDI_OK;
}

// Lays a row over white, with the rounding of Pillow's paste (BLEND in libImaging/ImagingUtils.h).
void over_white(uint8_t* row, int64_t width) {
  for (int64_t x = 0; x < width; x++, row += 4) {
    uint32_t a = row[3];
    if (a == 255) continue;
    for (int c = 0; c < 3; c++) {
      uint32_t t = row[c] * a + 255 * (255 - a) + 128;
      row[c] = static_cast<uint8_t>(((t >> 8) + t) >> 8);
    }
    row[3] = 255;
  }
}

// Reads the next n rows. Those above and below the crop cannot be skipped, and damage in them is found.
vidi_code run_rows(PngDecoder* d, uint8_t** rows, int n) {
  if (setjmp(d->on_error)) return d->code;
  for (int i = 0; i < n; i++) png_read_row(d->png, rows[i], nullptr);
  check_time(d);
  return VIDI_OK;
}

// Reads the chunks that follow the pixels.
vidi_code run_end(PngDecoder* d) {
  if (setjmp(d->on_error)) return d->code;
  d->at_end = true;
  png_read_end(d->png, nullptr);
  return VIDI_OK;
}

// Whether a file whose pixels go on has an end. It hops from chunk to chunk.
bool has_end(const uint8_t* data, size_t size) {
  constexpr size_t kSignature = 8, kFrame = 12;  // a chunk's length, name and checksum
  for (size_t at = kSignature; size - at >= kFrame;) {
    if (std::memcmp(data + at + 4, "IEND", 4) == 0) return true;
    size_t body = png_get_uint_32(data + at);
    if (body > size - at - kFrame) return false;
    at += kFrame + body;
  }
  return false;
}

// Whatever libpng holds is given back when this goes out of scope.
struct Opened {
  PngDecoder decoder{};
  ~Opened() { png_destroy_read_struct(&decoder.png, &decoder.info, nullptr); }
};

}  // namespace

extern "C" vidi_status* vi_png_resize(const uint8_t* data, size_t size, int64_t max_pixels, int64_t max_cpu_ms, const vi_resize* resize_to,
                                      uint8_t* dst, size_t dst_bytes, int64_t* resize_ns) {
  using vidi::require;
  return vidi::guarded(VIDI_INTERNAL, [&] {
    require(data != nullptr && resize_to != nullptr && dst != nullptr && resize_ns != nullptr, VIDI_INVALID_ARGUMENT,
            "an argument is NULL");
    require(size > 0, VIDI_CORRUPT_IMAGE, "the file is empty");
    *resize_ns = 0;
    Opened opened;
    PngDecoder* d = &opened.decoder;
    d->next = data;
    d->left = size;
    constexpr int64_t kForEver = INT64_MAX / 4 / 1'000'000;
    if (max_cpu_ms > 0 && max_cpu_ms < kForEver) d->deadline_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) + max_cpu_ms * 1'000'000;
    vidi_code code = run_start(d, max_pixels);
    require(code == VIDI_OK, code, d->message);

    const int64_t width = png_get_image_width(d->png, d->info);
    d->height = png_get_image_height(d->png, d->info);
    vidi::image::Resampler resampler(width, d->height, *resize_to, dst, dst_bytes);
    resampler.hold_columns(resampler.left(), resampler.right());
    // As many rows at a time as are still in the cache when they are resized.
    constexpr int kMostRows = 32;
    size_t row_bytes = static_cast<size_t>(width) * 4;
    const int batch = static_cast<int>(std::clamp<size_t>((64 << 10) / row_bytes, 4, kMostRows));
    std::vector<uint8_t> buffer(row_bytes * batch);
    uint8_t* rows[kMostRows];    // whole
    uint8_t* needed[kMostRows];  // from the first column of the crop on
    for (int i = 0; i < batch; i++) {
      rows[i] = &buffer[i * row_bytes];
      needed[i] = rows[i] + 4 * resampler.left();
    }
    for (int64_t y = 0; y < d->height;) {
      int n = static_cast<int>(std::min<int64_t>(batch, d->height - y));
      code = run_rows(d, rows, n);
      require(code == VIDI_OK, code, d->message);
      int first = static_cast<int>(std::clamp<int64_t>(resampler.top() - y, 0, n));
      int last = static_cast<int>(std::clamp<int64_t>(resampler.bottom() - y, 0, n));
      if (first < last) {
        int64_t begun = now_ns(CLOCK_MONOTONIC);
        if (d->alpha)
          for (int i = first; i < last; i++) over_white(needed[i], resampler.right() - resampler.left());
        resampler.push(needed + first, last - first);
        *resize_ns += now_ns(CLOCK_MONOTONIC) - begun;
      }
      y += n;
    }
    code = d->goes_on ? VIDI_OK : run_end(d);
    require(code == VIDI_OK, code, d->message);
    require(!d->goes_on || has_end(data, size), VIDI_CORRUPT_IMAGE, kEndsEarly);
  });
}
