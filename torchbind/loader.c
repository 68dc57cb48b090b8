#define _GNU_SOURCE  // setenv, sched_getaffinity, si_syscall

#include "loader.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The functions of shim.h, as NATIVE_FUNCTIONS wants them.
#define TB_RETURNING(R)                                                                                                                 \
  R(vidi_status*, tb_runtime_init, (tb_runtime * a), (a))                                                                               \
  R(vidi_status*, tb_runtime_time_convolution, (int32_t a, double* b), (a, b))                                                          \
  R(vidi_status*, tb_thread_set_count, (int32_t a), (a))                                                                                \
  R(vidi_status*, tb_fuser_forget, (void), ())                                                                                          \
  R(vidi_status*, tb_output_to, (int32_t a), (a))                                                                                       \
  R(vidi_status*, tb_tensor_new, (tb_dtype a, const int64_t* b, int32_t c, const void* d, size_t e, tb_tensor** f), (a, b, c, d, e, f)) \
  R(vidi_status*, tb_tensor_describe, (const tb_tensor* a, tb_tensor_info* b), (a, b))                                                  \
  R(vidi_status*, tb_tensor_copy, (const tb_tensor* a, void* b, size_t c), (a, b, c))                                                   \
  R(vidi_status*, tb_tensor_copy_float32, (const tb_tensor* a, float* b, size_t c), (a, b, c))                                          \
  R(void*, tb_tensor_handle, (tb_tensor * a), (a))                                                                                      \
  R(vidi_status*, tb_tensor_from_handle, (void* a, tb_tensor** b), (a, b))                                                              \
  R(vidi_status*, tb_module_load, (const char* a, const char* b, const tb_module_options* c, tb_module** d), (a, b, c, d))              \
  R(vidi_status*, tb_module_load_bytes, (const void* a, size_t b, const char* c, const tb_module_options* d, tb_module** e),            \
    (a, b, c, d, e))                                                                                                                    \
  R(tb_engine, tb_module_engine, (const tb_module* a), (a))                                                                             \
  R(vidi_status*, tb_module_fork, (const tb_module* a, tb_module** b), (a, b))                                                          \
  R(vidi_status*, tb_module_forward, (tb_module * a, const tb_tensor* b, const tb_limits* c, tb_tensor** d), (a, b, c, d))              \
  R(int64_t, tb_module_peak, (const tb_module* a), (a))                                                                                 \
  R(int64_t, tb_module_load_peak, (const tb_module* a), (a))                                                                            \
  R(vidi_status*, tb_tensor_from_rgb,                                                                                                   \
    (const uint8_t* a, size_t b, int64_t c, int64_t d, int64_t e, const float f[3], const float g[3], tb_dtype h, tb_tensor** i),       \
    (a, b, c, d, e, f, g, h, i))

// The same for functions that return nothing: V(name, (parameters), (arguments)).
#define TB_VOID(V)                                                               \
  V(tb_live_counts, (tb_live * a), (a))                                          \
  V(tb_memory_trim, (void), ())                                                  \
  V(tb_tensor_free, (tb_tensor * a), (a))                                        \
  V(tb_module_extra, (const tb_module* a, const char** b, size_t* c), (a, b, c)) \
  V(tb_module_free, (tb_module * a), (a))

NATIVE_FUNCTIONS(functions, TB_RETURNING, TB_VOID)

// libtorch's OpenMP lets a thread that waits for the others spin for milliseconds, which is poison on a busy machine: the
// spinner keeps the core that the thread it waits for would need. With few turns it falls asleep between two layers, and waking
// it takes longer than many a layer. Measured on 2 virtual cores, ResNet-18 on both, an inference with 1,000, 10,000 and 30,000
// turns (0.8 ms): 38, 33 and 33 ms in fp32, 26, 20 and 19 in int8; beside a program that keeps one core busy, without the engine's
// watch over it (service/engine/pace.go), 51, 69 and 91 ms in fp32. It is read when the library is opened; who sets either
// variable has the last word.
static void bound_spinning(void) {
  if (getenv("OMP_WAIT_POLICY") == NULL) setenv("GOMP_SPINCOUNT", "30000", 0);
}

// oneDNN Graph remembers the last 1,024 pieces it has compiled, those of freed modules too: 3 to 7 MB for each load of a
// classifier, up to 170. Nothing is ever found there again, because pieces are known by numbers that each load makes anew. There is
// no function to set it from outside libtorch, and it is read when the first piece is compiled.
static void forget_compiled(void) { setenv("DNNL_GRAPH_COMPILED_PARTITION_CACHE_CAPACITY", "0", 0); }

// glibc gives threads heaps of their own, eight for each core, and each keeps some pages that are in use in part. A module is loaded
// on a fresh thread, so that another heap gets them each time: a server that exchanged a model of 19 MB 120 times grew by 50 MB with 16
// heaps, by 28 with two. What an inference makes is not there (cgo/torch/allocator.cc), so that sharing costs nothing that could be
// measured.
//
// It runs when the program is started, because the heaps that threads already have stay: Go's had eight when libtorch was opened.
__attribute__((constructor)) static void bound_heaps(void) {
  cpu_set_t mine;
  const int cores = sched_getaffinity(0, sizeof(mine), &mine) == 0 ? CPU_COUNT(&mine) : CPU_SETSIZE;
  if (getenv("MALLOC_ARENA_MAX") == NULL) mallopt(M_ARENA_MAX, cores > 8 ? cores / 4 : 2);
}

const void* tb_functions(void) {
  bound_spinning();
  forget_compiled();
  return functions;
}

// Nothing but what may be called in a signal handler: the call may have been made inside malloc or
// the loader.
static void name_trapped_call(int signal_number, siginfo_t* info, void* context) {
  (void)context;
  char text[] =
      "trapped system call "
      "          \n";
  char* digit = text + sizeof(text) - 2;
  unsigned call = (unsigned)info->si_syscall;
  do {
    *--digit = (char)('0' + call % 10);
    call /= 10;
  } while (call > 0);
  if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) {
    // the signal alone tells then
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void tb_name_trapped_calls(void) {
  // Go's handler names none that is made on a thread of C's.
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  action.sa_sigaction = name_trapped_call;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSYS, &action, NULL);
}
