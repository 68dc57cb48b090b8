// JPEG straight to a small picture: the decoder's rows go into the resampler, and only those that the crop needs are decoded.
#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#include "guarded.h"
#include "jpeg_decoder.h"
#include "resampler.h"

namespace {

using vidi::image::JpegDecoder;

// So many columns on either side of the crop are decoded too, and rows above it: smooth chroma upsampling looks at neighbours,
// and at the edge of what is decoded it has none. libjpeg widens the columns to whole blocks.
constexpr int64_t kMarginColumns = 16;
constexpr int64_t kMarginRows = 2;

// Rows are handed on in batches, so that the clock is read seldom: many of a narrow picture, and of a wide one as few as are still
// in the cache then.
constexpr int kMostRows = 32, kFewestRows = 4;
constexpr int64_t kBatchBytes = 64 << 10;

// What of the scaled picture is needed, and where it goes.
struct Window {
  int64_t top, bottom, left, right;
  vidi::image::Resampler* resampler;
  int batch;  // rows
  uint8_t* rows[kMostRows];
};

int64_t wall_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

// A file in several scans that lacks the last ones is smoothed by libjpeg over the edges of blocks, from further away than any
// margin. Call after jpeg_start_decompress.
bool is_smoothed(const jpeg_decompress_struct& cinfo) {
  if (cinfo.coef_bits == nullptr) return false;
  for (int i = 0; i < cinfo.num_components; i++)
    for (int k = 0; k < DCTSIZE2; k++)
      if (cinfo.coef_bits[i][k] != 0) return true;
  return false;
}

// Whether jpeg_crop_scanline gets the widths of all components right. In a scaled picture chroma may come from a larger inverse DCT
// than luma, to need less upsampling; libjpeg-turbo 2.1 does not reckon with that, which shows where some upsampling is left.
bool can_crop(const jpeg_decompress_struct& cinfo) {
#if JPEG_LIB_VERSION >= 70
  const int luma = cinfo.min_DCT_h_scaled_size;
#else
  const int luma = cinfo.min_DCT_scaled_size;
#endif
  for (int i = 0; i < cinfo.num_components; i++) {
    const jpeg_component_info& c = cinfo.comp_info[i];
#if JPEG_LIB_VERSION >= 70
    const int size = c.DCT_h_scaled_size;
#else
    const int size = c.DCT_scaled_size;
#endif
    bool upsampled = c.h_samp_factor * size != cinfo.max_h_samp_factor * luma || c.v_samp_factor * size != cinfo.max_v_samp_factor * luma;
    if (size != luma && upsampled) return false;
  }
  return true;
}

// The output rows that come from one row of MCUs.
int64_t rows_per_imcu(const jpeg_decompress_struct& cinfo) {
#if JPEG_LIB_VERSION >= 70
  return static_cast<int64_t>(cinfo.max_v_samp_factor) * cinfo.min_DCT_v_scaled_size;
#else
  return static_cast<int64_t>(cinfo.max_v_samp_factor) * cinfo.min_DCT_scaled_size;
#endif
}

// Goes past rows without computing their pixels. libjpeg does not look at the clock meanwhile, so it is asked for about a
// million pixels at a time: those of the stored picture, which are the work.
//
// Each step but the last is whole rows of MCUs, so that each begins where such a row does. A skip that ends inside of one leaves
// it undecoded, and the next skip then takes it for decoded and lands a row of MCUs early (issue 915 of libjpeg-turbo, in 2.1.5).
void skip_to(JpegDecoder* d, int64_t row) {
  const jpeg_decompress_struct& c = d->cinfo;
  int64_t pixels_per_row = static_cast<int64_t>(c.image_width) * c.image_height / c.output_height;
  int64_t imcu = rows_per_imcu(c);
  int64_t step = std::max<int64_t>((1 << 20) / (pixels_per_row * imcu), 1) * imcu;
  while (c.output_scanline < row) {
    auto rows = static_cast<JDIMENSION>(std::min<int64_t>(row - c.output_scanline, step));
    if (jpeg_skip_scanlines(&d->cinfo, rows) == 0) vidi::image::give_up(d, VIDI_CORRUPT_IMAGE, "the data ends before the picture does");
    vidi::image::check_time(d, rows * pixels_per_row);
  }
}

// Whether an end-of-image marker follows. Compressed data holds 0xFF only before a zero or in a restart marker, so nothing in it
// looks like one. A file in several scans was read to its end before the first row came out.
bool ends_well(JpegDecoder* d) {
  jpeg_decompress_struct* cinfo = &d->cinfo;
  if (d->ran_out) return false;
  if (jpeg_has_multiple_scans(cinfo) || jpeg_input_complete(cinfo) || cinfo->unread_marker == JPEG_EOI) return true;
  const uint8_t* at = cinfo->src->next_input_byte;
  const uint8_t* end = at + cinfo->src->bytes_in_buffer;
  while (end - at >= 2) {
    at = static_cast<const uint8_t*>(std::memchr(at, 0xFF, static_cast<size_t>(end - at) - 1));
    if (at == nullptr) return false;
    if (*++at == JPEG_EOI) return true;
  }
  return false;
}

// For a file without an end marker: are the rows below the window there? They are decoded to find out, which costs no more than
// decoding the whole picture, and only such a file. Skipping them would not do: libjpeg does not read what lies below a skip.
void read_on(JpegDecoder* d, const Window& w) {
  jpeg_decompress_struct* cinfo = &d->cinfo;
  while (cinfo->output_scanline < cinfo->output_height)
    jpeg_read_scanlines(cinfo, const_cast<JSAMPARRAY>(w.rows), static_cast<JDIMENSION>(w.batch));
  if (!jpeg_has_multiple_scans(cinfo)) d->taken = vidi::image::position(*d);
  vidi::image::require_all_rows(d);
}

// Reads the header, and stops where the size of the output is known.
vidi_code run_start(JpegDecoder* d, const uint8_t* data, size_t size, int32_t eighths) {
  if (setjmp(d->on_error)) return d->code;
  vidi::image::start(d, data, size);
  vidi::image::choose_output(d, eighths);
  return VIDI_OK;
}

// Decodes the window and hands its rows on.
vidi_code run_rows(JpegDecoder* d, const Window* w) {
  if (setjmp(d->on_error)) return d->code;
  jpeg_decompress_struct* cinfo = &d->cinfo;
  jpeg_start_decompress(cinfo);
  JDIMENSION left = 0, width = cinfo->output_width;
  if (!is_smoothed(*cinfo)) {
    int64_t from = std::max<int64_t>(w->left - kMarginColumns, 0), to = std::min<int64_t>(w->right + kMarginColumns, width);
    if (to - from < width && can_crop(*cinfo)) {
      left = static_cast<JDIMENSION>(from);
      width = static_cast<JDIMENSION>(to - from);
      jpeg_crop_scanline(cinfo, &left, &width);
    }
    skip_to(d, w->top - kMarginRows);
  }
  w->resampler->hold_columns(left, static_cast<int64_t>(left) + width);
  while (cinfo->output_scanline < w->bottom) {
    int64_t y = cinfo->output_scanline;
    auto wanted = static_cast<JDIMENSION>(std::min<int64_t>(w->batch, w->bottom - y));
    int64_t n = 0;
    while (n < wanted) n += jpeg_read_scanlines(cinfo, const_cast<JSAMPARRAY>(w->rows) + n, wanted - static_cast<JDIMENSION>(n));
    int64_t start_ns = wall_ns();
    if (cinfo->out_color_space == JCS_CMYK)
      for (int64_t i = 0; i < n; i++) vidi::image::cmyk_to_rgb(w->rows[i], width);
    auto above = static_cast<int>(std::min(std::max<int64_t>(w->top - y, 0), n));
    w->resampler->push(w->rows + above, static_cast<int>(n) - above);
    d->report.resize_ns += wall_ns() - start_ns;
  }
  if (!ends_well(d)) read_on(d, *w);
  return VIDI_OK;
}

// Whatever libjpeg holds is given back when this goes out of scope.
struct Opened {
  JpegDecoder decoder;
  ~Opened() { jpeg_destroy_decompress(&decoder.cinfo); }
};

}  // namespace

extern "C" vidi_status* vi_jpeg_resize(const uint8_t* data, size_t size, const vi_jpeg_limits* limits, int32_t eighths,
                                       const vi_resize* resize_to, uint8_t* dst, size_t dst_bytes, vi_jpeg_report* report) {
  using vidi::require;
  return vidi::guarded(VIDI_INTERNAL, [&] {
    require(data != nullptr && limits != nullptr && resize_to != nullptr && dst != nullptr && report != nullptr, VIDI_INVALID_ARGUMENT,
            "an argument is NULL");
    require(size > 0, VIDI_CORRUPT_IMAGE, "the file is empty");
    require(eighths == 1 || eighths == 2 || eighths == 4 || eighths == 8, VIDI_INVALID_ARGUMENT,
            "a JPEG is scaled to 1, 2, 4 or 8 eighths");
    *report = {};
    Opened opened;
    JpegDecoder* d = &opened.decoder;
    vidi::image::prepare(d, *limits);
    vidi_code code = run_start(d, data, size, eighths);
    require(code == VIDI_OK, code, d->message);

    // The size of the scaled picture is rounded up; the box says how much of its last pixels the picture covers.
    vi_resize scaled = *resize_to;
    scaled.box = vidi::image::box_of(d->cinfo.image_width, d->cinfo.image_height, resize_to->box);
    for (double* edge : {&scaled.box.x0, &scaled.box.y0, &scaled.box.x1, &scaled.box.y1}) *edge *= eighths / 8.0;
    vidi::image::Resampler resampler(d->cinfo.output_width, d->cinfo.output_height, scaled, dst, dst_bytes);

    size_t row_bytes = static_cast<size_t>(d->cinfo.output_width) * 4;
    Window window{resampler.top(), resampler.bottom(), resampler.left(), resampler.right(), &resampler, 0, {}};
    window.batch = static_cast<int>(std::clamp<int64_t>(kBatchBytes / static_cast<int64_t>(row_bytes), kFewestRows, kMostRows));
    std::vector<uint8_t> buffer(row_bytes * window.batch);
    for (int i = 0; i < window.batch; i++) window.rows[i] = &buffer[static_cast<size_t>(i) * row_bytes];
    code = run_rows(d, &window);
    require(code == VIDI_OK, code, d->message);
    *report = d->report;
  });
}
