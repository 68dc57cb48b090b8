package engine

import (
	"sync"
	"time"
)

// pace watches whether all threads are still worth it: where another program keeps one core busy, all the others wait for that one
// at every layer, and a single thread is done earlier. Its methods are safe for concurrent use; the zero pace always takes all threads.
type pace struct {
	mu     sync.Mutex
	among  time.Duration // of an inference on a worker with nothing beside it, lately; 0 if nobody measures
	misses int           // inferences with all threads that were not worth it, since the last that was
	skip   int           // pictures that go to a worker before all threads are tried again
}

const (
	// mostDoublings bounds how long it takes to find out that the cores are free again: 64 pictures.
	mostDoublings = 6
	// smoothing is the share of one inference in what counts as lately: one in so many.
	smoothing = 8
)

// allThreads decides for one picture.
func (p *pace) allThreads() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.skip == 0 {
		return true
	}
	p.skip--
	return false
}

// tookAll tells how long an inference with all threads took. One that was not worth it is forgiven: on a virtual machine any may be
// interrupted, and a picture on a worker then costs more than it saves. After two in a row one picture goes to a worker before the next
// try, and after each more twice as many.
func (p *pace) tookAll(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.among == 0 || d*100 <= p.among*worthwhilePercent {
		p.misses = 0
		return
	}
	if p.misses++; p.misses > 1 {
		p.skip = 1 << min(p.misses-2, mostDoublings)
	}
}

// tookAmong tells how long one on a worker took, of a picture that could have had all threads.
func (p *pace) tookAmong(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.among += (d - p.among) / smoothing
}
