package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// alone is a model's second module, compiled for a picture that has the machine to itself. It is made in the background,
// since everything works without it.
type alone struct {
	module  atomic.Pointer[torchbind.Module] // nil until it is ready
	loading sync.WaitGroup
	err     error // why there is none; read after loading
}

// start makes the module from the one that the workers share, on the pool's worker that will run it.
func (a *alone) start(module *torchbind.Module, pool *Pool, in model.Input) {
	pool.compiling.Add(1)
	a.loading.Go(func() {
		defer pool.compiling.Add(-1)
		var second *torchbind.Module
		err := pool.alone.Do(context.Background(), func() (err error) {
			if second, err = module.Fork(); err != nil {
				return err
			}
			_, err = warm(second, in)
			return err
		})
		if err != nil {
			second.Close()
			a.err = fmt.Errorf("the second module, for pictures that come alone: %w", err)
			return
		}
		torchbind.TrimMemory()
		a.module.Store(second)
	})
}

func (a *alone) wait() error {
	a.loading.Wait()
	return a.err
}

func (a *alone) close() error {
	a.loading.Wait()
	return a.module.Load().Close()
}
