package gotorch

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
	torch "github.com/wangkuiyi/gotorch"
)

// ones is a torchbind tensor of ones, which the test closes.
func ones(t *testing.T, shape ...int64) *torchbind.Tensor {
	t.Helper()
	n := int64(1)
	for _, side := range shape {
		n *= side
	}
	tensor, err := torchbind.NewFloat32(shape, slices.Repeat([]float32{1}, int(n)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tensor.Close() })
	return tensor
}

func floats(t *testing.T, tensor *torchbind.Tensor) []float32 {
	t.Helper()
	all, err := tensor.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What one side writes the other reads, in both directions, and shapes are kept.
func TestStorageIsShared(t *testing.T) {
	theirs := torch.Full([]int64{2, 3}, 5, false)
	ours, err := ToTorchbind(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if got := floats(t, ours); !slices.Equal(ours.Shape(), []int64{2, 3}) || !slices.Equal(got, []float32{5, 5, 5, 5, 5, 5}) {
		t.Fatalf("%v %v", ours.Shape(), got)
	}
	theirs.MulI(torch.Full([]int64{2, 3}, 2, false)) // in place
	if got := floats(t, ours); got[0] != 10 {
		t.Errorf("after gotorch wrote 10, torchbind reads %v: the storage was copied", got)
	}

	mine := ones(t, 4)
	back, err := FromTorchbind(mine)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.Shape(), []int64{4}) {
		t.Errorf("shape %v", back.Shape())
	}
	back.MulI(torch.Full([]int64{4}, 7, false))
	if got := floats(t, mine); got[3] != 7 {
		t.Errorf("after gotorch wrote 7, torchbind reads %v: the storage was copied", got)
	}
}

// Either side may go first.
func TestEitherSideMayGoFirst(t *testing.T) {
	theirs := torch.Full([]int64{3}, 4, false)
	ours, err := ToTorchbind(theirs)
	if err != nil {
		t.Fatal(err)
	}
	theirs = torch.Tensor{}
	for range 3 {
		runtime.GC() // finalizers run behind it
		torch.Full([]int64{3}, 9, false)
	}
	if got := floats(t, ours); !slices.Equal(got, []float32{4, 4, 4}) {
		t.Errorf("without gotorch's tensor: %v", got)
	}
	back, err := FromTorchbind(ours)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	if got := torch.Sum(back).Item(); got != float32(12) {
		t.Errorf("without torchbind's tensor the sum is %v", got)
	}
}

func TestClosedTensors(t *testing.T) {
	if _, err := ToTorchbind(torch.Tensor{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	closed := ones(t, 1)
	closed.Close()
	if _, err := FromTorchbind(closed); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A tensor of gotorch's through a module and back gives what torchbind alone gives, to the last bit.
func TestThroughAModule(t *testing.T) {
	worker, err := torchbind.NewWorker(1)
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	err = worker.Do(context.Background(), func() error {
		module, err := torchbind.Load(torchtest.File(t, "build/models/resnet18-seeded.pt"), torchbind.Options{})
		if err != nil {
			return err
		}
		defer module.Close()
		var want []float32
		for range 4 { // the fuser compiles at the second and third run, and its sums have another order
			output, err := module.Run(ones(t, 1, 3, 224, 224))
			if err != nil {
				return err
			}
			want = floats(t, output)
			output.Close()
		}

		input, err := ToTorchbind(torch.Full([]int64{1, 3, 224, 224}, 1, false))
		if err != nil {
			return err
		}
		defer input.Close()
		output, err := module.Run(input)
		if err != nil {
			return err
		}
		defer output.Close()
		logits, err := FromTorchbind(output)
		if err != nil {
			return err
		}
		if !slices.Equal(logits.Shape(), []int64{1, 1000}) {
			t.Errorf("shape %v", logits.Shape())
		}
		again, err := ToTorchbind(logits)
		if err != nil {
			return err
		}
		defer again.Close()
		if !slices.Equal(floats(t, again), want) {
			t.Error("the logits are others than torchbind's alone")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
