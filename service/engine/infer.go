package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// batch is pictures that a network computes at one time.
type batch struct {
	rgb     []byte // of one after the other
	count   int
	input   model.Input
	outputs int // numbers that each picture must get; 0 is not known
}

// infer computes the outputs for the pictures, one row after the other, on the worker's threads, until ctx ends. What cannot be interrupted
// then has left, and left is closed at its end; until then it keeps the worker. left is nil where nothing goes on.
func infer(ctx context.Context, worker *torchbind.Worker, module *torchbind.Module, b batch) (output []float32, left <-chan struct{}, err error) {
	output, err = forward(module, b, func(m *torchbind.Module, input *torchbind.Tensor) (out *torchbind.Tensor, err error) {
		out, left, err = worker.RunUntil(ctx, m, input)
		return out, err
	}, func(close func()) { after(left, close) })
	return output, left, err
}

// warm compiles the module for its input, with a grey picture, and returns what the output looks like. The worker must have the thread
// count that the module will have.
func warm(worker *torchbind.Worker, module *torchbind.Module, in model.Input) ([]float32, error) {
	grey := batch{rgb: bytes.Repeat([]byte{128}, in.Bytes()), count: 1, input: in}
	return forward(module, grey, worker.Warm, func(close func()) { close() })
}

// mostOutputs is how many numbers a classifier gives at most, where it is not known how many it should: a tensor may claim any size
// without having memory for it.
const mostOutputs = 1 << 20

// forward computes rows of outputs by run. The rest, 0.1 ms for a picture, is done on the caller's thread, which libtorch gets no threads
// for. done is called with what closes the input.
func forward(module *torchbind.Module, b batch, run func(*torchbind.Module, *torchbind.Tensor) (*torchbind.Tensor, error), done func(close func())) ([]float32, error) {
	in, count := b.input, b.count
	input, err := torchbind.NewInput(b.rgb, count, in.Height(), in.Width(), in.Mean, in.Std, module.InputDType())
	if err != nil {
		return nil, err
	}
	defer done(func() { input.Close() })
	output, err := run(module, input)
	if errors.Is(err, torchbind.TooSlow) {
		return nil, fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	if err != nil {
		return nil, err
	}
	defer output.Close()
	shape := output.Shape()
	if len(shape) == 4 && shape[2] == 1 && shape[3] == 1 { // a convolution over the one position that pooling left
		shape = shape[:2]
	}
	if len(shape) != 2 || shape[0] != int64(count) || shape[1] < 1 {
		return nil, &OutputError{message: fmt.Sprintf("the model's output is %v; a classifier gives %d × classes", output, count)}
	}
	if b.outputs > 0 && shape[1] != int64(b.outputs) || shape[1] > mostOutputs {
		return nil, &OutputError{message: fmt.Sprintf("the model's output is %v, and not %d × %d", output, count, cmp.Or(b.outputs, mostOutputs))}
	}
	switch output.DType() {
	case torchbind.Float32, torchbind.BFloat16, torchbind.Float16, torchbind.Float64:
	default:
		return nil, &OutputError{DType: true, message: fmt.Sprintf("the model's output is %v; a classifier gives floating-point numbers", output)}
	}
	return output.Float32s()
}

// OutputError tells that a network computes, but gives something that a classifier does not.
type OutputError struct {
	DType   bool // the kind of numbers is wrong, not their shape
	message string
}

// Error says what came out.
func (e *OutputError) Error() string { return e.message }

// Unwrap makes it a kind of [model.ErrOutput].
func (e *OutputError) Unwrap() error { return model.ErrOutput }
