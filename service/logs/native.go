package logs

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"syscall"

	"golang.org/x/time/rate"
)

// NativeLines is how many lines a second of what libtorch and models print are logged; ten seconds' worth can come at once.
const NativeLines = 10

// Native is a pipe whose lines are logged, as warnings, until the process ends. fd is its end for C++, which does not block: a model
// that prints without end is slowed down by nothing, and most of what it prints is lost.
func Native(log *slog.Logger) (fd int, err error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return 0, os.NewSyscallError("pipe2", err)
	}
	go logNative(log, os.NewFile(uintptr(ends[0]), "native output"))
	return ends[1], nil
}

// logNative logs lines until r ends. Those that come too fast are counted.
func logNative(log *slog.Logger, r io.Reader) {
	lines := bufio.NewReaderSize(r, 2*mostLongBytes)
	limit := rate.NewLimiter(NativeLines, 10*NativeLines)
	left := 0
	for {
		line, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		text := string(line)
		for more && err == nil { // the rest of a line that is too long is not kept
			_, more, err = lines.ReadLine()
		}
		if text == "" {
			continue
		}
		if !limit.Allow() {
			left++
			continue
		}
		attributes := []any{"native", text}
		if left > 0 {
			attributes = append(attributes, "left_out", left)
		}
		log.Warn("libtorch or a model wrote", attributes...)
		left = 0
	}
}
