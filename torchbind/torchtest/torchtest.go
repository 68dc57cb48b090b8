// Package torchtest helps to test programs that use torchbind: above all, to see that nothing leaks.
package torchtest

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind"
)

// Usage is what a process holds at one moment.
type Usage struct {
	Live        torchbind.LiveObjects
	Statuses    int64 // of service/codec
	Descriptors int
	Threads     int
	Goroutines  int
}

// Measure counts what the process holds now, after the garbage collector has run and threads that wait for pictures have ended.
func Measure() Usage {
	torchbind.TrimMemory()
	codec.EndThreads()
	runtime.GC()
	return Usage{
		Live:        torchbind.Live(),
		Statuses:    codec.LiveStatuses(),
		Descriptors: entries("/proc/self/fd"),
		Threads:     entries("/proc/self/task"),
		Goroutines:  runtime.NumGoroutine(),
	}
}

func entries(dir string) int {
	names, err := os.ReadDir(dir)
	if err != nil {
		return -1
	}
	return len(names)
}

// spareThreads is how many OS threads Go's runtime may add by itself: one for each processor that a call into C keeps busy,
// and a few of its own. A leaked Worker with its OpenMP pool in each of many tests still shows.
var spareThreads = runtime.GOMAXPROCS(0) + 4

// patience is how long NoLeaks waits for things that end a moment later than the test.
var patience = 5 * time.Second

// NoLeaks makes the test fail if, when it ends, more C++ objects are alive, or more descriptors, goroutines or threads exist
// than now. Call it first in the test, so that its cleanup runs last.
func NoLeaks(t testing.TB) {
	t.Helper()
	if err := torchbind.Open(); err != nil { // its own threads and descriptors are not the test's
		t.Fatal(err)
	}
	NothingLeft(t)
}

// NothingLeft is NoLeaks for a test that needs no libtorch: it is not opened.
func NothingLeft(t testing.TB) {
	t.Helper()
	before := Measure()
	t.Cleanup(func() {
		var after Usage
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			after = Measure()
			if !before.grewTo(after) {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		t.Errorf("the test left more behind than it found:\nbefore %+v\nafter  %+v", before, after)
	})
}

func (before Usage) grewTo(after Usage) bool {
	return after.Live != before.Live || after.Statuses != before.Statuses || after.Descriptors > before.Descriptors || after.Goroutines > before.Goroutines ||
		after.Threads > before.Threads+spareThreads
}

// ResidentBytes is the process's resident memory.
func ResidentBytes(t testing.TB) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// WantWaiting looks until some goroutine waits as for a socket inside the function, a regular expression.
func WantWaiting(t testing.TB, function string) {
	t.Helper()
	stacks := make([]byte, 1<<18)
	waiting := regexp.MustCompile(`\[IO wait[^\n]*\]:\n(?:[^\n]+\n)*[^\n]*` + function)
	for range 10_000 {
		if waiting.Match(stacks[:runtime.Stack(stacks, true)]) {
			return
		}
	}
	t.Errorf("it was never seen to wait; the last look:\n%s", stacks)
}

// File is the path of a file in vidi's source tree, such as "build/fixtures/tiny.pt", which `make test-models` makes. A
// missing file fails the test.
func File(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; `make test-models` makes it", err)
	}
	return path
}
