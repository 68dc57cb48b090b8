// Writes small JPEG files with libjpeg itself, and decodes them with it in the plainest way, to compare the shim with.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

// jpeglib.h needs FILE and size_t to be declared before it.
#include <jpeglib.h>

#include "image.h"

namespace vidi::image::testing {

using Bytes = std::vector<uint8_t>;

struct JpegSpec {
  std::string name = "YCbCr420";
  int width = 48;
  int height = 40;
  J_COLOR_SPACE stored = JCS_YCbCr;  // also JCS_GRAYSCALE, JCS_RGB, JCS_CMYK, JCS_YCCK
  int h = 2, v = 2;                  // sampling of the first component (and of black); the others have 1 × 1
  bool progressive = false;
  bool arithmetic = false;
  int restart_rows = 0;
  int quality = 85;
  bool markers = true;  // JFIF or Adobe, as libjpeg thinks fit
  bool cheap = false;   // rows of a pattern that is copied, for pictures of many megapixels
};

// Adds a kind of files to the list, and returns it for what else is to be set.
inline JpegSpec& add_kind(std::vector<JpegSpec>* kinds, const char* name, J_COLOR_SPACE stored, int h, int v) {
  JpegSpec spec;
  spec.name = name;
  spec.stored = stored;
  spec.h = h;
  spec.v = v;
  kinds->push_back(spec);
  return kinds->back();
}

// The kinds of files there are.
inline std::vector<JpegSpec> jpeg_kinds() {
  std::vector<JpegSpec> kinds;
  auto add = [&](const char* name, J_COLOR_SPACE stored, int h, int v) -> JpegSpec& { return add_kind(&kinds, name, stored, h, v); };
  add("Grey", JCS_GRAYSCALE, 1, 1);
  add("GreySampled2x2", JCS_GRAYSCALE, 2, 2);
  add("YCbCr444", JCS_YCbCr, 1, 1);
  add("YCbCr422", JCS_YCbCr, 2, 1);
  add("YCbCr440", JCS_YCbCr, 1, 2);
  add("YCbCr420", JCS_YCbCr, 2, 2);
  add("YCbCr411", JCS_YCbCr, 4, 1);
  add("YCbCr410", JCS_YCbCr, 4, 2);
  add("Rgb", JCS_RGB, 1, 1);
  add("Cmyk", JCS_CMYK, 1, 1);
  add("CmykWithoutAdobeMarker", JCS_CMYK, 1, 1).markers = false;
  add("Ycck", JCS_YCCK, 1, 1);
  add("Ycck420", JCS_YCCK, 2, 2);
  add("Progressive444", JCS_YCbCr, 1, 1).progressive = true;
  add("Progressive420", JCS_YCbCr, 2, 2).progressive = true;
  add("ProgressiveGrey", JCS_GRAYSCALE, 1, 1).progressive = true;
  add("ProgressiveCmyk", JCS_CMYK, 1, 1).progressive = true;
  add("RestartIntervals", JCS_YCbCr, 2, 2).restart_rows = 1;
#ifdef C_ARITH_CODING_SUPPORTED
  add("Arithmetic", JCS_YCbCr, 2, 2).arithmetic = true;
  JpegSpec& both = add("ArithmeticProgressive", JCS_YCbCr, 1, 1);
  both.arithmetic = both.progressive = true;
#endif
  add("LowQuality", JCS_YCbCr, 2, 2).quality = 5;
  add("HighQuality", JCS_YCbCr, 1, 1).quality = 100;
  return kinds;
}

inline JpegSpec jpeg_kind(const std::string& name) {
  for (const JpegSpec& spec : jpeg_kinds())
    if (spec.name == name) return spec;
  std::fprintf(stderr, "no JPEG kind %s\n", name.c_str());
  std::abort();
}

// Gradients with texture and hard edges on them, different in each channel.
inline uint8_t sample_at(int x, int y, int channel) {
  int gradient = (x * (3 + channel) + y * (5 - channel)) & 255;
  int texture = ((x * 7 + y * 13 + channel * 29) ^ (x * y)) & 31;
  return static_cast<uint8_t>((x / 9 + y / 7) % 3 == channel % 3 ? 255 - gradient / 2 : gradient / 2 + texture);
}

// Test files are good: an error of the plain libjpeg is a mistake in the test.
[[noreturn]] inline void abort_on_error(j_common_ptr cinfo) {
  (*cinfo->err->output_message)(cinfo);
  std::abort();
}

// Flat stretches with a slight slope. Rows are copied out of it, which is quick: see cheap_row.
inline Bytes cheap_pattern(size_t row_bytes) {
  Bytes pattern(row_bytes + 4096 + 64);
  uint32_t state = 20260801, level = 0;
  for (size_t i = 0; i < pattern.size(); i++) {
    if (i % 61 == 0) level = (state = state * 1664525 + 1013904223) >> 25;
    pattern[i] = static_cast<uint8_t>(level + i % 61);
  }
  return pattern;
}

// Where row y begins in the pattern: each band of 8 rows somewhere else, and each row of it a little further on.
inline size_t cheap_row(uint32_t y) { return (y / 8 * 2654435761u >> 20) + y % 8 * 3; }

inline Bytes encode(const JpegSpec& spec) {
  jpeg_compress_struct cinfo;
  jpeg_error_mgr errors;
  cinfo.err = jpeg_std_error(&errors);
  errors.error_exit = abort_on_error;
  jpeg_create_compress(&cinfo);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&cinfo, &out, &size);

  cinfo.image_width = static_cast<JDIMENSION>(spec.width);
  cinfo.image_height = static_cast<JDIMENSION>(spec.height);
  bool four = spec.stored == JCS_CMYK || spec.stored == JCS_YCCK;
  cinfo.input_components = four ? 4 : spec.stored == JCS_GRAYSCALE ? 1 : 3;
  cinfo.in_color_space = four ? JCS_CMYK : spec.stored == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&cinfo);
  jpeg_set_colorspace(&cinfo, spec.stored);
  jpeg_set_quality(&cinfo, spec.quality, TRUE);
  for (int i = 0; i < cinfo.num_components; i++) {
    bool full = i == 0 || i == 3;
    cinfo.comp_info[i].h_samp_factor = full ? spec.h : 1;
    cinfo.comp_info[i].v_samp_factor = full ? spec.v : 1;
  }
  if (spec.progressive) jpeg_simple_progression(&cinfo);
  cinfo.arith_code = spec.arithmetic ? TRUE : FALSE;
  cinfo.restart_in_rows = spec.restart_rows;
  if (!spec.markers) cinfo.write_Adobe_marker = cinfo.write_JFIF_header = FALSE;

  jpeg_start_compress(&cinfo, TRUE);
  Bytes row(static_cast<size_t>(spec.width) * cinfo.input_components);
  const Bytes pattern = spec.cheap ? cheap_pattern(row.size()) : Bytes();
  while (cinfo.next_scanline < cinfo.image_height) {
    if (spec.cheap) {
      JSAMPROW rows[1] = {const_cast<JSAMPROW>(&pattern[cheap_row(cinfo.next_scanline)])};
      jpeg_write_scanlines(&cinfo, rows, 1);
      continue;
    }
    for (int x = 0; x < spec.width; x++)
      for (int c = 0; c < cinfo.input_components; c++)
        row[static_cast<size_t>(x) * cinfo.input_components + c] = sample_at(x, static_cast<int>(cinfo.next_scanline), c);
    JSAMPROW rows[1] = {row.data()};
    jpeg_write_scanlines(&cinfo, rows, 1);
  }
  jpeg_finish_compress(&cinfo);
  jpeg_destroy_compress(&cinfo);
  Bytes jpeg(out, out + size);
  std::free(out);
  return jpeg;
}

struct Picture {
  int width = 0, height = 0, channels = 0;
  Bytes samples;
  std::vector<std::string> warnings;
};

// Keeps warnings; client_data is where.
inline void keep_warning(j_common_ptr cinfo, int level) {
  if (level >= 0) return;
  char text[JMSG_LENGTH_MAX];
  cinfo->err->format_message(cinfo, text);
  static_cast<std::vector<std::string>*>(cinfo->client_data)->push_back(text);
}

// The picture in one of libjpeg's own colour spaces, decoded with the settings that Pillow uses, and what libjpeg warned of.
inline Picture decode_plainly(const Bytes& jpeg, J_COLOR_SPACE as, int eighths = 8) {
  jpeg_decompress_struct cinfo;
  jpeg_error_mgr errors;
  cinfo.err = jpeg_std_error(&errors);
  errors.error_exit = abort_on_error;
  errors.emit_message = keep_warning;
  jpeg_create_decompress(&cinfo);
  Picture p;
  cinfo.client_data = &p.warnings;
  jpeg_mem_src(&cinfo, jpeg.data(), jpeg.size());
  jpeg_read_header(&cinfo, TRUE);
  cinfo.out_color_space = as;
  cinfo.scale_num = static_cast<unsigned>(eighths);
  cinfo.scale_denom = 8;
  cinfo.dct_method = JDCT_ISLOW;
  cinfo.do_fancy_upsampling = TRUE;
  jpeg_start_decompress(&cinfo);
  p.width = static_cast<int>(cinfo.output_width);
  p.height = static_cast<int>(cinfo.output_height);
  p.channels = cinfo.output_components;
  p.samples.resize(static_cast<size_t>(p.width) * p.height * p.channels);
  while (cinfo.output_scanline < cinfo.output_height) {
    JSAMPROW rows[1] = {&p.samples[static_cast<size_t>(cinfo.output_scanline) * p.width * p.channels]};
    jpeg_read_scanlines(&cinfo, rows, 1);
  }
  jpeg_finish_decompress(&cinfo);
  jpeg_destroy_decompress(&cinfo);
  return p;
}

// Where the first segment with that marker begins (at its FF byte). The scan's own data is not searched.
inline size_t find_marker(const Bytes& jpeg, uint8_t marker) {
  for (size_t at = 2; at + 4 <= jpeg.size() && jpeg[at] == 0xFF; at += 2 + (jpeg[at + 2] << 8 | jpeg[at + 3]))
    if (jpeg[at + 1] == marker) return at;
  std::fprintf(stderr, "no marker %02X\n", marker);
  std::abort();
}

// Where the frame header begins: baseline or progressive, Huffman or arithmetic.
inline size_t find_frame_header(const Bytes& jpeg) {
  for (size_t at = 2; at + 4 <= jpeg.size() && jpeg[at] == 0xFF; at += 2 + (jpeg[at + 2] << 8 | jpeg[at + 3]))
    if (jpeg[at + 1] >= 0xC0 && jpeg[at + 1] <= 0xCF && jpeg[at + 1] != 0xC4 && jpeg[at + 1] != 0xCC) return at;
  std::fprintf(stderr, "no frame header\n");
  std::abort();
}

// The same file, claiming another size.
inline Bytes with_size(Bytes jpeg, int width, int height) {
  size_t frame = find_frame_header(jpeg);
  const int values[] = {height >> 8, height & 255, width >> 8, width & 255};
  for (int i = 0; i < 4; i++) jpeg[frame + 5 + i] = static_cast<uint8_t>(values[i]);
  return jpeg;
}

// The limits of the server's defaults.
inline vi_jpeg_limits default_limits() { return {50'000'000, 500'000'000, 512 << 20, 2000}; }
inline vi_jpeg_limits no_limits() { return {}; }

}  // namespace vidi::image::testing
