// Package native is what the Go bindings of the C++ libraries share: a library is found and opened at
// run time, and the statuses of its calls become errors.
package native

/*
#cgo CFLAGS: -I${SRCDIR}/../status -std=c11
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include <string.h>
#include "open.h"
#include "status.h"
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"
)

// Library is a shared library of vidi's.
type Library struct {
	Package  string // of its binding, which errors name
	File     string // its file's name
	Variable string // the environment variable that names its file, before every other place
}

// Find is where the library lies: the first that exists of $Variable; lib/ and ../lib/ beside the
// running program; and bin/lib in the source tree that this package was compiled from.
func (l Library) Find() (string, error) {
	if path := os.Getenv(l.Variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", l.unavailable("", fmt.Sprintf("%s: %v", l.Variable, err))
		}
		return path, nil
	}
	candidates := l.candidates()
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", l.unavailable("", fmt.Sprintf(
		"%s was not found; build it with `make shim` in vidi's source tree, and set %s to it if it lies elsewhere (looked at %q)",
		l.File, l.Variable, candidates))
}

func (l Library) candidates() []string {
	var candidates []string
	if program, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil {
			program = resolved
		}
		dir := filepath.Dir(program)
		candidates = append(candidates, filepath.Join(dir, "lib", l.File), filepath.Join(dir, "..", "lib", l.File))
	}
	// Under -trimpath the file name is not absolute, and this place drops out, as it should in a release.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		candidates = append(candidates, filepath.Join(filepath.Dir(file), "..", "..", "bin", "lib", l.File))
	}
	return candidates
}

// Open opens the file and fills the table of functions, a C array of native_function (open.h), which
// must succeed before any of them is called.
func (l Library) Open(path string, functions unsafe.Pointer) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if text := C.native_open(name, (*C.native_function)(functions)); text != nil {
		defer C.free(unsafe.Pointer(text))
		return l.unavailable(path, C.GoString(text))
	}
	return nil
}

// CheckVersion compares the versions of the ABI that the opened library and the program speak.
func (l Library) CheckVersion(library, program int) error {
	if library == program {
		return nil
	}
	return l.unavailable("", fmt.Sprintf("%s speaks ABI version %d, this program %d: rebuild it with `make shim`", l.File, library, program))
}

func (l Library) unavailable(path, message string) error {
	return &Error{Package: l.Package, Op: "open", Subject: path, Code: Unavailable, Message: message}
}

// Check takes ownership of a vidi_status*, NULL for success, and returns it as an [*Error] or nil.
// subject names the file or thing at hand, "" for none.
func (l Library) Check(op, subject string, status unsafe.Pointer) error {
	if status == nil {
		return nil
	}
	s := (*C.vidi_status)(status)
	defer C.vidi_status_free(s)
	return &Error{Package: l.Package, Op: op, Subject: subject, Code: Code(s.code), Message: text(s.message), Detail: text(s.detail)}
}

// maxText is how many bytes of a text are taken over: a model can make its errors as long as it likes.
const maxText = 16 << 10

func text(c *C.char) string { return C.GoStringN(c, C.int(min(C.strlen(c), maxText))) }
