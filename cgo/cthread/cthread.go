// Package cthread runs long calls of C on a thread of C's, while the goroutine that wants the result
// waits as for a socket. cthread.h tells what that is good for.
package cthread

/*
#cgo CFLAGS: -std=c11
#include <stdlib.h>
#include "cthread.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// Thread is a C thread. One goroutine at a time uses it.
type Thread struct {
	ptr    *C.cthread
	done   *os.File       // becomes readable at the end of a call
	pinned runtime.Pinner // of the call's argument
}

// New starts a thread with the priority of the caller's, and a name of at most 15 bytes.
func New(name string) (*Thread, error) {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	var fd C.int
	ptr, err := C.cthread_new(cName, &fd)
	if ptr == nil { // errno has no meaning otherwise
		if err == nil {
			err = syscall.ENOMEM
		}
		return nil, err
	}
	t := &Thread{ptr: ptr, done: os.NewFile(uintptr(fd), "the end of a call on a thread "+name)}
	// Fails where Go cannot wait for the descriptor without a thread, which is what it is for.
	if err := t.done.SetDeadline(time.Time{}); err != nil {
		t.Close()
		return nil, fmt.Errorf("wait for a thread: %w", err)
	}
	return t, nil
}

// Start begins call, a C function of type void (*)(void*), with an argument in Go's memory, which
// stays where it is until the end of the call. Pointers in it must be C's or pinned. [Thread.Wait]
// has to follow.
func (t *Thread) Start(call, argument unsafe.Pointer) {
	t.pinned.Pin(argument)
	C.cthread_start(t.ptr, (*[0]byte)(call), argument)
}

// Wait returns when the call has ended.
func (t *Thread) Wait() {
	var count [8]byte
	_, _ = t.done.Read(count[:]) // where that fails, what follows waits, inside C
	t.end()
}

// WaitUntil is Wait that gives up when ctx ends, and then returns false: the call is still under
// way, and Wait still has to follow.
func (t *Thread) WaitUntil(ctx context.Context) bool {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = t.done.SetReadDeadline(time.Unix(1, 0)) // one in the past ends a Read
	})
	var count [8]byte
	_, err := t.done.Read(count[:])
	if !stop() {
		<-ended // or it would end the next Read
		_ = t.done.SetReadDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	t.end()
	return true
}

func (t *Thread) end() {
	C.cthread_wait(t.ptr)
	t.pinned.Unpin()
}

// Run is Start and Wait.
func (t *Thread) Run(call, argument unsafe.Pointer) {
	t.Start(call, argument)
	t.Wait()
}

// Close ends the thread. No call may be under way. It does nothing if t is nil.
func (t *Thread) Close() {
	if t == nil {
		return
	}
	C.cthread_free(t.ptr)
	t.done.Close()
}
