package torchbind

import (
	"runtime"
	"unsafe"
)

// Handle is the address of the at::Tensor (C++) inside t, for libraries that pass such pointers around, as
// github.com/wangkuiyi/gotorch does. It is still owned by t and valid until t.Close; the caller must keep t reachable
// (runtime.KeepAlive) while the handle is in use. Nil after Close.
//
// Both sides must use the same libtorch library, loaded once in the process.
func (t *Tensor) Handle() unsafe.Pointer {
	defer runtime.KeepAlive(t)
	if t.ptr == nil {
		return nil
	}
	return tensorHandle(t.ptr)
}

// FromHandle makes a Tensor that shares storage with *handle, an at::Tensor that stays the caller's. Storage is
// reference-counted by libtorch: the caller may free its tensor at once, and must Close the new one.
func FromHandle(handle unsafe.Pointer) (*Tensor, error) {
	if err := Open(); err != nil {
		return nil, err
	}
	ptr, err := tensorFromHandle(handle)
	if err != nil {
		return nil, err
	}
	return ownTensor(ptr)
}
