// Package watch follows what people change while a server runs: above all a small file.
package watch

import (
	"bytes"
	"context"
	"time"
)

// interval is how often is looked. To look, instead of asking the system for changes, works on every file system and through the
// symbolic links of a mounted volume or secret; some kilobytes a second cost nothing.
const interval = time.Second

// sayAgain is how often is said what stays wrong: a message of yesterday is not seen.
const sayAgain = 10 * time.Minute

// Every calls look once a second, on this goroutine, until ctx ends.
func Every(ctx context.Context, look func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			look()
		}
	}
}

// File compares a file with what was seen a moment ago and with what is in use. Its methods are for one goroutine.
type File struct {
	read              func() ([]byte, error)
	use               func(data []byte) error
	refuse            func(err error)
	patient           Patient[[]byte]
	used, seen        []byte
	said, seenFailure string // failures are compared as texts, "" for none
	wrong             error  // why what was last found cannot be used, nil where it is in use
	saidAt            time.Time
}

// New follows the file that read reads, of which opened is in use. A change is handed to use. If that fails, or the file cannot
// be read, refuse hears why, and again every ten minutes until the file can be used. A read that hangs is such a failure, too.
func New(opened []byte, read func() ([]byte, error), use func(data []byte) error, refuse func(err error)) *File {
	return &File{read: read, use: use, refuse: refuse, used: opened, seen: opened}
}

// Follow looks every second until ctx ends.
func (f *File) Follow(ctx context.Context) { Every(ctx, func() { f.Look(ctx) }) }

// Look reads the file. A change counts once the file was found the same twice, so that a half-written one is not taken for
// whole.
func (f *File) Look(ctx context.Context) {
	data, err := f.patient.Do(ctx, f.read)
	if ctx.Err() != nil {
		return
	}
	failure := ""
	if err != nil {
		data, failure = nil, err.Error()
	}
	settled := failure == f.seenFailure && bytes.Equal(data, f.seen)
	changed := failure != f.said || !bytes.Equal(data, f.used)
	f.seen, f.seenFailure = data, failure
	switch {
	case settled && changed:
		f.used, f.said, f.wrong = data, failure, err
		if err == nil {
			f.wrong = f.use(data)
		}
	case f.wrong == nil || time.Since(f.saidAt) < sayAgain:
		return
	}
	if f.wrong != nil {
		f.saidAt = time.Now()
		f.refuse(f.wrong)
	}
}
