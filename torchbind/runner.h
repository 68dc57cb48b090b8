// A C thread that does one long call of the shim at a time, so that no Go thread has to wait inside C for it.
//
// Go's runtime looks after threads that are inside C: for the first 10 ms of each call a thread of its own (sysmon) wakes up to
// some 60 times to see whether the call has ended. While a core is free that costs CPU time, 0.1 to 0.2 ms a call. When inference fills all
// cores, it is interrupted each time; and where several threads share an inference, the others wait for that one at the end of the layer.
#ifndef TB_RUNNER_H
#define TB_RUNNER_H

#include "shim.h"

typedef struct tb_runner tb_runner;

// Starts the thread, which inherits the caller's priority; modules will use `threads` threads, itself included. *done is a
// descriptor that does not block and becomes readable (an eventfd) when a call has ended. Returns NULL, with errno set, if the
// system gives no thread or descriptor. Both are the caller's: tb_runner_free first, then close(*done).
tb_runner* tb_runner_new(int32_t threads, int* done);

// These begin a call on the thread and return at once. Limits and sizes are copied; modules, tensors and bytes must stay where they are
// until the function below with the same name, which has to follow before anything else begins.
void tb_runner_start_forward(tb_runner* runner, tb_module* module, const tb_tensor* input, const tb_limits* limits);
void tb_runner_start_jpeg(tb_runner* runner, const uint8_t* data, size_t size, const tb_jpeg_limits* limits, int32_t eighths,
                          const tb_resize* resize, uint8_t* dst, size_t dst_bytes);
void tb_runner_start_png(tb_runner* runner, const uint8_t* data, size_t size, int64_t max_pixels, int64_t max_cpu_ms,
                         const tb_resize* resize, uint8_t* dst, size_t dst_bytes);

// What tb_module_forward, tb_jpeg_resize and tb_png_resize returned, and their results; they wait if the call has not ended.
tb_status* tb_runner_end_forward(tb_runner* runner, tb_tensor** out);
tb_status* tb_runner_end_jpeg(tb_runner* runner, tb_jpeg_report* report);
tb_status* tb_runner_end_png(tb_runner* runner, int64_t* resize_ns);

// Ends the thread, and libtorch's pool of threads with it. No call may be under way.
void tb_runner_free(tb_runner* runner);

#endif
