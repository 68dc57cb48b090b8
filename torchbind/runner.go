package torchbind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// runner is a C thread that runs modules and decodes pictures while a goroutine waits for it as for a socket. One goroutine at a time uses
// it.
type runner struct {
	ptr  cRunner
	done *os.File // becomes readable at the end of a call
}

// newRunner starts a thread with the priority of the caller's.
func newRunner(threads int) (*runner, error) {
	ptr, fd, err := runnerNew(threads)
	if err != nil {
		return nil, &Error{Op: "start a thread", Code: Unavailable, Message: err.Error()}
	}
	r := &runner{ptr: ptr, done: os.NewFile(fd, fmt.Sprintf("the end of a call on %d threads", threads))}
	// Fails where Go cannot wait for the descriptor without a thread, which is what it is for.
	if err := r.done.SetDeadline(time.Time{}); err != nil {
		r.close()
		return nil, &Error{Op: "wait for a thread", Code: Unavailable, Message: err.Error()}
	}
	return r, nil
}

// jpeg is jpegResize on the runner's thread, or if r is nil on the caller's.
func (r *runner) jpeg(data []byte, o JPEGOptions, to Resize, dst []byte) (JPEGReport, error) {
	if r == nil {
		return jpegResize(data, o, to, dst)
	}
	defer pin(data, dst).Unpin()
	runnerStartJPEG(r.ptr, data, o, to, dst)
	r.wait()
	return runnerEndJPEG(r.ptr)
}

// png is pngResize on the runner's thread, or if r is nil on the caller's.
func (r *runner) png(data []byte, o PNGOptions, to Resize, dst []byte) (time.Duration, error) {
	if r == nil {
		return pngResize(data, o, to, dst)
	}
	defer pin(data, dst).Unpin()
	runnerStartPNG(r.ptr, data, o, to, dst)
	r.wait()
	return runnerEndPNG(r.ptr)
}

// pin holds a picture's bytes in place, neither of them empty: C reads and writes them after the call that begins it has returned.
func pin(data, dst []byte) *runtime.Pinner {
	pinned := new(runtime.Pinner)
	pinned.Pin(&data[0])
	pinned.Pin(&dst[0])
	return pinned
}

// waitUntil is wait that gives up when ctx ends, and then returns false; the call is still under way.
func (r *runner) waitUntil(ctx context.Context) bool {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = r.done.SetReadDeadline(time.Unix(1, 0)) // one in the past ends a Read
	})
	var count [8]byte
	_, err := r.done.Read(count[:])
	if !stop() {
		<-ended // or it would end the next Read
		_ = r.done.SetReadDeadline(time.Time{})
	}
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// wait returns when a call has ended, or early where that cannot be waited for: the end of the call waits then, inside C.
func (r *runner) wait() {
	var count [8]byte
	_, _ = r.done.Read(count[:])
}

// close ends the thread. It does nothing if r is nil.
func (r *runner) close() {
	if r == nil {
		return
	}
	runnerFree(r.ptr)
	r.done.Close()
}
