#include "calls.h"

void tb_call_set_threads(void* call) {
  tb_set_threads_call* c = call;
  c->status = tb_thread_set_count(c->threads);
}

void tb_call_forward(void* call) {
  tb_forward_call* c = call;
  c->status = tb_module_forward(c->module, c->input, &c->limits, &c->output);
}

void tb_call_jpeg(void* call) {
  tb_jpeg_call* c = call;
  c->status = tb_jpeg_resize(c->data, c->size, &c->limits, c->eighths, &c->resize, c->dst, c->dst_bytes, &c->report);
}

void tb_call_png(void* call) {
  tb_png_call* c = call;
  c->status = tb_png_resize(c->data, c->size, c->max_pixels, c->max_cpu_ms, &c->resize, c->dst, c->dst_bytes, &c->resize_ns);
}
