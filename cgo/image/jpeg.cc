// JPEG files: what the header says, and the whole picture.
#include "guarded.h"
#include "jpeg_decoder.h"

namespace {

using vidi::image::JpegDecoder;

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

vidi_code run_probe(JpegDecoder* d, const uint8_t* data, size_t size, vi_jpeg_info* out) {
  if (setjmp(d->on_error)) {
    jpeg_destroy_decompress(&d->cinfo);
    return d->code;
  }
  vidi::image::start(d, data, size);
  bool several_scans = jpeg_has_multiple_scans(&d->cinfo);
  out->width = static_cast<int32_t>(d->cinfo.image_width);
  out->height = static_cast<int32_t>(d->cinfo.image_height);
  out->colors = d->cinfo.num_components == 1 ? VI_JPEG_GRAY : d->cinfo.num_components == 3 ? VI_JPEG_RGB : VI_JPEG_CMYK;
  out->progressive = several_scans;
  out->decoder_bytes = decoder_bytes(d->cinfo, several_scans);
  jpeg_destroy_decompress(&d->cinfo);
  return VIDI_OK;
}

vidi_code run_decode(JpegDecoder* d, const uint8_t* data, size_t size, int32_t eighths, uint8_t* dst, size_t stride, size_t dst_bytes) {
  if (setjmp(d->on_error)) {
    jpeg_destroy_decompress(&d->cinfo);
    return d->code;
  }
  vidi::image::start(d, data, size);
  vidi::image::choose_output(d, eighths);
  size_t row_bytes = static_cast<size_t>(d->cinfo.output_width) * 4;
  if (stride < row_bytes || dst_bytes < row_bytes || (dst_bytes - row_bytes) / stride < d->cinfo.output_height - 1)
    vidi::image::give_up(d, VIDI_INVALID_ARGUMENT, "the buffer is too small for the picture");
  bool cmyk = d->cinfo.num_components == 4;
  jpeg_start_decompress(&d->cinfo);
  while (d->cinfo.output_scanline < d->cinfo.output_height) {
    uint8_t* row = dst + d->cinfo.output_scanline * stride;
    JSAMPROW rows[1] = {row};
    if (jpeg_read_scanlines(&d->cinfo, rows, 1) == 1 && cmyk) vidi::image::cmyk_to_rgb(row, d->cinfo.output_width);
  }
  if (!jpeg_has_multiple_scans(&d->cinfo)) d->taken = vidi::image::position(*d);
  while (jpeg_consume_input(&d->cinfo) != JPEG_REACHED_EOI) {
  }
  if (d->ran_out) vidi::image::require_all_rows(d);
  jpeg_destroy_decompress(&d->cinfo);
  return VIDI_OK;
}

}  // namespace

extern "C" {

vidi_status* vi_jpeg_probe(const uint8_t* data, size_t size, vi_jpeg_info* out) {
  return vidi::guarded(VIDI_INTERNAL, [&] {
    vidi::require(data != nullptr && out != nullptr, VIDI_INVALID_ARGUMENT, "data or out is NULL");
    vidi::require(size > 0, VIDI_CORRUPT_IMAGE, "the file is empty");
    *out = {};
    JpegDecoder d;
    vidi::image::prepare(&d, {});
    vidi_code code = run_probe(&d, data, size, out);
    vidi::require(code == VIDI_OK, code, d.message);
  });
}

vidi_status* vi_jpeg_decode(const uint8_t* data, size_t size, const vi_jpeg_limits* limits, int32_t eighths, uint8_t* dst, size_t stride,
                            size_t dst_bytes, vi_jpeg_report* report) {
  return vidi::guarded(VIDI_INTERNAL, [&] {
    vidi::require(data != nullptr && limits != nullptr && dst != nullptr && report != nullptr, VIDI_INVALID_ARGUMENT,
                  "an argument is NULL");
    vidi::require(size > 0, VIDI_CORRUPT_IMAGE, "the file is empty");
    vidi::require(eighths == 1 || eighths == 2 || eighths == 4 || eighths == 8, VIDI_INVALID_ARGUMENT,
                  "a JPEG is scaled to 1, 2, 4 or 8 eighths");
    *report = {};
    JpegDecoder d;
    vidi::image::prepare(&d, *limits);
    vidi_code code = run_decode(&d, data, size, eighths, dst, stride, dst_bytes);
    vidi::require(code == VIDI_OK, code, d.message);
    *report = d.report;
  });
}

}  // extern "C"
