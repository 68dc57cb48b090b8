// Package codec decodes JPEG and PNG, and turns, resizes and crops pictures as Pillow does, in C++
// (cgo/image). It needs no libtorch. Its functions may be used from any goroutine.
//
// JPEG and PNG are decoded on C threads, of which as many as there are cores (runtime.GOMAXPROCS)
// stay for the next pictures, each with a descriptor; [EndThreads] ends those that wait. No thread of
// Go's is kept busy meanwhile.
//
// The library, libvidiimage.so, is opened at run time, when the first function needs it: $VIDI_IMAGE_LIBRARY,
// or lib/ or ../lib/ beside the running program, or bin/lib in the source tree, where `make shim` puts it.
package codec

import (
	"sync"
	"sync/atomic"

	"github.com/vidi-vision/vidi/cgo/native"
)

// LibraryVariable is the environment variable that names the library's file, before every other place.
const LibraryVariable = "VIDI_IMAGE_LIBRARY"

var library = native.Library{Package: "codec", File: "libvidiimage.so", Variable: LibraryVariable}

var (
	once        sync.Once
	openError   error
	jpegVersion string
	opened      atomic.Bool // calls into the library may be made
)

// Open finds and opens the library. Every function that needs it calls Open by itself. Only the first
// call does anything, the others return its result. Safe for concurrent use.
func Open() error {
	once.Do(func() {
		path, err := library.Find()
		if err == nil {
			jpegVersion, err = open(path)
		}
		openError = err
		opened.Store(err == nil)
	})
	return openError
}

// LibraryPath is the file that [Open] opens, without opening it.
func LibraryPath() (string, error) { return library.Find() }

// JPEGVersion is libjpeg-turbo's version, such as "2.1.5".
func JPEGVersion() (string, error) {
	err := Open()
	return jpegVersion, err
}

// LiveStatuses counts error objects of the library. They live inside one call only, so anything but 0
// is a bug of this package.
func LiveStatuses() int64 {
	if !opened.Load() {
		return 0
	}
	return liveStatuses()
}

// Code says what kind of failure an [Error] is: errors.Is(err, codec.CorruptImage).
type Code = native.Code

// The codes that an [Error] of this package can have.
const (
	InvalidArgument  = native.InvalidArgument  // the caller's mistake
	Shape            = native.Shape            // the room for the crop has another size
	OutOfMemory      = native.OutOfMemory      // an allocation in C++ failed
	Unavailable      = native.Unavailable      // the library was not found or is of another version
	CorruptImage     = native.CorruptImage     // the picture is damaged or ends early
	ImageTooLarge    = native.ImageTooLarge    // more pixels than the limit
	ImageTooComplex  = native.ImageTooComplex  // more decoding time or memory than the limit
	UnsupportedImage = native.UnsupportedImage // a valid picture of a kind the decoder cannot read
	Internal         = native.Internal         // a bug: anything not foreseen
)

// Error is a failure reported by the C++ side.
type Error = native.Error
