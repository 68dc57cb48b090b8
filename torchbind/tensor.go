package torchbind

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
)

// DType is the type of a tensor's elements, numbered as in libtorch.
type DType int32

// The element types that tensors can be made of and copied out as.
const (
	Uint8    DType = 0
	Int8     DType = 1
	Int32    DType = 3
	Int64    DType = 4
	Float16  DType = 5
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

var dtypeNames = map[DType]string{
	Uint8: "uint8", Int8: "int8", Int32: "int32", Int64: "int64", Float16: "float16", Float32: "float32", Float64: "float64",
	Bool: "bool", BFloat16: "bfloat16",
}

// String is PyTorch's name of the type.
func (d DType) String() string {
	if name, ok := dtypeNames[d]; ok {
		return name
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// Tensor is an n-dimensional array in libtorch's memory. It belongs to whoever made it, who must Close it. A Tensor must not
// be used by two goroutines at a time.
type Tensor struct {
	ptr      cTensor
	cleanup  runtime.Cleanup
	dtype    DType
	shape    []int64
	elements int64
	width    int64 // bytes of one element
}

// ownTensor wraps a C tensor and takes ownership of it.
func ownTensor(ptr cTensor) (*Tensor, error) {
	dtype, shape, elements, width, err := tensorDescribe(ptr)
	if err != nil {
		tensorFree(ptr)
		return nil, err
	}
	t := &Tensor{ptr: ptr, dtype: dtype, shape: shape, elements: elements, width: width}
	t.cleanup = runtime.AddCleanup(t, func(ptr cTensor) {
		OnLeak("tensor")
		tensorFree(ptr)
	}, ptr)
	return t, nil
}

// NewTensor makes a tensor from row-major elements in the machine's byte order, which it copies. len(data) must be the
// product of shape times the element's size. A shape has at most 8 axes; an empty shape is a scalar.
func NewTensor(dtype DType, shape []int64, data []byte) (*Tensor, error) {
	if err := Open(); err != nil {
		return nil, err
	}
	ptr, err := tensorNew(dtype, shape, data)
	if err != nil {
		return nil, err
	}
	return ownTensor(ptr)
}

// NewFloat32 is [NewTensor] for float32 elements.
func NewFloat32(shape []int64, data []float32) (*Tensor, error) {
	bytes := make([]byte, 0, 4*len(data))
	for _, v := range data {
		bytes = binary.NativeEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	return NewTensor(Float32, shape, bytes)
}

// DType is the type of the elements.
func (t *Tensor) DType() DType { return t.dtype }

// Shape is the length of each axis; the caller may keep and change the slice.
func (t *Tensor) Shape() []int64 { return append([]int64{}, t.shape...) }

// Len is the number of elements.
func (t *Tensor) Len() int { return int(t.elements) }

// Float32s copies the elements out, row-major, converted to float32. Any real element type will do.
func (t *Tensor) Float32s() ([]float32, error) {
	defer runtime.KeepAlive(t)
	if t.ptr == nil {
		return nil, ErrClosed
	}
	out := make([]float32, t.elements)
	if err := tensorCopyFloat32(t.ptr, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Bytes copies the elements out, row-major, in the machine's byte order.
func (t *Tensor) Bytes() ([]byte, error) {
	defer runtime.KeepAlive(t)
	if t.ptr == nil {
		return nil, ErrClosed
	}
	out := make([]byte, t.elements*t.width)
	if err := tensorCopy(t.ptr, out); err != nil {
		return nil, err
	}
	return out, nil
}

// String is the type and shape, as float32[1×3×224×224].
func (t *Tensor) String() string {
	axes := make([]string, len(t.shape))
	for i, n := range t.shape {
		axes[i] = fmt.Sprint(n)
	}
	return fmt.Sprintf("%s[%s]", t.dtype, strings.Join(axes, "×"))
}

// Close frees the tensor. Further calls do nothing.
func (t *Tensor) Close() error {
	if t == nil || t.ptr == nil {
		return nil
	}
	t.cleanup.Stop()
	tensorFree(t.ptr)
	t.ptr = nil
	return nil
}

// NewInput makes a network's input, count × 3 × height × width in channels-last memory, from count pictures of
// height × width × 3 bytes of RGB one after the other: (value/255 − mean[c]) / std[c] in float32, as torchvision's ToTensor
// and Normalize compute it, then converted to dtype, [Float32] or [BFloat16] (see [Module.InputDType]).
func NewInput(rgb []byte, count, height, width int, mean, std [3]float32, dtype DType) (*Tensor, error) {
	if err := Open(); err != nil {
		return nil, err
	}
	ptr, err := tensorFromRGB(rgb, count, height, width, mean, std, dtype)
	if err != nil {
		return nil, err
	}
	return ownTensor(ptr)
}
