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
  tb_module* module;
  const tb_tensor* input;
  tb_tensor* output;
  tb_status* status;
};

static void run(tb_runner* r) {
  r->output = NULL;
  r->status = r->counted ? NULL : tb_thread_set_count(r->threads);
  if (r->status != NULL) return;
  r->counted = true;
  r->status = tb_module_forward(r->module, r->input, &r->output);
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
    run(r);
    set_state(r, ENDED);
    // The counter cannot overflow, so this neither fails nor blocks; and if it did, tb_runner_result would still wait for the state.
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

void tb_runner_start(tb_runner* runner, tb_module* module, const tb_tensor* input) {
  runner->module = module;
  runner->input = input;
  set_state(runner, RUN);
}

tb_status* tb_runner_result(tb_runner* runner, tb_tensor** out) {
  wait_for(runner, ENDED, STOP);
  *out = runner->output;
  return runner->status;
}

void tb_runner_free(tb_runner* runner) {
  set_state(runner, STOP);
  pthread_join(runner->thread, NULL);
  pthread_cond_destroy(&runner->changed);
  pthread_mutex_destroy(&runner->lock);
  free(runner);
}
