// JPEG through libjpeg-turbo's own API, with the pixels Pillow gives and bounds on what a hostile file may cost.
//
// libjpeg reports errors by longjmp. So the functions that call it (run_*) hold nothing but plain data, and everything with
// a destructor stays in the ABI functions around them.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <ctime>

// jpeglib.h needs FILE and size_t to be declared before it.
#include <jerror.h>
#include <jpeglib.h>

#include "status.h"

namespace {

// One decompression and everything its callbacks need. libjpeg hands the callbacks a j_common_ptr or j_decompress_ptr;
// client_data leads back here.
struct Decoder {
  jpeg_decompress_struct cinfo;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  jmp_buf on_error;
  tb_jpeg_limits limits;
  int64_t deadline_ns;  // of this thread's CPU clock; 0 for none
  tb_code code;
  char message[JMSG_LENGTH_MAX + 64];
  tb_jpeg_report report;
};

Decoder* decoder_of(j_common_ptr cinfo) { return static_cast<Decoder*>(cinfo->client_data); }

int64_t thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

tb_code code_of(int message_code) {
  switch (message_code) {
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_COMPONENT_COUNT:
      return TB_UNSUPPORTED_IMAGE;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
      return TB_IMAGE_TOO_LARGE;
    case JERR_NO_BACKING_STORE:  // the cap on decoder memory: libjpeg would now go on in a file, and has none
      return TB_IMAGE_TOO_COMPLEX;
    case JERR_OUT_OF_MEMORY:
      return TB_OUT_OF_MEMORY;
    default:
      return TB_CORRUPT_IMAGE;
  }
}

[[noreturn]] void give_up(Decoder* d, tb_code code, const char* message) {
  d->code = code;
  std::snprintf(d->message, sizeof(d->message), "%s", message);
  longjmp(d->on_error, 1);
}

[[noreturn]] void on_error_exit(j_common_ptr cinfo) {
  char text[JMSG_LENGTH_MAX];
  cinfo->err->format_message(cinfo, text);
  tb_code code = code_of(cinfo->err->msg_code);
  if (code == TB_IMAGE_TOO_COMPLEX) std::snprintf(text, sizeof(text), "decoding would need more memory than allowed");
  give_up(decoder_of(cinfo), code, text);
}

void on_message(j_common_ptr cinfo, int level) {
  if (level >= 0) return;  // traces
  Decoder* d = decoder_of(cinfo);
  // The memory source makes up an end-of-image marker when the data runs out. Half a picture must not pass for one.
  if (cinfo->err->msg_code == JWRN_JPEG_EOF) give_up(d, TB_CORRUPT_IMAGE, "the data ends before the picture does");
  if (d->report.warnings++ == 0) {
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    std::snprintf(d->report.first_warning, sizeof(d->report.first_warning), "%s", text);
  }
}

// Called for every row of blocks, in every scan. A file of 400 KB can ask for 3,000 scans over 50 megapixels.
void on_progress(j_common_ptr common) {
  Decoder* d = decoder_of(common);
  auto* cinfo = reinterpret_cast<j_decompress_ptr>(common);
  int64_t pixels = static_cast<int64_t>(cinfo->image_width) * cinfo->image_height;
  if (d->limits.max_scan_pixels > 0 && cinfo->input_scan_number > d->limits.max_scan_pixels / pixels)
    give_up(d, TB_IMAGE_TOO_COMPLEX, "the picture is stored in too many scans");
  if (d->deadline_ns > 0 && thread_cpu_ns() > d->deadline_ns) give_up(d, TB_IMAGE_TOO_COMPLEX, "decoding takes longer than allowed");
}

// Sets up and reads the header. On an error the longjmp lands in the caller's setjmp.
void start(Decoder* d, const uint8_t* data, size_t size) {
  jpeg_create_decompress(&d->cinfo);
  d->cinfo.client_data = d;
  d->cinfo.progress = &d->progress;
  if (d->limits.max_decoder_bytes > 0) d->cinfo.mem->max_memory_to_use = static_cast<long>(d->limits.max_decoder_bytes);
  jpeg_mem_src(&d->cinfo, data, size);
  jpeg_read_header(&d->cinfo, TRUE);
  int64_t pixels = static_cast<int64_t>(d->cinfo.image_width) * d->cinfo.image_height;
  if (pixels == 0) give_up(d, TB_CORRUPT_IMAGE, "the picture has no pixels");
  if (d->limits.max_pixels > 0 && pixels > d->limits.max_pixels) {
    char text[96];
    std::snprintf(text, sizeof(text), "%u × %u pixels", d->cinfo.image_width, d->cinfo.image_height);
    give_up(d, TB_IMAGE_TOO_LARGE, text);
  }
  int n = d->cinfo.num_components;
  if (n != 1 && n != 3 && n != 4) give_up(d, TB_UNSUPPORTED_IMAGE, "a JPEG has 1, 3 or 4 colour components");
}

void prepare(Decoder* d, const tb_jpeg_limits& limits) {
  std::memset(d, 0, sizeof(*d));
  d->limits = limits;
  constexpr int64_t kForEver = INT64_MAX / 4 / 1'000'000;
  if (limits.max_cpu_ms > 0 && limits.max_cpu_ms < kForEver) d->deadline_ns = thread_cpu_ns() + limits.max_cpu_ms * 1'000'000;
  d->cinfo.err = jpeg_std_error(&d->errors);
  d->errors.error_exit = on_error_exit;
  d->errors.emit_message = on_message;
  d->progress.progress_monitor = on_progress;
  // on_error_exit may be called before start() sets it: jpeg_create_decompress keeps client_data.
  d->cinfo.client_data = d;
}

// What libjpeg keeps beside the output rows: all coefficients of a picture in several scans, else a few rows of blocks.
int64_t decoder_bytes(const jpeg_decompress_struct& cinfo, bool several_scans) {
  int64_t bytes = 64 << 10;
  for (int i = 0; i < cinfo.num_components; i++) {
    const jpeg_component_info& c = cinfo.comp_info[i];
    int64_t blocks_wide = (static_cast<int64_t>(cinfo.image_width) * c.h_samp_factor / cinfo.max_h_samp_factor + 7) / 8 + c.h_samp_factor;
    int64_t blocks_high = (static_cast<int64_t>(cinfo.image_height) * c.v_samp_factor / cinfo.max_v_samp_factor + 7) / 8 + c.v_samp_factor;
    bytes += blocks_wide * DCTSIZE2 * static_cast<int64_t>(sizeof(JCOEF)) * (several_scans ? blocks_high : 4 * c.v_samp_factor);
  }
  return bytes;
}

tb_code run_probe(Decoder* d, const uint8_t* data, size_t size, tb_jpeg_info* out) {
  if (setjmp(d->on_error)) {
    jpeg_destroy_decompress(&d->cinfo);
    return d->code;
  }
  start(d, data, size);
  bool several_scans = jpeg_has_multiple_scans(&d->cinfo);
  out->width = static_cast<int32_t>(d->cinfo.image_width);
  out->height = static_cast<int32_t>(d->cinfo.image_height);
  out->colors = d->cinfo.num_components == 1 ? TB_JPEG_GRAY : d->cinfo.num_components == 3 ? TB_JPEG_RGB : TB_JPEG_CMYK;
  out->progressive = several_scans;
  out->decoder_bytes = decoder_bytes(d->cinfo, several_scans);
  jpeg_destroy_decompress(&d->cinfo);
  return TB_OK;
}

// a × b / 255, rounded, as Pillow's MULDIV255 (libImaging/ImagingUtils.h).
inline int multiply_unit(int a, int b) {
  int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

// Adobe's inverted CMYK to RGB in place, with Pillow's "CMYK;I" unpacking and cmyk2rgb (libImaging/Convert.c).
void cmyk_to_rgb(uint8_t* row, uint32_t width) {
  for (uint32_t x = 0; x < width; x++, row += 4) {
    int white = row[3];  // inverted: 255 − K
    for (int c = 0; c < 3; c++) {
      int v = white - multiply_unit(255 - row[c], white);
      row[c] = static_cast<uint8_t>(v < 0 ? 0 : v);
    }
    row[3] = 255;
  }
}

tb_code run_decode(Decoder* d, const uint8_t* data, size_t size, int32_t eighths, uint8_t* dst, size_t stride, size_t dst_bytes) {
  if (setjmp(d->on_error)) {
    jpeg_destroy_decompress(&d->cinfo);
    return d->code;
  }
  start(d, data, size);
  d->cinfo.scale_num = static_cast<unsigned>(eighths);
  d->cinfo.scale_denom = 8;
  jpeg_calc_output_dimensions(&d->cinfo);
  size_t row_bytes = static_cast<size_t>(d->cinfo.output_width) * 4;
  if (stride < row_bytes || dst_bytes < row_bytes || (dst_bytes - row_bytes) / stride < d->cinfo.output_height - 1)
    give_up(d, TB_INVALID_ARGUMENT, "the buffer is too small for the picture");
  bool cmyk = d->cinfo.num_components == 4;
  d->cinfo.out_color_space = cmyk ? JCS_CMYK : JCS_EXT_RGBA;
  d->cinfo.dct_method = JDCT_ISLOW;
  d->cinfo.do_fancy_upsampling = TRUE;
  jpeg_start_decompress(&d->cinfo);
  while (d->cinfo.output_scanline < d->cinfo.output_height) {
    uint8_t* row = dst + d->cinfo.output_scanline * stride;
    JSAMPROW rows[1] = {row};
    if (jpeg_read_scanlines(&d->cinfo, rows, 1) == 1 && cmyk) cmyk_to_rgb(row, d->cinfo.output_width);
  }
  jpeg_finish_decompress(&d->cinfo);  // reads up to the end marker: a file without one ended early
  jpeg_destroy_decompress(&d->cinfo);
  return TB_OK;
}

}  // namespace

extern "C" {

tb_status* tb_jpeg_probe(const uint8_t* data, size_t size, tb_jpeg_info* out) {
  return tb::guarded(TB_INTERNAL, [&] {
    tb::require(data != nullptr && out != nullptr, TB_INVALID_ARGUMENT, "data or out is NULL");
    tb::require(size > 0, TB_CORRUPT_IMAGE, "the file is empty");
    *out = {};
    Decoder d;
    prepare(&d, {});
    tb_code code = run_probe(&d, data, size, out);
    tb::require(code == TB_OK, code, d.message);
  });
}

tb_status* tb_jpeg_decode(const uint8_t* data, size_t size, const tb_jpeg_limits* limits, int32_t eighths, uint8_t* dst, size_t stride,
                          size_t dst_bytes, tb_jpeg_report* report) {
  return tb::guarded(TB_INTERNAL, [&] {
    tb::require(data != nullptr && limits != nullptr && dst != nullptr && report != nullptr, TB_INVALID_ARGUMENT, "an argument is NULL");
    tb::require(size > 0, TB_CORRUPT_IMAGE, "the file is empty");
    tb::require(eighths == 1 || eighths == 2 || eighths == 4 || eighths == 8, TB_INVALID_ARGUMENT,
                "a JPEG is scaled to 1, 2, 4 or 8 eighths");
    *report = {};
    Decoder d;
    prepare(&d, *limits);
    tb_code code = run_decode(&d, data, size, eighths, dst, stride, dst_bytes);
    tb::require(code == TB_OK, code, d.message);
    *report = d.report;
  });
}

}  // extern "C"
