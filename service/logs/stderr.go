package logs

import (
	"os"

	"golang.org/x/sys/unix"
)

// reportBytes is how much of a crash's report a pipe takes while nobody reads, where it may be made
// so large: any ordinary one.
const reportBytes = 256 << 10

// UnblockStderr makes standard error a pipe's end that does not block, if it is a pipe: Go's runtime
// writes its report of a crash there before the process ends, and would wait for ever for a reader
// that has stopped. What finds no room is lost. The file is standard error to write to, whose
// writers wait as ever; nil where standard error is no pipe, or cannot be opened again.
//
// The pipe is opened once more for that, since who has the other descriptors of the same opening
// would not expect them to stop blocking.
func UnblockStderr() *os.File {
	var stat unix.Stat_t
	if err := unix.Fstat(unix.Stderr, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil
	}
	own, err := unix.Open("/proc/self/fd/2", unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(own)
	if size, err := unix.FcntlInt(uintptr(own), unix.F_GETPIPE_SZ, 0); err == nil && size < reportBytes {
		_, _ = unix.FcntlInt(uintptr(own), unix.F_SETPIPE_SZ, reportBytes)
	}
	if err := unix.Dup3(own, unix.Stderr, 0); err != nil {
		return nil
	}
	return os.NewFile(uintptr(unix.Stderr), os.Stderr.Name())
}
