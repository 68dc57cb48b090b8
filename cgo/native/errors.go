package native

import "fmt"

// Code says what kind of failure an [Error] is. Codes are errors themselves, so that
// errors.Is(err, codec.CorruptImage) works through any wrapping. The numbers are those of vidi_code in cgo/status/status.h.
type Code int

// The codes an [Error] can have.
const (
	InvalidArgument  Code = 1  // the caller's mistake
	NotFound         Code = 2  // no such file, or it cannot be read
	BadModel         Code = 3  // libtorch cannot load the file, or its output is not one tensor
	Shape            Code = 4  // a tensor or a buffer has another shape or element type than the call needs
	OutOfMemory      Code = 5  // an allocation in C++ failed, or a limit was passed
	Unavailable      Code = 6  // this build or this CPU cannot do that, or the library was not found
	ForwardFailed    Code = 7  // the model itself failed while it ran
	CorruptImage     Code = 8  // the picture is damaged or ends early
	ImageTooLarge    Code = 9  // more pixels than the limit
	ImageTooComplex  Code = 10 // more decoding time or memory than the limit
	UnsupportedImage Code = 11 // a valid picture of a kind the decoder cannot read
	Internal         Code = 12 // a bug: anything not foreseen
	TooSlow          Code = 13 // the model was not done in the time that it may take
)

var codeText = map[Code]string{
	InvalidArgument:  "invalid argument",
	NotFound:         "not found",
	BadModel:         "bad model",
	Shape:            "wrong shape or element type",
	OutOfMemory:      "out of memory",
	Unavailable:      "unavailable",
	ForwardFailed:    "the model failed",
	CorruptImage:     "corrupt image",
	ImageTooLarge:    "image too large",
	ImageTooComplex:  "image too complex",
	UnsupportedImage: "unsupported image",
	Internal:         "internal error",
	TooSlow:          "too slow",
}

// Error is the code's short name.
func (c Code) Error() string {
	if text, ok := codeText[c]; ok {
		return text
	}
	return fmt.Sprintf("code %d", int(c))
}

// Error is a failure reported by the C++ side.
type Error struct {
	Package string // the binding: "torchbind", "codec"
	Op      string // what was being done: "load", "run", "decode JPEG"
	Subject string // the file or thing at hand, "" for none
	Code    Code
	Message string // one line, for people
	Detail  string // the full text with source lines and addresses, for logs only; "" if there is no more
}

// Error is one line: `torchbind: load "resnet18.pt": no such file or directory`.
func (e *Error) Error() string {
	if e.Subject != "" {
		return fmt.Sprintf("%s: %s %q: %s", e.Package, e.Op, e.Subject, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Package, e.Op, e.Message)
}

// Is reports whether target is this error's [Code].
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}
