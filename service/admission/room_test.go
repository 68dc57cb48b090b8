package admission

import (
	"testing"
	"time"
)

func TestRetryAfterFollowsTheWork(t *testing.T) {
	r := New(Limits{Pictures: 100, Bytes: 1})
	for range 50 {
		r.Enter(1)
		r.Leave(2 * time.Second)
	}
	r.Enter(40)
	if seconds := r.RetryAfter(4); seconds < 19 || seconds > 21 {
		t.Errorf("40 pictures of 2 s over 4 workers: %d s", seconds)
	}
	r.pictures = 0
	if seconds := r.RetryAfter(4); seconds != 1 {
		t.Errorf("nothing to do: %d s", seconds)
	}
	r.pictures = 1_000_000
	if seconds := r.RetryAfter(1); seconds != MaxRetryAfter {
		t.Errorf("far too much: %d s", seconds)
	}
}
