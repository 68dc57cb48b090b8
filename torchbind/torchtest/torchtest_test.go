package torchtest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind"
)

// recorder stands in for a test, to see what NoLeaks says of it.
type recorder struct {
	testing.TB
	cleanups []func()
	failed   []string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) { r.failed = append(r.failed, format) }
func (r *recorder) Fatal(args ...any)                 { r.failed = append(r.failed, "fatal") }

func complaints(body func()) int {
	r := &recorder{}
	NoLeaks(r)
	body()
	for _, f := range r.cleanups {
		f()
	}
	return len(r.failed)
}

// The negative control: a check that cannot fail proves nothing.
func TestNoLeaksSeesLeaks(t *testing.T) {
	patience = 100 * time.Millisecond
	defer func() { patience = 5 * time.Second }()
	var tensor *torchbind.Tensor
	var file *os.File
	stop := make(chan struct{})
	for name, leak := range map[string]func(){
		"a tensor":     func() { tensor, _ = torchbind.NewFloat32([]int64{1}, []float32{1}) },
		"a descriptor": func() { file, _ = os.Open("/dev/null") },
		"a goroutine":  func() { go func() { <-stop }() },
	} {
		if complaints(leak) == 0 {
			t.Errorf("%s was left behind, and nobody complained", name)
		}
	}
	tensor.Close()
	file.Close()
	close(stop)
	if complaints(func() {}) != 0 {
		t.Error("nothing was left behind, and somebody complained")
	}
}

func TestFileFindsTheTree(t *testing.T) {
	if !strings.HasSuffix(File(t, "go.mod"), "go.mod") {
		t.Fail()
	}
}
