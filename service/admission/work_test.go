package admission

import (
	"slices"
	"testing"
	"time"
)

func costs(n int, each time.Duration) []Cost {
	return slices.Repeat([]Cost{{Inference: each}}, n)
}

func enter(t *testing.T, v *Visit, n int, each time.Duration) []*Place {
	t.Helper()
	places, reason := v.Enter(costs(n, each))
	if reason != "" {
		t.Fatalf("%d pictures of %v: %s", n, each, reason)
	}
	return places
}

func TestRetryAfterFollowsTheWork(t *testing.T) {
	r := testRoom()
	r.SetWorkers(4)
	if seconds := r.RetryAfter(); seconds != 1 {
		t.Errorf("nothing to do: %d s", seconds)
	}
	enter(t, r.Visit("a"), 40, 2*time.Second)
	if seconds := r.RetryAfter(); seconds != 20 {
		t.Errorf("40 pictures of 2 s over 4 workers: %d s", seconds)
	}
	r.SetWorkers(1)
	if seconds := r.RetryAfter(); seconds != MaxRetryAfter {
		t.Errorf("over one: %d s", seconds)
	}
}

// A full room takes a picture of who has less work waiting, in place of one of who has more; equals are refused.
func TestTheMostWorkGivesWay(t *testing.T) {
	for _, c := range []struct {
		holder, newcomer string
		each, mine       time.Duration
		most             int // pictures of a request of the holder's
		gets             Reason
	}{
		{"a", "a", time.Second, time.Second, 50, ""},
		{"a", "b", time.Second, time.Second, 50, ""},
		{"a", "a", time.Second, time.Millisecond, 1, ""},
		{"a", "a", time.Second, time.Second, 1, Pictures},
		{"a", "b", time.Second, time.Second, 1, ""},
		{"a", "a", time.Millisecond, time.Minute, 50, Pictures},
		{"a", "b", time.Millisecond, time.Minute, 50, Pictures},
	} {
		r := New(Limits{Pictures: 100, Bytes: mib})
		var all []*Place
		for range 100 / c.most {
			all = append(all, enter(t, r.Visit(c.holder), c.most, c.each)...)
		}
		if full := r.Full(c.newcomer); c.gets == "" && full != "" {
			t.Errorf("%+v: refused at the door: %s", c, full)
		}
		before := r.Use()
		places, reason := r.Visit(c.newcomer).Enter(costs(1, c.mine))
		displaced := 0
		for _, p := range all {
			if p.Displaced() {
				displaced++
			}
		}
		if reason != c.gets || (displaced == 1) != (c.gets == "") {
			t.Errorf("%+v: %q, and %d were displaced", c, reason, displaced)
		}
		if after := r.Use(); reason != "" && after != before {
			t.Errorf("%+v: a refusal leaves %+v instead of %+v", c, after, before)
		}
		for _, p := range append(all, places...) {
			p.Left(0)
		}
		if r.Use() != (Use{}) {
			t.Errorf("%+v: %+v is left", c, r.Use())
		}
	}
}

func TestWorkIsBounded(t *testing.T) {
	r := New(Limits{Pictures: 200, Deadline: 2 * time.Minute})
	first := enter(t, r.Visit("a"), 64, 3*time.Second)
	if _, reason := r.Visit("a").Enter(costs(64, 3*time.Second)); reason != Work {
		t.Errorf("384 s of work where 120 s are allowed: %q", reason)
	}
	heard := 0
	for _, p := range first {
		if !p.OnDisplaced(func() { heard++ }) {
			t.Error("displaced too early")
		}
	}
	first[63].work() // what is worked on stays
	enter(t, r.Visit("a"), 1, time.Millisecond)
	if r.Use().Work > 2*time.Minute || heard != 25 || first[63].Displaced() || !first[62].Displaced() {
		t.Errorf("%+v, %d heard", r.Use(), heard)
	}
}
