// Package gotorch passes tensors between torchbind and github.com/wangkuiyi/gotorch, both ways, without a copy: both sides then
// see the same storage, and what one writes the other reads.
//
// It is a module of its own, so that torchbind does not depend on gotorch. gotorch is used from a clone, in which its C++ side was
// built against the same libtorch as torchbind's; README.md beside this file says how.
//
// # Who owns what
//
// Storage belongs to libtorch, which counts references. Each side owns its own handle on it: a torchbind tensor is freed by Close, a
// gotorch tensor by the garbage collector. Either may go first, the other stays valid.
//
// # Threads
//
// gotorch locks the goroutine that runs init, and sets the number of threads of the thread that it is on (half the cores, unless
// OMP_NUM_THREADS is set). torchbind's workers set their own. Converting needs no particular thread; run modules on a
// [torchbind.Worker] as always.
package gotorch

import (
	"errors"
	"runtime"

	"github.com/vidi-vision/vidi/torchbind"
	gotorch "github.com/wangkuiyi/gotorch"
)

// ErrClosed is returned for a tensor that was closed, or never made.
var ErrClosed = errors.New("gotorch: the tensor is closed, or was never made")

// ToTorchbind is a torchbind tensor over the storage of t, in any shape and memory layout. The caller must Close it.
func ToTorchbind(t gotorch.Tensor) (*torchbind.Tensor, error) {
	defer runtime.KeepAlive(t.T)
	if t.T == nil || *t.T == nil {
		return nil, ErrClosed
	}
	return torchbind.FromHandle(*t.T)
}

// FromTorchbind is a gotorch tensor over the storage of t, detached from any graph of gradients. It is freed when nobody refers to
// it any more. A tensor that a module gave back was made in libtorch's inference mode: gotorch can compute with it, but not ask
// for gradients through it; clone it for that.
func FromTorchbind(t *torchbind.Tensor) (gotorch.Tensor, error) {
	defer runtime.KeepAlive(t)
	handle := t.Handle()
	if handle == nil {
		return gotorch.Tensor{}, ErrClosed
	}
	// borrowed has no finalizer: the handle stays torchbind's. Detach makes one that is gotorch's own, over the same storage.
	borrowed := gotorch.Tensor{T: &handle}
	return borrowed.Detach(), nil
}
