package torchbind_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// What a model prints goes where it was sent, and waits for nobody who reads it there.
func TestOutputIsSentElsewhere(t *testing.T) {
	var ends [2]int
	must(t, syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	must(t, torchbind.SendOutputTo(ends[1])) // it stays so, and open, for the tests that follow
	r := os.NewFile(uintptr(ends[0]), "output")
	m, err := torchbind.Load(torchtest.File(t, "build/fixtures/prints.pt"), torchbind.Options{})
	must(t, err)
	defer m.Close()
	input, err := torchbind.NewTensor(torchbind.Float32, []int64{1, 3, 8, 8}, make([]byte, 4*3*8*8))
	must(t, err)
	defer input.Close()
	forward := func(times int) {
		onWorker(t, func() {
			for range times {
				out, err := m.Run(input)
				must(t, err)
				must(t, out.Close())
			}
		})
	}
	forward(1)
	const says = "{\"report\": {\"outputs\": 7}}\n"
	buffer := make([]byte, 1<<20)
	must(t, r.SetReadDeadline(time.Now().Add(10*time.Second)))
	n, err := r.Read(buffer)
	must(t, err)
	if got := string(buffer[:n]); got != says {
		t.Errorf("%q", got)
	}
	forward(4000) // more than a pipe takes
	n, err = r.Read(buffer)
	must(t, err)
	if lines := strings.Count(string(buffer[:n]), says); n > 64<<10 || lines < 1000 {
		t.Errorf("%d bytes, %d lines", n, lines)
	}
}
