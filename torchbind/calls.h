// Calls that are made on a C thread (package cthread): their arguments and results, and a function that makes each.
#ifndef TB_CALLS_H
#define TB_CALLS_H

#include "shim.h"

typedef struct {
  int32_t threads;
  tb_status* status;
} tb_set_threads_call;
void tb_call_set_threads(void* call);

typedef struct {
  tb_module* module;
  const tb_tensor* input;
  tb_limits limits;
  tb_tensor* output;
  tb_status* status;
} tb_forward_call;
void tb_call_forward(void* call);

typedef struct {
  const uint8_t* data;
  size_t size;
  tb_jpeg_limits limits;
  int32_t eighths;
  tb_resize resize;
  uint8_t* dst;
  size_t dst_bytes;
  tb_jpeg_report report;
  tb_status* status;
} tb_jpeg_call;
void tb_call_jpeg(void* call);

typedef struct {
  const uint8_t* data;
  size_t size;
  int64_t max_pixels, max_cpu_ms;
  tb_resize resize;
  uint8_t* dst;
  size_t dst_bytes;
  int64_t resize_ns;
  tb_status* status;
} tb_png_call;
void tb_call_png(void* call);

#endif
