package torchbind

import (
	"fmt"
	"os"
	"time"
)

// runner is a C thread that runs modules while a goroutine waits for it as for a socket. One goroutine at a time uses it.
type runner struct {
	ptr  cRunner
	done *os.File // becomes readable at the end of a run
}

// newRunner starts a thread with the priority of the caller's.
func newRunner(threads int) (*runner, error) {
	ptr, fd, err := runnerNew(threads)
	if err != nil {
		return nil, &Error{Op: "start a thread for inference", Code: Unavailable, Message: err.Error()}
	}
	r := &runner{ptr: ptr, done: os.NewFile(fd, fmt.Sprintf("the end of a run on %d threads", threads))}
	// Fails where Go cannot wait for the descriptor without a thread, which is what it is for.
	if err := r.done.SetDeadline(time.Time{}); err != nil {
		r.close()
		return nil, &Error{Op: "wait for inference", Code: Unavailable, Message: err.Error()}
	}
	return r, nil
}

// forward is moduleForward on the runner's threads.
func (r *runner) forward(m cModule, input cTensor) (cTensor, error) {
	runnerStart(r.ptr, m, input)
	var count [8]byte
	// Without an answer here the next line waits, inside C.
	_, _ = r.done.Read(count[:])
	return runnerResult(r.ptr)
}

// close ends the thread. It does nothing if r is nil.
func (r *runner) close() {
	if r == nil {
		return
	}
	runnerFree(r.ptr)
	r.done.Close()
}
