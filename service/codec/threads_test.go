package codec_test

import (
	"bytes"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// While a picture is decoded the goroutine waits as for a socket, as with inference. However many are decoded at once, no more threads
// stay than there are cores.
func TestDecodingWaitsOutsideC(t *testing.T) {
	torchtest.NothingLeft(t)
	data := jpegOf(t, gradient(1230, 770))
	want := make([]byte, 22*22*3)
	_, err := codec.ResizeJPEG(data, codec.JPEGOptions{}, middle(1), want)
	must(t, err)
	seen := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 * runtime.NumCPU() {
		callers.Go(func() {
			got := make([]byte, len(want))
			for {
				clear(got)
				if _, err := codec.ResizeJPEG(data, codec.JPEGOptions{}, middle(1), got); err != nil || !bytes.Equal(got, want) {
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
	torchtest.WantWaiting(t, `codec\.ResizeJPEG`)
	close(seen)
	callers.Wait()
	if left := threadsNamed(t, "vi-decoder"); left > runtime.GOMAXPROCS(0) {
		t.Errorf("%d threads that decode are left", left)
	}
}

// Where no descriptor is to be had, and so no thread, the caller's decodes.
func TestDecodingWithoutAThread(t *testing.T) {
	torchtest.NothingLeft(t) // which ends those that wait
	data := jpegOf(t, gradient(123, 77))
	want, got := make([]byte, 22*22*3), make([]byte, 22*22*3)
	_, err := codec.ResizeJPEG(data, codec.JPEGOptions{}, middle(1), want)
	must(t, err)
	codec.EndThreads()
	var files unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
	none := files
	none.Cur = 3
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
	_, err = codec.ResizeJPEG(data, codec.JPEGOptions{}, middle(1), got)
	_, open := os.Open("/dev/null")
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &files))
	must(t, err)
	if open == nil {
		t.Error("there were descriptors left")
	}
	if !bytes.Equal(got, want) {
		t.Error("other pixels")
	}
}

func threadsNamed(t *testing.T, name string) (count int) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	for _, task := range tasks {
		if comm, err := os.ReadFile("/proc/self/task/" + task.Name() + "/comm"); err == nil && string(comm) == name+"\n" {
			count++
		}
	}
	return count
}
