package preprocess

import (
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

// A meter hands a picture's bytes to a decoder, and ends it when its CPU time is used up. Decoders written in Go cannot be
// interrupted, but they read all the time: even where compression is at its best, some megabytes of pixels come from the few
// kilobytes that one Read gives out.
//
// The clock is that of the thread, so that an answer does not depend on how busy the machine is.
type meter struct {
	data    []byte
	at      int
	looked  int // at, when the clock was last read
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
	// Not for each of a few bytes, since reading the clock takes longer than that.
	if m.expired || m.at == 0 || m.at-m.looked >= meterStep {
		if err := m.check(); err != nil {
			return 0, err
		}
		m.looked = m.at
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
