package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
)

// loadLimits are what loading a file of that many bytes may cost, and each run that warms it: several times what any known network takes.
// They are the same where it is tried and where it serves, so that what is refused, or not computed ahead, is the same too.
func loadLimits(fileBytes int64) backend.Limits {
	return backend.Limits{Bytes: 1<<30 + 8*fileBytes}
}

// Memory is what a model took where it was tried, in bytes; the zero value is not known.
type Memory struct {
	LoadTensors int64 `json:"load_tensors"` // at one time, while it was loaded
	RunTensors  int64 `json:"run_tensors"`  // at one time, made by one run
	Loaded      int64 `json:"loaded"`       // what the process had more once it was warm, with one module
	Most        int64 `json:"most"`         // what it had more at one time
}

// Known reports whether the model was measured.
func (m Memory) Known() bool { return m.LoadTensors > 0 }

// load is what loading may take where that is known: as much as in the trial, and some for another number of threads.
func (m Memory) load(fileBytes int64) backend.Limits {
	limits := loadLimits(fileBytes)
	if m.Known() {
		limits.Bytes = min(limits.Bytes, 64<<20+m.LoadTensors+m.LoadTensors/4)
	}
	return limits
}

// warm is the same for the runs that warm it.
func (m Memory) warm(fileBytes int64) backend.Limits {
	limits := loadLimits(fileBytes)
	if m.Known() {
		limits.Bytes = min(limits.Bytes, runLimits(m.RunTensors, 0).Bytes)
	}
	return limits
}

// loadTime is how long a file of that many bytes may take to be loaded and warmed: twice what its
// trial may. Nothing can interrupt a library there.
func loadTime(fileBytes int64) time.Duration {
	return 4*time.Minute + time.Duration(fileBytes>>20)*100*time.Millisecond
}

// LoadTimeError tells that a model was not loaded in the time that it may take. Loading goes on: what
// it has made is freed at its end.
type LoadTimeError struct {
	limit time.Duration
	ended <-chan struct{}
}

// Error says so.
func (e *LoadTimeError) Error() string {
	return fmt.Sprintf("the model was not loaded in %v, and was given up. Loading cannot be interrupted: it keeps a thread and its "+
		"memory until it ends, or the server is started again without this model", e.limit)
}

// Ended is closed when loading has ended all the same.
func (e *LoadTimeError) Ended() <-chan struct{} { return e.ended }

// runLimits are what an inference may cost of a model that needed that much for the runs which warmed it, all together: networks
// take about as much for any picture.
func runLimits(peak int64, warming time.Duration) backend.Limits {
	return backend.Limits{Bytes: 256<<20 + 4*peak, Time: 10*time.Second + 20*warming}
}

// stuckAfter is how much later than its limit an inference is called stuck: by then its loops have ended it.
const stuckAfter = time.Second

// left is an inference that goes on though nobody waits for it any more: no library can be interrupted everywhere.
type left struct {
	ended   <-chan struct{} // closed when it is over
	settled <-chan struct{} // closed when it is over, or stuck
}

// after calls f when the channel is closed: at once, on this goroutine, if it is nil.
func after(closed <-chan struct{}, f func()) {
	if closed == nil {
		f()
		return
	}
	go func() {
		<-closed
		f()
	}()
}

// inferInTime computes on the worker until ctx ends or the network's time is over, which is
// context.DeadlineExceeded too. What goes on then keeps the worker until it has ended.
func (e *Engine) inferInTime(ctx context.Context, w backend.Worker, m backend.Network, b batch) ([]float32, left, error) {
	limit := m.Limits().Time
	if limit == 0 {
		output, ended, err := infer(ctx, w, m, b)
		return output, left{ended, ended}, err
	}
	over := time.Now().Add(limit + stuckAfter)
	inTime, cancel := context.WithDeadline(ctx, over)
	defer cancel()
	output, ended, err := infer(inTime, w, m, b)
	if ended == nil {
		return output, left{}, err
	}
	if ctx.Err() == nil {
		err = fmt.Errorf("the model was not done in %v, and cannot be interrupted: %w", limit, err)
	}
	settled := make(chan struct{})
	go e.watch(w, over, left{ended, settled}, settled)
	return nil, left{ended, settled}, err
}

// watch counts what was left from when its time is over until it ends, and closes settled.
func (e *Engine) watch(w backend.Worker, over time.Time, l left, settled chan struct{}) {
	select {
	case <-l.ended:
		close(settled)
		return
	case <-time.After(time.Until(over)):
	}
	count := &e.pool.stuckWorkers
	if w == e.workers.alone {
		count = &e.pool.stuckAlone
	}
	count.Add(1)
	close(settled)
	<-l.ended
	count.Add(-1)
}
