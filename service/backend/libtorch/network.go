package libtorch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// network is one module. It serves one number of threads, because the fuser compiles the number into
// its kernels: a fork is a module that shares the weights.
type network struct {
	module *torchbind.Module

	mu      sync.Mutex
	outputs []backend.Port
}

// Load reads the file through the descriptor that was compared with what was looked at.
func (Backend) Load(_ backend.Worker, file *model.File, o backend.Options) (backend.Network, error) {
	kind, err := torchbind.ParseEngine(string(o.Variant))
	if err != nil {
		return nil, translate(err)
	}
	content, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	module, err := torchbind.LoadFile(content, torchbind.Options{
		Precision: torchbind.Precision(o.Precision), Engine: kind, MaxBytes: o.MaxBytes})
	if err != nil {
		return nil, translate(err)
	}
	n := newNetwork(module)
	// What somebody has written into it meanwhile may be in the weights.
	info, err := content.Stat()
	if err == nil {
		err = file.Is(info)
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func newNetwork(module *torchbind.Module) *network {
	return &network{module: module, outputs: []backend.Port{{Name: "scores", Kind: backend.Scores}}}
}

// Outputs is the one tensor that TorchScript's forward returns.
func (n *network) Outputs() []backend.Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.outputs
}

// Warm runs the module until the fuser has compiled it.
func (n *network) Warm(w backend.Worker, in backend.Input) ([]backend.Output, error) {
	input, err := n.tensor(in)
	if err != nil {
		return nil, err
	}
	defer input.Close()
	output, err := w.(worker).Warm(n.module, input)
	if err != nil {
		return nil, translate(err)
	}
	read, err := n.read(output, in)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outputs = []backend.Port{read[0].Port}
	return read, nil
}

// Run computes on the worker's C thread; what the caller's thread does takes 0.1 ms for an image.
func (n *network) Run(ctx context.Context, w backend.Worker, in backend.Input) (
	[]backend.Output, <-chan struct{}, error,
) {
	input, err := n.tensor(in)
	if err != nil {
		return nil, nil, err
	}
	output, left, err := w.(worker).RunUntil(ctx, n.module, input)
	if left != nil {
		go func() {
			<-left
			input.Close()
		}()
		return nil, left, err
	}
	defer input.Close()
	if err != nil {
		return nil, nil, translate(err)
	}
	outputs, err := n.read(output, in)
	return outputs, nil, err
}

func (n *network) tensor(in backend.Input) (*torchbind.Tensor, error) {
	var input *torchbind.Tensor
	var err error
	if in.Shape != nil {
		input, err = torchbind.NewFloat32(in.Shape, in.Values)
	} else {
		m := in.Model
		input, err = torchbind.NewInput(in.RGB, in.Count, m.Height(), m.Width(), m.Mean, m.Std,
			n.module.InputDType())
	}
	return input, translate(err)
}

// read copies the output, which it closes.
func (n *network) read(output *torchbind.Tensor, in backend.Input) ([]backend.Output, error) {
	defer output.Close()
	o := backend.Output{Port: backend.Port{Name: "scores", Kind: backend.Scores,
		DType: fmt.Sprint(output.DType()), Shape: output.Shape()}}
	if o.Floating() && output.Len() <= max(in.Count, 1)*backend.MaxElements {
		values, err := output.Float32s()
		if err != nil {
			return nil, translate(err)
		}
		o.Values = values
	}
	return []backend.Output{o}, nil
}

// Fork is a module with compiled code of its own, for another number of threads.
func (n *network) Fork() (backend.Network, error) {
	module, err := n.module.Fork()
	if err != nil {
		return nil, translate(err)
	}
	return newNetwork(module), nil
}

// SetLimits sets the module's limits.
func (n *network) SetLimits(l backend.Limits) { n.module.SetLimits(torchbind.Limits(l)) }

// Limits are the module's.
func (n *network) Limits() backend.Limits { return backend.Limits(n.module.Limits()) }

// Peaks are what libtorch's allocator has counted.
func (n *network) Peaks() (loading, running int64) { return n.module.LoadPeak(), n.module.Peak() }

// Close frees the module, and has the fuser forget it: it remembers the network that was compiled
// last.
func (n *network) Close() error {
	return translate(errors.Join(n.module.Close(), torchbind.ForgetFused()))
}
