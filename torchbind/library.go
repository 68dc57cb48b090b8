package torchbind

import (
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/vidi-vision/vidi/cgo/native"
)

// LibraryVariable is the environment variable that names the shim's file, before every other place.
const LibraryVariable = "VIDI_TORCHBIND_LIBRARY"

var shim = native.Library{Package: "torchbind", File: "libtorchbind.so", Variable: LibraryVariable}

var library struct {
	once sync.Once
	info RuntimeInfo
	err  error
	// open is true once calls into the shim may be made; who only wants to know looks here, while once may still be at work.
	open atomic.Bool
}

// Open finds and opens the shim, libtorchbind.so, and starts libtorch: some 0.5 s and 100 MB. Every function of this package
// that needs it calls Open by itself; call it to choose the moment, or to see the error. Only the first call does anything,
// the others return its result. Safe for concurrent use.
//
// The first of these that exists is opened:
//
//  1. $VIDI_TORCHBIND_LIBRARY, the file itself;
//  2. lib/libtorchbind.so and ../lib/libtorchbind.so beside the running program;
//  3. bin/lib/libtorchbind.so in the source tree that this package was compiled from, which is what `make` builds: so tests
//     and `go run` work, in this module and in one that replaces it with a checkout.
//
// libtorchbind.so in turn finds libtorch beside itself, or in a folder named libtorch beside itself.
func Open() error {
	library.once.Do(func() {
		path, err := shim.Find()
		if err == nil {
			err = openLibrary(path)
		}
		if err == nil {
			library.info, err = runtimeInit()
		}
		library.err = err
		library.open.Store(err == nil)
	})
	return library.err
}

// LibraryPath is the file that [Open] opens, without opening it.
func LibraryPath() (string, error) { return shim.Find() }

// NameTrappedCalls has every system call that a seccomp filter traps named on standard error from
// now on, as [TrappedCall] reads it; the process then ends by SIGSYS. Go alone names none that is
// made on a thread of C's, where modules are run.
func NameTrappedCalls() { nameTrappedCalls() }

var trappedCall = regexp.MustCompile(`trapped system call +(\d+)\n`)

// TrappedCall is the number of the system call that the standard error of a process with
// [NameTrappedCalls] names last.
func TrappedCall(stderr string) (number int, found bool) {
	all := trappedCall.FindAllStringSubmatch(stderr, -1)
	if len(all) == 0 {
		return 0, false
	}
	number, err := strconv.Atoi(all[len(all)-1][1])
	return number, err == nil
}

// opened reports whether the shim is open, without opening it or waiting for who does.
func opened() bool { return library.open.Load() }
