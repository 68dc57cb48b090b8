package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// lane is a warm module with the one worker that runs it.
type lane struct {
	module *torchbind.Module
	worker *torchbind.Worker
}

func (l *lane) infer(ctx context.Context, rgb []byte, in model.Input) ([]float32, error) {
	return infer(ctx, l.worker, l.module, rgb, 1, in)
}

func (l *lane) close() error {
	l.worker.Close()
	return l.module.Close()
}

// alone is the lane for a picture that has the machine to itself. It is compiled in the background, since everything
// works without it.
type alone struct {
	lane    atomic.Pointer[lane] // nil until it is ready
	loading sync.WaitGroup
	err     error // why there is none; read after loading
}

// start makes the lane from the module that the workers share.
func (a *alone) start(module *torchbind.Module, threads int, in model.Input) {
	a.loading.Go(func() {
		l, err := openLane(module, threads, in)
		if err != nil {
			a.err = fmt.Errorf("the second module, for pictures that come alone: %w", err)
			return
		}
		torchbind.TrimMemory()
		a.lane.Store(l)
	})
}

func openLane(module *torchbind.Module, threads int, in model.Input) (*lane, error) {
	worker, err := torchbind.NewWorker(threads)
	if err != nil {
		return nil, err
	}
	l := &lane{worker: worker}
	err = worker.Do(context.Background(), func() error {
		var err error
		if l.module, err = module.Fork(); err != nil {
			return err
		}
		_, err = warm(l.module, in)
		return err
	})
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (a *alone) wait() error {
	a.loading.Wait()
	return a.err
}

func (a *alone) close() error {
	a.loading.Wait()
	if l := a.lane.Load(); l != nil {
		return l.close()
	}
	return nil
}
