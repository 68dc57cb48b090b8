package backend

import (
	"errors"
	"fmt"
)

// Kind says what kind of failure an [Error] is. Kinds are errors themselves: errors.Is(err,
// backend.OutOfMemory) works through any wrapping.
type Kind int

// The kinds of failures.
const (
	Other       Kind = iota // a bug, or what is not foreseen
	NotFound                // no such file, or it cannot be read
	BadModel                // the library cannot load the file, or its output is no tensor
	OutOfMemory             // an allocation failed, or a limit was passed
	TooSlow                 // a run passed its limit of time
	Failed                  // the network itself failed while it ran
	Unavailable             // the library, or what is asked of it, is not there on this machine
)

var kindTexts = [...]string{"internal error", "not found", "bad model", "out of memory", "too slow",
	"the model failed", "unavailable"}

// Error is the kind's short name.
func (k Kind) Error() string {
	if k < 0 || int(k) >= len(kindTexts) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindTexts[k]
}

// ErrClosed is returned by every method of a [Network] or [Worker] after its Close.
var ErrClosed = errors.New("backend: used after Close")

// Error is a failure of a library.
type Error struct {
	Kind    Kind
	Message string // one line, for people
	Detail  string // the library's whole text, for the log only; "" if there is no more
	Err     error  // the binding's own error; may be nil
}

// Error is the binding's line where there is one, which also says what was being done.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return e.Message
}

// Is reports whether target is this error's [Kind].
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// Unwrap is the binding's error.
func (e *Error) Unwrap() error { return e.Err }

// MessageOf is what an error says without the words about which file it is; the whole error where no
// library failed.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// DetailOf is the library's whole text behind an error, for the log; "" if there is none.
func DetailOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return ""
}
