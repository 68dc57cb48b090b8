package engine

import (
	"context"
	"errors"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// Probe is a module that is looked at before it is known what it takes and gives. It computes on one
// thread. One goroutine uses it, and must Close it.
type Probe struct {
	worker *torchbind.Worker
	module *torchbind.Module
}

// OpenProbe loads the TorchScript file that was looked at to be run with that engine, in fp32 or bf16, and believes
// nothing that its card may say.
func OpenProbe(ctx context.Context, file *model.File, trust model.Trust, prepared model.Engine, precision torchbind.Precision) (*Probe, error) {
	worker, err := torchbind.NewWorker(1)
	if err != nil {
		return nil, err
	}
	p := &Probe{worker: worker}
	err = worker.Do(ctx, func() (err error) {
		p.module, err = open(file, trust, prepared, precision, Memory{})
		return err
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Infer is the network's output for one picture of in.Bytes() bytes of RGB, checked as in serving: one row of floating-point
// numbers.
func (p *Probe) Infer(ctx context.Context, rgb []byte, in model.Input) ([]float32, error) {
	output, _, err := infer(ctx, p.worker, p.module, batch{rgb: rgb, count: 1, input: in})
	return output, err
}

// Warm compiles the module for its input, as before serving.
func (p *Probe) Warm(ctx context.Context, in model.Input) error {
	return p.worker.Do(ctx, func() error {
		_, err := warm(p.worker, p.module, in)
		return err
	})
}

// Takes reports whether the module computes on float32 zeros of that shape at all, whatever comes out.
func (p *Probe) Takes(ctx context.Context, shape ...int64) bool {
	count := int64(1)
	for _, n := range shape {
		count *= n
	}
	return p.worker.Do(ctx, func() error {
		input, err := torchbind.NewFloat32(shape, make([]float32, count))
		if err != nil {
			return err
		}
		defer input.Close()
		output, err := p.worker.Run(p.module, input)
		if err != nil {
			return err
		}
		return output.Close()
	}) == nil
}

// Close frees the module. Further calls do nothing.
func (p *Probe) Close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.worker.Close(), p.module.Close())
}
