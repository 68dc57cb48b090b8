package torchbind_test

import (
	"bytes"
	"os"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// While a picture is decoded the goroutine waits as for a socket, as with inference. However many are decoded at once, no more threads
// stay than the machine has cores.
func TestDecodingWaitsOutsideC(t *testing.T) {
	torchtest.NoLeaks(t)
	data := jpegOf(t, gradient(1230, 770))
	want := make([]byte, 22*22*3)
	_, err := torchbind.ResizeJPEG(data, torchbind.JPEGOptions{}, middle(1), want)
	must(t, err)
	before := threadsNow(t)
	seen := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 * runtime.NumCPU() {
		callers.Go(func() {
			got := make([]byte, len(want))
			for {
				clear(got)
				if _, err := torchbind.ResizeJPEG(data, torchbind.JPEGOptions{}, middle(1), got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("among others: %v, or other pixels", err)
					return
				}
				select {
				case <-seen:
					return
				default:
				}
			}
		})
	}
	stacks := make([]byte, 1<<18)
	waiting := regexp.MustCompile(`\[IO wait[^\n]*\]:\n(?:[^\n]+\n)*[^\n]*torchbind\.ResizeJPEG`)
	found := false
	for range 10_000 {
		if found = waiting.Match(stacks[:runtime.Stack(stacks, true)]); found {
			break
		}
	}
	close(seen)
	callers.Wait()
	if !found {
		t.Errorf("it was never seen to wait; the last look:\n%s", stacks)
	}
	// Go's own threads may have become more, by one for each of these at most.
	most := before + 2*runtime.NumCPU()
	for begun := time.Now(); threadsNow(t) > most; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d threads are left, of %d before", threadsNow(t), before)
		}
	}
}

func threadsNow(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	return len(tasks)
}
