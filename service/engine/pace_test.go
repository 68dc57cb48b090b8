package engine

import (
	"errors"
	"testing"
	"time"
)

const ms = time.Millisecond

// run asks the pace for some pictures, which take that long on a worker and with all threads, and counts those with all threads.
func (p *pace) run(pictures int, among, all time.Duration) (withAll int) {
	for range pictures {
		if p.allThreads() {
			withAll++
			p.tookAll(all)
		} else {
			p.tookAmong(among)
		}
	}
	return withAll
}

// While another program takes one core, few pictures try all threads; soon after it has ended, all get them.
func TestPaceFollowsTheMachine(t *testing.T) {
	p := pace{among: 40 * ms}
	if n := p.run(100, 40*ms, 25*ms); n != 100 {
		t.Errorf("on a quiet machine %d of 100 pictures had all threads", n)
	}
	const mostSkipped = 1 << mostDoublings
	if n := p.run(1000, 45*ms, 60*ms); n > 1000/mostSkipped+9 { // two, then after 1 + 2 + 4 + … + 64, then each 65th
		t.Errorf("on a busy machine %d of 1000 pictures had all threads", n)
	}
	p.run(mostSkipped+1, 40*ms, 25*ms)
	if n := p.run(100, 40*ms, 25*ms); n != 100 {
		t.Errorf("on a machine that is quiet again %d of 100 pictures had all threads", n)
	}
}

// An inference that was interrupted once in a while sends no picture to a worker.
func TestPaceForgivesOne(t *testing.T) {
	p := pace{among: 40 * ms}
	for range 100 {
		if n := p.run(1, 40*ms, 90*ms) + p.run(1, 40*ms, 25*ms); n != 2 {
			t.Fatalf("after a slow inference %d of two pictures had all threads", n)
		}
	}
}

// Where everything became slower, all threads are held against what a worker takes now.
func TestPaceComparesWithNow(t *testing.T) {
	p := pace{among: 40 * ms}
	p.run(1000, 100*ms, 70*ms)
	if n := p.run(100, 100*ms, 70*ms); n != 100 {
		t.Errorf("%d of 100 pictures had all threads", n)
	}
}

// Who asked for all threads gets them, however long they take.
func TestPaceThatNobodyMeasures(t *testing.T) {
	if n := new(pace).run(100, ms, time.Hour); n != 100 {
		t.Errorf("%d of 100 pictures had all threads", n)
	}
}

// A picture whose client has left takes no time, which says nothing of the machine.
func TestPaceHearsOfNoFailure(t *testing.T) {
	p := pace{among: 40 * ms}
	for range 100 {
		if _, err := paced(p.tookAmong, func() ([]float32, error) { return nil, errors.New("gone") }); err == nil {
			t.Fatal("the error is lost")
		}
	}
	if p.among != 40*ms {
		t.Errorf("among is %v", p.among)
	}
	if _, err := paced(p.tookAmong, func() ([]float32, error) { return nil, nil }); err != nil || p.among >= 40*ms {
		t.Errorf("an inference that took no time: %v, among is %v", err, p.among)
	}
}
