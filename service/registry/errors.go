package registry

import "fmt"

// Code says what kind an [Error] is.
type Code string

// The codes, as the API spells them.
const (
	NotFound     Code = "model_not_found"
	Rejected     Code = "model_rejected"     // the file cannot be used
	MemoryLimit  Code = "model_memory_limit" // it would take more than models may
	InUse        Code = "model_in_use"       // it cannot be unloaded as things are
	BadParameter Code = "bad_parameter"
	Stopping     Code = "draining"
)

// Error is why a change was not made, or a model not picked. Nothing has changed then.
type Error struct {
	Code   Code
	Detail string // for a person: what is wrong, and what to do
	cause  error
}

// Error is the detail.
func (e *Error) Error() string { return e.Detail }

// Unwrap is the cause, nil for none.
func (e *Error) Unwrap() error { return e.cause }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func because(code Code, cause error) *Error {
	return &Error{Code: code, Detail: cause.Error(), cause: cause}
}
