package torchbind_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestTensorRoundTrip(t *testing.T) {
	torchtest.NoLeaks(t)
	want := []float32{0, 1.5, -2, float32(math.Inf(1)), 1e-40, 6}
	x, err := torchbind.NewFloat32([]int64{2, 3}, want)
	must(t, err)
	defer x.Close()
	got, err := x.Float32s()
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if x.String() != "float32[2×3]" || x.Len() != 6 || x.DType() != torchbind.Float32 || !slices.Equal(x.Shape(), []int64{2, 3}) {
		t.Errorf("described as %v, %d elements of %v, shape %v", x, x.Len(), x.DType(), x.Shape())
	}
	bytes, err := x.Bytes()
	must(t, err)
	if len(bytes) != 24 {
		t.Errorf("%d bytes, want 24", len(bytes))
	}
}

func TestTensorConvertsToFloat32(t *testing.T) {
	torchtest.NoLeaks(t)
	for _, c := range []struct {
		dtype torchbind.DType
		data  []byte // little-endian 1 and 2, which every machine that libtorch runs on uses
	}{
		{torchbind.Uint8, []byte{1, 2}},
		{torchbind.Int8, []byte{1, 2}},
		{torchbind.Int32, []byte{1, 0, 0, 0, 2, 0, 0, 0}},
		{torchbind.Int64, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}},
		{torchbind.Float16, []byte{0x00, 0x3c, 0x00, 0x40}},
		{torchbind.BFloat16, []byte{0x80, 0x3f, 0x00, 0x40}},
		{torchbind.Float64, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x40}},
	} {
		x, err := torchbind.NewTensor(c.dtype, []int64{2}, c.data)
		must(t, err)
		got, err := x.Float32s()
		must(t, err)
		if !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("%v: got %v", c.dtype, got)
		}
		back, err := x.Bytes()
		must(t, err)
		if !slices.Equal(back, c.data) {
			t.Errorf("%v: bytes %v became %v", c.dtype, c.data, back)
		}
		x.Close()
	}
}

func TestTensorRefusesWhatDoesNotFit(t *testing.T) {
	torchtest.NoLeaks(t)
	for _, c := range []struct {
		name  string
		shape []int64
		data  []float32
		code  torchbind.Code
	}{
		{"too little data", []int64{2, 2}, []float32{1, 2, 3}, torchbind.Shape},
		{"too much data", []int64{1}, []float32{1, 2}, torchbind.Shape},
		{"a negative axis", []int64{-1, -1}, []float32{1}, torchbind.InvalidArgument},
		{"a product that overflows", []int64{1 << 33, 1<<31 + 1}, []float32{1}, torchbind.InvalidArgument},
		{"nine axes", []int64{1, 1, 1, 1, 1, 1, 1, 1, 1}, []float32{1}, torchbind.InvalidArgument},
	} {
		x, err := torchbind.NewFloat32(c.shape, c.data)
		if err == nil {
			x.Close()
		}
		t.Run(c.name, func(t *testing.T) { wantCode(t, err, c.code) })
	}
}

func TestEmptyAndScalarTensors(t *testing.T) {
	torchtest.NoLeaks(t)
	for _, c := range []struct {
		shape []int64
		data  []float32
	}{{[]int64{}, []float32{7}}, {[]int64{0, 3}, []float32{}}, {nil, []float32{7}}} {
		x, err := torchbind.NewFloat32(c.shape, c.data)
		must(t, err)
		got, err := x.Float32s()
		must(t, err)
		if !slices.Equal(got, c.data) {
			t.Errorf("shape %v: got %v", c.shape, got)
		}
		x.Close()
	}
}

func TestUseAfterCloseIsAnError(t *testing.T) {
	torchtest.NoLeaks(t)
	x, err := torchbind.NewFloat32([]int64{1}, []float32{1})
	must(t, err)
	x.Close()
	x.Close() // does nothing
	if _, err := x.Float32s(); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("Float32s: %v", err)
	}
	if _, err := x.Bytes(); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("Bytes: %v", err)
	}
	if x.Handle() != nil {
		t.Error("Handle of a closed tensor is not nil")
	}
	var none *torchbind.Tensor
	none.Close() // so that `defer x.Close()` before the error check does no harm
}

func TestHandleSharesStorage(t *testing.T) {
	torchtest.NoLeaks(t)
	x, err := torchbind.NewFloat32([]int64{2}, []float32{3, 4})
	must(t, err)
	y, err := torchbind.FromHandle(x.Handle())
	must(t, err)
	defer y.Close()
	x.Close() // y keeps the storage alive
	got, err := y.Float32s()
	must(t, err)
	if !slices.Equal(got, []float32{3, 4}) {
		t.Errorf("got %v", got)
	}
	_, err = torchbind.FromHandle(nil)
	wantCode(t, err, torchbind.InvalidArgument)
}

func TestNewInputNormalises(t *testing.T) {
	torchtest.NoLeaks(t)
	mean, std := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	rgb := []byte{0, 128, 255, 10, 20, 30}
	x, err := torchbind.NewInput(rgb, 1, 1, 2, mean, std, torchbind.Float32)
	must(t, err)
	defer x.Close()
	got, err := x.Float32s() // row-major: channel, then row, then column
	must(t, err)
	for c := range 3 {
		for i := range 2 {
			unit := float32(rgb[3*i+c]) / 255
			if want := (unit - mean[c]) / std[c]; got[2*c+i] != want {
				t.Errorf("channel %d, pixel %d: %v, want exactly %v", c, i, got[2*c+i], want)
			}
		}
	}
	_, err = torchbind.NewInput(rgb, 1, 2, 2, mean, std, torchbind.Float32)
	wantCode(t, err, torchbind.Shape)
	_, err = torchbind.NewInput(rgb, 1, 1, 2, mean, [3]float32{}, torchbind.Float32)
	wantCode(t, err, torchbind.InvalidArgument)
	_, err = torchbind.NewInput(rgb, 1, 1, 2, mean, std, torchbind.Int64)
	wantCode(t, err, torchbind.InvalidArgument)
}
