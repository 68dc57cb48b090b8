package preprocess

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// checkSize holds a header's size against the limit. A side of more than 2³¹ pixels is a lie in every format.
func checkSize(format string, width, height int64, limits Limits) error {
	if width <= 0 || height <= 0 {
		return noPixels(format)
	}
	if width > limits.MaxPixels/height {
		return tooLarge(int(width), int(height), limits.MaxPixels)
	}
	return nil
}

// smallMemory is the part of the memory that there is on top of it for small pictures, and the part of that which one may take.
const smallMemory = 16

// reserve waits until the memory that the picture needs is free of other pictures, and takes it.
func (p *Preparer) reserve(ctx context.Context, need int64) (release func(), err error) {
	if need > p.limits.MaxMemory {
		return nil, tooComplex(fmt.Errorf("it needs %d bytes of at most %d", need, p.limits.MaxMemory),
			"decoding the picture would take more memory than allowed")
	}
	if err := ctx.Err(); err != nil {
		return nil, err // TryAcquire does not look
	}
	from := p.memory
	if !from.TryAcquire(need) {
		if need <= p.limits.MaxMemory/smallMemory/smallMemory {
			from = p.small // a semaphore serves in order: a large picture that waits would hold up the small ones
		}
		if err := from.Acquire(ctx, need); err != nil {
			return nil, err
		}
	}
	return func() { from.Release(need) }, nil
}

// A meter hands a picture's bytes to a decoder, and ends it when its CPU time is used up. Decoders written in Go cannot be
// interrupted, but they read all the time: even where compression is at its best, some megabytes of pixels come from the few
// kilobytes that one Read gives out.
//
// The clock is that of the thread, so that an answer does not depend on how busy the machine is.
type meter struct {
	data    []byte
	at      int
	limit   time.Duration
	end     time.Duration // on the thread's CPU clock
	expired bool
}

const meterStep = 4 << 10 // most bytes that one Read gives out

var errExpired = fmt.Errorf("decoding takes longer than allowed")

// metered runs f with a meter on one thread.
func metered(data []byte, limit time.Duration, f func(m *meter)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f(&meter{data: data, limit: limit, end: threadCPU() + limit})
}

// check reports whether the time is used up.
func (m *meter) check() error {
	if !m.expired && threadCPU() > m.end {
		m.expired = true
	}
	if m.expired {
		return errExpired
	}
	return nil
}

// Read gives out the next few bytes.
func (m *meter) Read(p []byte) (int, error) {
	if m.at >= len(m.data) {
		return 0, io.EOF
	}
	if err := m.check(); err != nil {
		return 0, err
	}
	n := copy(p[:min(len(p), meterStep)], m.data[m.at:])
	m.at += n
	return n, nil
}

// ReadAt gives out the bytes at an offset, as many as are wanted.
func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if err := m.check(); err != nil {
		return 0, err
	}
	if off < 0 || off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(p, m.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // cannot happen: the clock always exists
	}
	return time.Duration(t.Nano())
}
