// A C thread that does one long call at a time, so that no Go thread has to wait inside C for it.
//
// Go's runtime looks after threads that are inside C: for the first 10 ms of each call a thread of
// its own (sysmon) wakes up to some 60 times to see whether the call has ended. While a core is free
// that costs CPU time, 0.1 to 0.2 ms a call. When inference fills all cores, it is interrupted each
// time; and where several threads share an inference, the others wait for that one at the end of
// the layer.
#ifndef CTHREAD_H
#define CTHREAD_H

typedef struct cthread cthread;

// Starts the thread, which inherits the caller's priority and gets the name, of at most 15 bytes.
// *done is a descriptor that does not block and becomes readable (an eventfd) when a call has ended.
// Returns NULL, with errno set, if the system gives no thread or descriptor. Both are the caller's:
// cthread_free first, then close(*done).
cthread* cthread_new(const char* name, int* done);

// Begins call(argument) on the thread and returns at once. cthread_wait has to follow before
// anything else begins, and until then the argument must stay where it is.
void cthread_start(cthread* thread, void (*call)(void* argument), void* argument);

// Returns when the call has ended.
void cthread_wait(cthread* thread);

// Ends the thread. No call may be under way.
void cthread_free(cthread* thread);

#endif
