#include "calls.h"

void vi_call_jpeg(void* call) {
  vi_jpeg_call* c = call;
  c->status = vi_jpeg_resize(c->data, c->size, &c->limits, c->eighths, &c->resize, c->dst, c->dst_bytes, &c->report);
}

void vi_call_png(void* call) {
  vi_png_call* c = call;
  c->status = vi_png_resize(c->data, c->size, c->max_pixels, c->max_cpu_ms, &c->resize, c->dst, c->dst_bytes, &c->resize_ns);
}
