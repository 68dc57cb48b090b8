package trial

import (
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/machine"
)

// anonymousMemory is what this process has of memory that no file backs, 0 where the kernel does not tell: libraries' pages, which
// the first model makes resident, are no model's.
func anonymousMemory() int64 { return machine.ProcessBytes("RssAnon") }

// measure looks at the process's memory until the function that it returns is called, which says how much more than begun there is, and
// how much there was at one time.
func measure(begun int64) (ended func() (now, most int64)) {
	const often = 5 * time.Millisecond
	var most int64
	var watching sync.WaitGroup
	stop := make(chan struct{})
	watching.Go(func() {
		for ticks := time.NewTicker(often); ; {
			select {
			case <-ticks.C:
				most = max(most, anonymousMemory())
			case <-stop:
				ticks.Stop()
				return
			}
		}
	})
	return func() (int64, int64) {
		close(stop)
		watching.Wait()
		now := anonymousMemory()
		return max(now-begun, 0), max(most-begun, now-begun, 0)
	}
}
