// libjpeg-turbo's own API, set up so that the pixels are those Pillow gives, with bounds on what a hostile file may cost.
//
// libjpeg reports errors by longjmp, to d->on_error. So the functions that call it (run_*), and set that, hold nothing but plain
// data, and everything with a destructor stays in the ABI functions around them.
#pragma once

#include <csetjmp>
#include <cstdio>

// jpeglib.h needs FILE and size_t to be declared before it.
#include <jpeglib.h>

#include "image.h"

namespace vidi::image {

// One decompression and everything its callbacks need. libjpeg hands the callbacks a j_common_ptr or j_decompress_ptr;
// client_data leads back here.
struct JpegDecoder {
  jpeg_decompress_struct cinfo;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  jmp_buf on_error;
  vi_jpeg_limits limits;
  int64_t deadline_ns;  // of this thread's CPU clock; 0 for none
  int64_t unclocked;    // pixels of progress since the clock was read
  const uint8_t* data;  // the whole file
  size_t size;
  size_t taken;     // bytes that libjpeg had read when it last reported progress
  bool in_scans;    // the header is read, and so is where the picture's data begins
  bool ran_out;     // the file ended without an end marker
  bool lacks_data;  // a scan ended before its rows did, at a marker that is no restart
  vidi_code code;
  char message[JMSG_LENGTH_MAX + 64];
  vi_jpeg_report report;
};

// Fills d, without calling libjpeg. Once it was called, jpeg_destroy_decompress must be, also after an error; twice does no harm.
void prepare(JpegDecoder* d, const vi_jpeg_limits& limits);

// These jump to d->on_error when something is wrong.

[[noreturn]] void give_up(JpegDecoder* d, vidi_code code, const char* message);
// Reads the header and holds it against the limits.
void start(JpegDecoder* d, const uint8_t* data, size_t size);
// After start: the size of the output, and a decoding into RGBX, or into CMYK, as Pillow's settings have it.
void choose_output(JpegDecoder* d, int32_t eighths);
// Ends the work when it has taken too long. Cheap enough for every row.
void check_time(JpegDecoder* d, int64_t pixels);

// Call when every row has been read and no end marker was found: warns of that if every row was in the file, and else gives up.
void require_all_rows(JpegDecoder* d);
// How far libjpeg has read in the file.
size_t position(const JpegDecoder& d);

// Adobe's inverted CMYK to RGB in place, with Pillow's "CMYK;I" unpacking and cmyk2rgb (libImaging/Convert.c).
void cmyk_to_rgb(uint8_t* row, uint32_t width);

}  // namespace vidi::image
