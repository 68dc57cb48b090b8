#define _POSIX_C_SOURCE 200809L  // pthread.h

#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

struct tb_runner {
  pthread_t thread;
  pthread_mutex_t lock;  // guards state
  pthread_cond_t changed;
  enum { IDLE, RUN, ENDED, STOP } state;
  int done;  // this and the next never change
  int32_t threads;
  bool counted;  // the thread's own: it has told libtorch how many threads to use
  // These belong to the thread while state is RUN, and else to the caller.
  void (*call)(tb_runner*);
  tb_status* status;
  struct {
    const uint8_t* data;
    size_t size;
    tb_resize resize;
    uint8_t* dst;
    size_t dst_bytes;
  } picture;  // of jpeg and png
  union {
    struct {
      tb_module* module;
      const tb_tensor* input;
      tb_limits limits;
      tb_tensor* output;
    } forward;
    struct {
      tb_jpeg_limits limits;
      int32_t eighths;
      tb_jpeg_report report;
    } jpeg;
    struct {
      int64_t max_pixels, max_cpu_ms;
      int64_t resize_ns;
    } png;
  };
};

static void forward(tb_runner* r) {
  r->forward.output = NULL;
  r->status = r->counted ? NULL : tb_thread_set_count(r->threads);
  if (r->status != NULL) return;
  r->counted = true;
  r->status = tb_module_forward(r->forward.module, r->forward.input, &r->forward.limits, &r->forward.output);
}

static void jpeg(tb_runner* r) {
  r->status = tb_jpeg_resize(r->picture.data, r->picture.size, &r->jpeg.limits, r->jpeg.eighths, &r->picture.resize, r->picture.dst,
                             r->picture.dst_bytes, &r->jpeg.report);
}

static void png(tb_runner* r) {
  r->status = tb_png_resize(r->picture.data, r->picture.size, r->png.max_pixels, r->png.max_cpu_ms, &r->picture.resize, r->picture.dst,
                            r->picture.dst_bytes, &r->png.resize_ns);
}

static void set_state(tb_runner* r, int state) {
  pthread_mutex_lock(&r->lock);
  r->state = state;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->lock);
}

// Waits until the state is one of two, and says which.
static int wait_for(tb_runner* r, int one, int other) {
  pthread_mutex_lock(&r->lock);
  while (r->state != one && r->state != other) pthread_cond_wait(&r->changed, &r->lock);
  const int state = r->state;
  pthread_mutex_unlock(&r->lock);
  return state;
}

static void* loop(void* argument) {
  tb_runner* r = argument;
  prctl(PR_SET_NAME, "tb-runner");  // libtorch's threads get it too
  while (wait_for(r, RUN, STOP) == RUN) {
    r->call(r);
    set_state(r, ENDED);
    // The counter cannot overflow, so this neither fails nor blocks; and if it did, tb_runner_end_… would still wait for the state.
    const uint64_t one = 1;
    if (write(r->done, &one, sizeof(one)) < 0) continue;
  }
  return NULL;
}

tb_runner* tb_runner_new(int32_t threads, int* done) {
  tb_runner* r = calloc(1, sizeof(*r));
  if (r == NULL) return NULL;
  r->threads = threads;
  r->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (r->done < 0) {
    free(r);
    return NULL;
  }
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->changed, NULL);
  const int error = pthread_create(&r->thread, NULL, loop, r);
  if (error != 0) {
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    close(r->done);
    free(r);
    errno = error;
    return NULL;
  }
  *done = r->done;
  return r;
}

static void start(tb_runner* r, void (*call)(tb_runner*)) {
  r->call = call;
  set_state(r, RUN);
}

static tb_status* end(tb_runner* r) {
  wait_for(r, ENDED, STOP);
  return r->status;
}

void tb_runner_start_forward(tb_runner* runner, tb_module* module, const tb_tensor* input, const tb_limits* limits) {
  runner->forward.module = module;
  runner->forward.limits = *limits;
  runner->forward.input = input;
  start(runner, forward);
}

tb_status* tb_runner_end_forward(tb_runner* runner, tb_tensor** out) {
  tb_status* status = end(runner);
  *out = runner->forward.output;
  return status;
}

static void set_picture(tb_runner* r, const uint8_t* data, size_t size, const tb_resize* resize, uint8_t* dst, size_t dst_bytes) {
  r->picture.data = data;
  r->picture.size = size;
  r->picture.resize = *resize;
  r->picture.dst = dst;
  r->picture.dst_bytes = dst_bytes;
}

// end, after which the bytes are the caller's again.
static tb_status* end_picture(tb_runner* r) {
  tb_status* status = end(r);
  r->picture.data = r->picture.dst = NULL;
  return status;
}

void tb_runner_start_jpeg(tb_runner* runner, const uint8_t* data, size_t size, const tb_jpeg_limits* limits, int32_t eighths,
                          const tb_resize* resize, uint8_t* dst, size_t dst_bytes) {
  set_picture(runner, data, size, resize, dst, dst_bytes);
  runner->jpeg.limits = *limits;
  runner->jpeg.eighths = eighths;
  start(runner, jpeg);
}

tb_status* tb_runner_end_jpeg(tb_runner* runner, tb_jpeg_report* report) {
  tb_status* status = end_picture(runner);
  *report = runner->jpeg.report;
  return status;
}

void tb_runner_start_png(tb_runner* runner, const uint8_t* data, size_t size, int64_t max_pixels, int64_t max_cpu_ms,
                         const tb_resize* resize, uint8_t* dst, size_t dst_bytes) {
  set_picture(runner, data, size, resize, dst, dst_bytes);
  runner->png.max_pixels = max_pixels;
  runner->png.max_cpu_ms = max_cpu_ms;
  start(runner, png);
}

tb_status* tb_runner_end_png(tb_runner* runner, int64_t* resize_ns) {
  tb_status* status = end_picture(runner);
  *resize_ns = runner->png.resize_ns;
  return status;
}

void tb_runner_free(tb_runner* runner) {
  set_state(runner, STOP);
  pthread_join(runner->thread, NULL);
  pthread_cond_destroy(&runner->changed);
  pthread_mutex_destroy(&runner->lock);
  free(runner);
}
