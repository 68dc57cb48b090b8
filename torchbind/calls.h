// Calls that are made on a C thread (package cthread): their arguments and results, and a function that makes each.
#ifndef TB_CALLS_H
#define TB_CALLS_H

#include "shim.h"

typedef struct {
  int32_t threads;
  vidi_status* status;
} tb_set_threads_call;
void tb_call_set_threads(void* call);

typedef struct {
  tb_module* module;
  const tb_tensor* input;
  tb_limits limits;
  tb_tensor* output;
  vidi_status* status;
} tb_forward_call;
void tb_call_forward(void* call);

#endif
