package torchbind_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
)

// glibc settles the number of its heaps when the first threads ask for memory, before anything of this package is called.
func TestThreadsShareHeaps(t *testing.T) {
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
		case access == "---p" && from == end && to-begin == size:
			n++
		}
	}
	return n
}
