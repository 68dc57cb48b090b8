package torchbind

import (
	"fmt"
	"os"
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

// forward is moduleForward on the runner's threads.
func (r *runner) forward(m cModule, input cTensor) (cTensor, error) {
	return runnerForward(r.ptr, r.wait, m, input)
}

// wait returns when a call has ended, or where that cannot be waited for without a thread.
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
