// JPEG files: what the header says, and the whole picture.
#include "jpeg_decoder.h"
#include "status.h"

namespace {

using tb::JpegDecoder;

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

tb_code run_probe(JpegDecoder* d, const uint8_t* data, size_t size, tb_jpeg_info* out) {
  if (setjmp(d->on_error)) {
    jpeg_destroy_decompress(&d->cinfo);
    return d->code;
  }
  tb::start(d, data, size);
  bool several_scans = jpeg_has_multiple_scans(&d->cinfo);
  out->width = static_cast<int32_t>(d->cinfo.image_width);
  out->height = static_cast<int32_t>(d->cinfo.image_height);
  out->colors = d->cinfo.num_components == 1 ? TB_JPEG_GRAY : d->cinfo.num_components == 3 ? TB_JPEG_RGB : TB_JPEG_CMYK;
  out->progressive = several_scans;
  out->decoder_bytes = decoder_bytes(d->cinfo, several_scans);
  jpeg_destroy_decompress(&d->cinfo);
  return TB_OK;
}

tb_code run_decode(JpegDecoder* d, const uint8_t* data, size_t size, int32_t eighths, uint8_t* dst, size_t stride, size_t dst_bytes) {
  if (setjmp(d->on_error)) {
    jpeg_destroy_decompress(&d->cinfo);
    return d->code;
  }
  tb::start(d, data, size);
  tb::choose_output(d, eighths);
  size_t row_bytes = static_cast<size_t>(d->cinfo.output_width) * 4;
  if (stride < row_bytes || dst_bytes < row_bytes || (dst_bytes - row_bytes) / stride < d->cinfo.output_height - 1)
    tb::give_up(d, TB_INVALID_ARGUMENT, "the buffer is too small for the picture");
  bool cmyk = d->cinfo.num_components == 4;
  jpeg_start_decompress(&d->cinfo);
  while (d->cinfo.output_scanline < d->cinfo.output_height) {
    uint8_t* row = dst + d->cinfo.output_scanline * stride;
    JSAMPROW rows[1] = {row};
    if (jpeg_read_scanlines(&d->cinfo, rows, 1) == 1 && cmyk) tb::cmyk_to_rgb(row, d->cinfo.output_width);
  }
  if (!jpeg_has_multiple_scans(&d->cinfo)) d->taken = tb::position(*d);
  while (jpeg_consume_input(&d->cinfo) != JPEG_REACHED_EOI) {
  }
  if (d->ran_out) tb::require_all_rows(d);
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
    JpegDecoder d;
    tb::prepare(&d, {});
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
    JpegDecoder d;
    tb::prepare(&d, *limits);
    tb_code code = run_decode(&d, data, size, eighths, dst, stride, dst_bytes);
    tb::require(code == TB_OK, code, d.message);
    *report = d.report;
  });
}

}  // extern "C"
