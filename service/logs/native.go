package logs

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"syscall"

	"golang.org/x/time/rate"
)

// NativeLines is how many lines a second of what libtorch and models print are told; ten seconds' worth can come at once.
const NativeLines = 10

// LogNative logs a line of what [Native] reads.
func LogNative(log *slog.Logger) func(line string, leftOut int) {
	return func(line string, leftOut int) {
		attributes := []any{"native", line}
		if leftOut > 0 {
			attributes = append(attributes, "left_out", leftOut)
		}
		log.Warn("libtorch or a model wrote", attributes...)
	}
}

// Native is a pipe whose lines are told, with how many were left out before, until the process ends. fd is its end for C++, which does not block: a model
// that prints without end is slowed down by nothing, and most of what it prints is lost.
func Native(tell func(line string, leftOut int)) (fd int, err error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return 0, os.NewSyscallError("pipe2", err)
	}
	go tellNative(tell, os.NewFile(uintptr(ends[0]), "native output"))
	return ends[1], nil
}

// tellNative tells lines until r ends. Those that come too fast are counted.
func tellNative(tell func(line string, leftOut int), r io.Reader) {
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
		tell(text, left)
		left = 0
	}
}
