package preprocess

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/machine"
)

// corpusFiles are the names of all files of the corpus, in order.
func corpusFiles(t testing.TB) []string {
	t.Helper()
	root := corpus(t)
	var names []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 1000 {
		t.Fatalf("%d files in %s: %v", len(names), root, err)
	}
	slices.Sort(names)
	return names
}

// What one picture of the sweep may cost. The time is CPU time: what else the machine does must not matter.
const (
	sweepTime = 2 * time.Second
	sweepPeak = 1536 << 20 // of the whole process: the memory limit, libtorch's 250 MB, and what JPEG takes outside Go
)

// TestSweep prepares every file of the corpus twice.
func TestSweep(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(DefaultLimits().MaxMemory)) // as a server would; it holds for garbage too
	resetPeakMemory(t)
	answers := map[string]int{}
	var slowest time.Duration
	var slowestName string
	for _, name := range corpusFiles(t) {
		data := corpusFile(t, name)
		first, took, used := timed(t, data)
		second, again, usedAgain := timed(t, data)
		if first.answer != second.answer || !bytes.Equal(first.rgb, second.rgb) {
			t.Errorf("%s: first %q, then %q, or other pixels", name, first.answer, second.answer)
		}
		if fastest := min(took, again); fastest > sweepTime {
			t.Errorf("%s took %v", name, fastest)
		}
		if took := min(took, again); took > slowest {
			slowest, slowestName = took, name
		}
		// What was allocated in all is more than was held at any time: a buffer for each strip of a TIFF, for example.
		if held := reserved(data); min(used, usedAgain) > held*3/2+8<<20 {
			t.Errorf("%s: %d bytes allocated, %d reserved", name, min(used, usedAgain), held)
		}
		answers[first.answer]++
	}
	peak := peakMemory(t)
	t.Logf("answers: %v; peak memory %d MiB; slowest %s with %v", answers, peak>>20, slowestName, slowest)
	if peak > sweepPeak {
		t.Errorf("peak memory of %d MiB", peak>>20)
	}
}

type result struct {
	answer string
	rgb    []byte
}

func timed(t *testing.T, data []byte) (r result, took time.Duration, used int64) {
	used = allocated(func() {
		runtime.LockOSThread() // the clock is the thread's
		defer runtime.UnlockOSThread()
		start := threadCPU()
		picture, refusal := prepare(t, data, Options{})
		took = threadCPU() - start
		if refusal != nil {
			r = result{answer: string(refusal.Code)}
			return
		}
		r = result{answer: fmt.Sprintf("ok %s", picture.Format), rgb: picture.RGB}
	})
	return r, took, used
}

// reserved is the memory that Prepare would reserve for a picture.
func reserved(data []byte) int64 {
	h, err := readHeader(data, imagenet, Options{}, DefaultLimits())
	if err != nil {
		return 0
	}
	return h.memory
}

func resetPeakMemory(t *testing.T) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Logf("the peak of memory is that of all tests so far: %v", err)
	}
}

// peakMemory is the most memory that the process had since resetPeakMemory.
func peakMemory(t *testing.T) int64 {
	peak := machine.ProcessBytes("VmHWM")
	if peak == 0 {
		t.Fatal("no VmHWM")
	}
	return peak
}
