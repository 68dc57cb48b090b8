package torchbind_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/vidi-vision/vidi/torchbind"
)

// The number of glibc's heaps must be bounded before anything of this package is called: those that threads already have stay.
func TestThreadsShareHeaps(t *testing.T) {
	if set := os.Getenv("MALLOC_ARENA_MAX"); set != "" {
		t.Skip("MALLOC_ARENA_MAX is set, and decides: " + set)
	}
	for range 16 {
		w, err := torchbind.NewWorker(1)
		must(t, err)
		defer w.Close()
		must(t, w.Do(context.Background(), func() error {
			x, err := torchbind.NewFloat32([]int64{1}, []float32{1})
			if err != nil {
				return err
			}
			return x.Close()
		}))
	}
	most := 2
	if runtime.NumCPU() > 8 {
		most = runtime.NumCPU() / 4
	}
	if n := heaps(t); n > most {
		t.Errorf("there are %d heaps of 64 MiB, for 16 workers and Go's threads; at most %d are wanted", n, most)
	}
}

// heaps counts glibc's heaps for threads: 64 MiB of addresses that begin at a multiple of it, of which the first part is in use.
func heaps(t *testing.T) (n int) {
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	const size = 64 << 20
	goHeap := uint64(uintptr(unsafe.Pointer(&maps[0]))) // Go reserves its heap in the same steps
	var begin, end uint64
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var access string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); err != nil {
			t.Fatalf("/proc/self/maps: %q: %v", line, err)
		}
		switch {
		case access == "rw-p" && from%size == 0:
			begin, end = from, to
		case access == "---p" && from == end && to-begin == size && (goHeap < begin || goHeap >= to):
			n++
		}
	}
	return n
}
