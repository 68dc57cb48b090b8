package torchbind

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

const libraryName = "libtorchbind.so"

// LibraryVariable is the environment variable that names the shim's file, before every other place.
const LibraryVariable = "VIDI_TORCHBIND_LIBRARY"

var library struct {
	once sync.Once
	info RuntimeInfo
	path string
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
		library.path, library.err = findLibrary()
		if library.err != nil {
			return
		}
		if err := openLibrary(library.path); err != nil {
			library.err = &Error{Op: "open", Subject: library.path, Code: Unavailable, Message: err.Error()}
			return
		}
		library.info, library.err = runtimeInit()
		library.open.Store(library.err == nil)
	})
	return library.err
}

// LibraryPath is the file that [Open] opens, without opening it.
func LibraryPath() (string, error) { return findLibrary() }

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

func findLibrary() (string, error) {
	if path := os.Getenv(LibraryVariable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", &Error{Op: "open", Code: Unavailable, Message: fmt.Sprintf("%s: %v", LibraryVariable, err)}
		}
		return path, nil
	}
	candidates := libraryCandidates()
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &Error{Op: "open", Code: Unavailable,
		Message: fmt.Sprintf("%s was not found; build it with `make shim` in vidi's source tree, and set %s to it if it lies elsewhere (looked at %q)",
			libraryName, LibraryVariable, candidates)}
}

func libraryCandidates() []string {
	var candidates []string
	if program, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil {
			program = resolved
		}
		dir := filepath.Dir(program)
		candidates = append(candidates, filepath.Join(dir, "lib", libraryName), filepath.Join(dir, "..", "lib", libraryName))
	}
	// Under -trimpath the file name is not absolute, and this place drops out, as it should in a release.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		candidates = append(candidates, filepath.Join(filepath.Dir(file), "..", "bin", "lib", libraryName))
	}
	return candidates
}
