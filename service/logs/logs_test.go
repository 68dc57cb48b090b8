package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

type stringer string

func (s stringer) String() string { return string(s) }

// Whatever is logged, a line stays short, says what was left out, and holds nothing that a terminal obeys.
func TestLinesAreBounded(t *testing.T) {
	for _, unit := range []string{"\x01", "\xff", "A", `"`, "\u009b", "\u202e", "\U000e0001", "語", "\x1b]0;a\a\n"} {
		text := strings.Repeat(unit, 3_000_000/len(unit))
		values := []any{"a", text, "b", errors.New(text), "c", stringer(text), "d", []byte(text), "e", []string{text}}
		for _, format := range []string{Text, JSON} {
			var out bytes.Buffer
			New(&out, format, slog.LevelInfo).With("f", text).Error(text, values...)
			line := out.String()
			if len(line) > mostLongBytes+6*(mostBytes+64)+128 {
				t.Errorf("%q, %s: a line of %d bytes", unit, format, len(line))
			}
			if n := strings.Count(line, "more bytes"); n != 7 {
				t.Errorf("%q, %s: %d of 7 texts say what was left out", unit, format, n)
			}
			if strings.Count(line, "\n") != 1 || strings.ContainsAny(line, "\x01\x1b\x7f\u009b\u202e\U000e0001") {
				t.Errorf("%q, %s: %.300q", unit, format, line)
			}
		}
	}
}

// What is short is written as the standard library does, and JSON can be read back.
func TestShortLinesAreAsTheyWere(t *testing.T) {
	plain := func(w io.Writer, format string) *slog.Logger {
		if format == JSON {
			return slog.New(slog.NewJSONHandler(w, nil))
		}
		return slog.New(slog.NewTextHandler(w, nil))
	}
	for _, format := range []string{Text, JSON} {
		var got, want bytes.Buffer
		for w, log := range map[*bytes.Buffer]*slog.Logger{&got: New(&got, format, slog.LevelInfo), &want: plain(&want, format)} {
			log.Debug("not this")
			log.Warn("a message", "n", 3, "f", 2.5, "yes", true, "took", time.Second, "why", errors.New("a cause"), "path", `/a "b"`)
			line := w.String()
			at := strings.Index(line, "level")
			w.Reset()
			w.WriteString(line[max(at, 0):])
		}
		if got.String() != want.String() {
			t.Errorf("%s:\n%s\n%s", format, got.String(), want.String())
		}
	}
	var out bytes.Buffer
	New(&out, JSON, slog.LevelInfo).Info("m", "odd", "\u009b\U000e0001 語\u007f")
	var line struct{ Odd string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Odd != "\u009b\U000e0001 語\u007f" {
		t.Errorf("%v %q", err, line.Odd)
	}
}

// slowly is a reader that reads when it is told to.
type slowly struct {
	mu    sync.Mutex
	read  bytes.Buffer
	err   error
	takes int // bytes before err
}

func (s *slowly) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		n := min(s.takes, len(p))
		s.read.Write(p[:n])
		s.takes -= n
		return n, s.err
	}
	return s.read.Write(p)
}

// Nobody waits for a reader that does not read; the lines that find no room are counted, and told once there is some.
func TestAReaderThatDoesNotRead(t *testing.T) {
	to := &slowly{}
	w := NewWriter(to)
	w.Tell(func(lines int64) { fmt.Fprintf(w, "dropped %d\n", lines) })
	to.mu.Lock()
	const lines, size = 5000, 1024 // so that the queue is full to the last byte
	begun := time.Now()
	for i := range lines {
		fmt.Fprintf(w, "%0*d\n", size-1, i)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	// One megabyte waits, and as much may be under way.
	dropped := w.Dropped()
	if dropped < lines-2*queueBytes/size || dropped > lines-queueBytes/size+1 {
		t.Errorf("%d of %d lines were dropped", dropped, lines)
	}
	to.mu.Unlock()
	w.Close(time.Minute)
	got := strings.Split(strings.TrimSuffix(to.read.String(), "\n"), "\n")
	told, numbers := 0, []int{}
	for _, line := range got {
		var n int
		if _, err := fmt.Sscanf(line, "dropped %d", &n); err == nil {
			told += n
		} else if _, err := fmt.Sscanf(line, "%d", &n); err == nil {
			numbers = append(numbers, n)
		}
	}
	if int64(told) != dropped || len(numbers) != lines-told {
		t.Errorf("%d lines, %d told as dropped, %d were", len(numbers), told, dropped)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] {
			t.Fatalf("line %d comes after line %d", numbers[i], numbers[i-1])
		}
	}
	fmt.Fprintln(w, "too late")
	if w.Dropped() != dropped+1 {
		t.Error("a line after the end is not counted")
	}
}

// Lines that cannot be written are counted, and told when that is possible again.
func TestAWriterThatFails(t *testing.T) {
	to := &slowly{err: syscall.ENOSPC, takes: 6} // the disk is full within the second line
	w := NewWriter(to)
	w.Tell(func(lines int64) { fmt.Fprintf(w, "dropped %d\n", lines) })
	fmt.Fprint(w, "one\ntwo\n")
	for deadline := time.Now().Add(10 * time.Second); w.Dropped() < 1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	to.mu.Lock()
	to.err = nil
	to.mu.Unlock()
	fmt.Fprint(w, "three\n")
	w.Close(time.Minute)
	if got := to.read.String(); got != "one\ntw\nthree\ndropped 1\n" {
		t.Errorf("%q", got)
	}
}

// A pipe that nobody reads does not keep the end waiting.
func TestTheEndWaitsForAWhileOnly(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(pipe)
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range 500 {
		w.Write(line)
	}
	begun := time.Now()
	w.Close(100 * time.Millisecond)
	if took := time.Since(begun); took < 100*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	r.Close() // the writer ends
}

// What is printed in C++ becomes lines of the log, some at a time, and forges none.
func TestNativeOutputBecomesLines(t *testing.T) {
	r, w := io.Pipe()
	var out bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		tellNative(LogNative(New(&out, Text, slog.LevelInfo)), r)
	}()
	fmt.Fprintf(w, "a warning\n\ntime=2026-01-01T00:00:00Z level=INFO msg=forged\x1b[2K\r\n%s\n", strings.Repeat("x", 3_000_000))
	const more = 5000
	for i := range more {
		fmt.Fprintf(w, "line %d\n", i)
	}
	w.Close()
	<-done
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) < 10*NativeLines || len(lines) > more/2 { // it takes no minute
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "time=") || !strings.Contains(line, `msg="libtorch or a model wrote" native=`) || len(line) > mostLongBytes+200 {
			t.Errorf("%.300q", line)
		}
	}
	if !strings.Contains(lines[1], `native="time=2026-01-01T00:00:00Z level=INFO msg=forged\x1b[2K"`) {
		t.Errorf("%q", lines[1])
	}
}
