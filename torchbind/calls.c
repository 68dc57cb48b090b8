#include "calls.h"

void tb_call_set_threads(void* call) {
  tb_set_threads_call* c = call;
  c->status = tb_thread_set_count(c->threads);
}

void tb_call_forward(void* call) {
  tb_forward_call* c = call;
  c->status = tb_module_forward(c->module, c->input, &c->limits, &c->output);
}
