package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
)

// batch is pictures that a network computes at one time.
type batch struct {
	rgb     []byte // of one after the other
	count   int
	input   model.Input
	outputs int // numbers that each picture must get; 0 is not known
}

// asInput is what the backend gets.
func (b batch) asInput() backend.Input {
	return backend.Input{RGB: b.rgb, Count: b.count, Model: b.input}
}

// infer computes the outputs for the images, one row after the other, on the worker's threads, until ctx
// ends. What cannot be interrupted then has left, and left is closed at its end; until then it keeps the
// worker. left is nil where nothing goes on.
func infer(ctx context.Context, w backend.Worker, n backend.Network, b batch) (
	output []float32, left <-chan struct{}, err error,
) {
	outputs, left, err := n.Run(ctx, w, b.asInput())
	if err == nil {
		output, err = b.scores(outputs)
	}
	return output, left, inTime(err)
}

// warm compiles the network for its input, with a grey image, and returns what the output looks like.
// The worker must have the thread count that the network will have.
func warm(w backend.Worker, n backend.Network, in model.Input) ([]float32, error) {
	grey := batch{rgb: bytes.Repeat([]byte{128}, in.Bytes()), count: 1, input: in}
	outputs, err := n.Warm(w, grey.asInput())
	if err != nil {
		return nil, inTime(err)
	}
	return grey.scores(outputs)
}

// inTime makes a run that took too long one that passed its deadline.
func inTime(err error) error {
	if errors.Is(err, backend.TooSlow) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// scores are the numbers that a classifier gives, checked: a row for each image.
func (b batch) scores(outputs []backend.Output) ([]float32, error) {
	at := slices.IndexFunc(outputs, func(o backend.Output) bool { return o.Kind == backend.Scores })
	if at < 0 {
		return nil, &OutputError{message: "the model has no output of scores"}
	}
	output, count := outputs[at], b.count
	shape := output.Shape
	if len(shape) == 4 && shape[2] == 1 && shape[3] == 1 { // a convolution over the one position that pooling left
		shape = shape[:2]
	}
	switch {
	case len(shape) != 2 || shape[0] != int64(count) || shape[1] < 1:
		return nil, &OutputError{message: fmt.Sprintf("the model's output is %v; a classifier gives %d × classes", output, count)}
	case b.outputs > 0 && shape[1] != int64(b.outputs) || shape[1] > backend.MaxElements:
		return nil, &OutputError{message: fmt.Sprintf("the model's output is %v, and not %d × %d", output, count,
			cmp.Or(b.outputs, backend.MaxElements))}
	case !output.Floating():
		return nil, &OutputError{DType: true, message: fmt.Sprintf(
			"the model's output is %v; a classifier gives floating-point numbers", output)}
	}
	return output.Values, nil
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
