package torchbind

import (
	"errors"

	"github.com/vidi-vision/vidi/cgo/native"
)

// Code says what kind of failure an [Error] is. Codes are errors themselves, so that
// errors.Is(err, torchbind.BadModel) works through any wrapping.
type Code = native.Code

// The codes that an [Error] of this package can have.
const (
	InvalidArgument = native.InvalidArgument // the caller's mistake
	NotFound        = native.NotFound        // no such file, or it cannot be read
	BadModel        = native.BadModel        // libtorch cannot load the file, or its output is not one tensor
	Shape           = native.Shape           // a tensor has another shape or element type than the call needs
	OutOfMemory     = native.OutOfMemory     // an allocation in C++ failed, or a limit was passed
	Unavailable     = native.Unavailable     // this build or this CPU cannot do that, or the shim was not found
	ForwardFailed   = native.ForwardFailed   // the model itself failed while it ran
	Internal        = native.Internal        // a bug: anything not foreseen
	TooSlow         = native.TooSlow         // the model was not done in the time that it may take
)

// Error is a failure reported by the C++ side.
type Error = native.Error

// ErrClosed is returned by every method of a [Tensor], [Module] or [Worker] after its Close.
var ErrClosed = errors.New("torchbind: used after Close")
