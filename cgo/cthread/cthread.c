#define _POSIX_C_SOURCE 200809L  // pthread.h

#include "cthread.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

struct cthread {
  pthread_t thread;
  pthread_mutex_t lock;  // guards state
  pthread_cond_t changed;
  enum { IDLE, RUN, ENDED, STOP } state;
  int done;  // this and the name never change
  char name[16];
  // These belong to the thread while state is RUN, and else to the caller.
  void (*call)(void*);
  void* argument;
};

static void set_state(cthread* t, int state) {
  pthread_mutex_lock(&t->lock);
  t->state = state;
  pthread_cond_broadcast(&t->changed);
  pthread_mutex_unlock(&t->lock);
}

// Waits until the state is one of two, and says which.
static int wait_for(cthread* t, int one, int other) {
  pthread_mutex_lock(&t->lock);
  while (t->state != one && t->state != other) pthread_cond_wait(&t->changed, &t->lock);
  const int state = t->state;
  pthread_mutex_unlock(&t->lock);
  return state;
}

static void* loop(void* argument) {
  cthread* t = argument;
  prctl(PR_SET_NAME, t->name);  // threads that the calls start get it too
  while (wait_for(t, RUN, STOP) == RUN) {
    t->call(t->argument);
    set_state(t, ENDED);
    // The counter cannot overflow, so this neither fails nor blocks; and if it did, cthread_wait would
    // still wait for the state.
    const uint64_t one = 1;
    if (write(t->done, &one, sizeof(one)) < 0) continue;
  }
  return NULL;
}

cthread* cthread_new(const char* name, int* done) {
  cthread* t = calloc(1, sizeof(*t));
  if (t == NULL) return NULL;
  snprintf(t->name, sizeof(t->name), "%s", name);
  t->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (t->done < 0) {
    free(t);
    return NULL;
  }
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->changed, NULL);
  const int error = pthread_create(&t->thread, NULL, loop, t);
  if (error != 0) {
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    close(t->done);
    free(t);
    errno = error;
    return NULL;
  }
  *done = t->done;
  return t;
}

void cthread_start(cthread* t, void (*call)(void*), void* argument) {
  t->call = call;
  t->argument = argument;
  set_state(t, RUN);
}

void cthread_wait(cthread* t) { wait_for(t, ENDED, STOP); }

void cthread_free(cthread* t) {
  set_state(t, STOP);
  pthread_join(t->thread, NULL);
  pthread_cond_destroy(&t->changed);
  pthread_mutex_destroy(&t->lock);
  free(t);
}
