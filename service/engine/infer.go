package engine

import (
	"bytes"
	"context"
	"fmt"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// infer computes the outputs for count pictures, one row after the other, on the worker's threads. ctx counts until that begins.
func infer(ctx context.Context, worker *torchbind.Worker, module *torchbind.Module, rgb []byte, count int, in model.Input) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return forward(module, rgb, count, in, worker.Run)
}

// warm compiles the module for its input, with a grey picture, and returns what the output looks like. The worker must have the thread
// count that the module will have.
func warm(worker *torchbind.Worker, module *torchbind.Module, in model.Input) ([]float32, error) {
	return forward(module, bytes.Repeat([]byte{128}, in.Bytes()), 1, in, worker.Warm)
}

// forward computes count rows of outputs by run, which is a worker's Run or Warm. The rest, 0.1 ms for a picture, is done on the caller's
// thread, which libtorch gets no threads for.
func forward(module *torchbind.Module, rgb []byte, count int, in model.Input, run func(*torchbind.Module, *torchbind.Tensor) (*torchbind.Tensor, error)) ([]float32, error) {
	input, err := torchbind.NewInput(rgb, count, in.Height(), in.Width(), in.Mean, in.Std, module.InputDType())
	if err != nil {
		return nil, err
	}
	defer input.Close()
	output, err := run(module, input)
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
