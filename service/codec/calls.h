// Calls that are made on a C thread (package cthread): their arguments and results, and a function that makes each.
#ifndef VI_CALLS_H
#define VI_CALLS_H

#include "image.h"

typedef struct {
  const uint8_t* data;
  size_t size;
  vi_jpeg_limits limits;
  int32_t eighths;
  vi_resize resize;
  uint8_t* dst;
  size_t dst_bytes;
  vi_jpeg_report report;
  vidi_status* status;
} vi_jpeg_call;
void vi_call_jpeg(void* call);

typedef struct {
  const uint8_t* data;
  size_t size;
  int64_t max_pixels, max_cpu_ms;
  vi_resize resize;
  uint8_t* dst;
  size_t dst_bytes;
  int64_t resize_ns;
  vidi_status* status;
} vi_png_call;
void vi_call_png(void* call);

#endif
