package engine

import (
	"context"
	"errors"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
)

// Probe is a network that is looked at before it is known what it takes and gives. It computes on one
// thread. One goroutine uses it, and must Close it.
type Probe struct {
	worker  backend.Worker
	network backend.Network
}

// OpenProbe loads the file that was looked at, to be run in that way, in fp32 or bf16, and believes
// nothing that its card may say.
func OpenProbe(ctx context.Context, b backend.Backend, file *model.File, trust model.Trust, prepared model.Engine,
	precision backend.Precision,
) (*Probe, error) {
	worker, err := b.NewWorker(1, 0)
	if err != nil {
		return nil, err
	}
	p := &Probe{worker: worker}
	err = worker.Do(ctx, func() (err error) {
		p.network, err = open(b, worker, file, trust, prepared, precision, Memory{})
		return err
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Infer is the network's output for one image of in.Bytes() bytes of RGB, checked as in serving: one
// row of floating-point numbers.
func (p *Probe) Infer(ctx context.Context, rgb []byte, in model.Input) ([]float32, error) {
	output, _, err := infer(ctx, p.worker, p.network, batch{rgb: rgb, count: 1, input: in})
	return output, err
}

// Warm compiles the network for its input, as before serving.
func (p *Probe) Warm(ctx context.Context, in model.Input) error {
	return p.worker.Do(ctx, func() error {
		_, err := warm(p.worker, p.network, in)
		return err
	})
}

// Takes reports whether the network computes on float32 zeros of that shape at all, whatever comes out.
func (p *Probe) Takes(ctx context.Context, shape ...int64) bool {
	count := int64(1)
	for _, n := range shape {
		count *= n
	}
	_, _, err := p.network.Run(ctx, p.worker, backend.Input{Shape: shape, Values: make([]float32, count)})
	return err == nil
}

// Close frees the network. Further calls do nothing.
func (p *Probe) Close() error {
	if p == nil {
		return nil
	}
	err := p.worker.Close()
	if p.network != nil {
		err = errors.Join(err, p.network.Close())
	}
	return err
}
