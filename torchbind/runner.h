// A C thread that runs modules, so that no Go thread has to wait inside C for them.
//
// Go's runtime looks after threads that are inside C: for the first 10 ms of each call a thread of its own (sysmon) wakes up to
// some 60 times to see whether the call has ended. That costs nothing while a core is free. When inference fills all cores, each time
// it is interrupted; and where several threads share an inference, the others wait for that one at the end of the layer.
#ifndef TB_RUNNER_H
#define TB_RUNNER_H

#include "shim.h"

typedef struct tb_runner tb_runner;

// Starts the thread, which inherits the caller's priority; modules will use `threads` threads, itself included. *done is a
// descriptor that does not block and becomes readable (an eventfd) when a run has ended. Returns NULL, with errno set, if the
// system gives no thread or descriptor. Both are the caller's: tb_runner_free first, then close(*done).
tb_runner* tb_runner_new(int32_t threads, int* done);

// Begins tb_module_forward(module, input) on the thread and returns at once. Module and input must live until tb_runner_result, which has
// to follow before the next start.
void tb_runner_start(tb_runner* runner, tb_module* module, const tb_tensor* input);

// What tb_module_forward returned, and its output; waits if the run has not ended.
tb_status* tb_runner_result(tb_runner* runner, tb_tensor** out);

// Ends the thread, and libtorch's pool of threads with it. No run may be under way.
void tb_runner_free(tb_runner* runner);

#endif
