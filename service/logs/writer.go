package logs

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueBytes is how much may wait to be written; as much again may be under way.
	queueBytes = 1 << 20
	// atOnce is what a pipe takes in one piece, whoever else writes to it (PIPE_BUF).
	atOnce = 4 << 10
)

// Writer writes lines in the background, so that a reader that is slow, or gone, holds up nobody. What finds no
// room, or cannot be written, is dropped and counted. Its methods are safe for concurrent use.
type Writer struct {
	to      io.Writer
	torn    bool // what was written last ends within a line
	dropped atomic.Int64

	mu      sync.Mutex
	changed sync.Cond // something waits, everything is written, or Close was called
	waiting []byte    // whole lines
	writing bool
	works   bool // the last lines could be written
	closed  bool
	lost    int64             // lines dropped since somebody was told
	tell    func(lines int64) // may be nil
}

// NewWriter writes to another writer, until Close.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: to}
	w.changed.L = &w.mu
	go w.work()
	return w
}

// Tell has a function called with the number of lines that were dropped, once lines can be written again. It may
// write. Call it before anything is written.
func (w *Writer) Tell(told func(lines int64)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell = told
}

// Write takes p, which must be whole lines, or drops it. It never waits, and there is never an error.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.waiting)+len(p) > queueBytes {
		w.drop(p)
		return len(p), nil
	}
	w.waiting = append(w.waiting, p...)
	w.changed.Broadcast()
	return len(p), nil
}

// Dropped is how many lines were dropped so far. A nil Writer has dropped none.
func (w *Writer) Dropped() int64 {
	if w == nil {
		return 0
	}
	return w.dropped.Load()
}

// Close waits until everything is written, for a time at most. What comes later is dropped.
func (w *Writer) Close(most time.Duration) {
	late := false
	timer := time.AfterFunc(most, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		late = true
		w.changed.Broadcast()
	})
	defer timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !late && (w.writing || len(w.waiting) > 0 || w.untold()) {
		w.changed.Wait()
	}
	w.closed = true
	w.changed.Broadcast()
}

// drop counts lines that are lost. w.mu is locked.
func (w *Writer) drop(p []byte) {
	n := int64(bytes.Count(p, []byte("\n")))
	w.lost += n
	w.dropped.Add(n)
}

// untold reports whether lines were lost, which can be told now. w.mu is locked.
func (w *Writer) untold() bool { return w.lost > 0 && w.works && w.tell != nil && !w.closed }

// work writes until Close.
func (w *Writer) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var spare []byte
	for {
		for len(w.waiting) == 0 && !w.untold() && !w.closed {
			w.changed.Wait()
		}
		if len(w.waiting) == 0 && !w.untold() {
			return
		}
		lines := w.waiting
		w.waiting, w.writing = spare[:0], true
		if w.untold() { // now that there is room for one more line
			lost := w.lost
			w.lost = 0
			w.mu.Unlock()
			w.tell(lost)
			w.mu.Lock()
		}
		w.mu.Unlock()
		written := w.write(lines)
		w.mu.Lock()
		w.drop(lines[written:])
		w.works, w.writing = written == len(lines), false
		if spare = lines; cap(spare) > atOnce { // a burst's memory is given back
			spare = nil
		}
		w.changed.Broadcast()
	}
}

// write writes as many lines as it can, and returns how many bytes of them. Only work calls it.
func (w *Writer) write(lines []byte) (written int) {
	if w.torn { // a disk was full: what follows must not look like a part of that line
		if _, err := w.to.Write([]byte("\n")); err != nil {
			return 0
		}
	}
	defer func() { w.torn = written > 0 && lines[written-1] != '\n' || written == 0 && w.torn }()
	for written < len(lines) {
		part := lines[written:]
		if len(part) > atOnce {
			end := bytes.LastIndexByte(part[:atOnce], '\n')
			if end < 0 {
				end = bytes.IndexByte(part, '\n')
			}
			if end >= 0 {
				part = part[:end+1]
			}
		}
		n, err := w.to.Write(part)
		if written += n; err != nil {
			return written
		}
	}
	return written
}
