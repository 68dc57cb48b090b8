package admission

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// take waits for a turn in the background; the channel has it once it came.
func take(t *testing.T, turns *Turns, p *Place, bytes int64) <-chan Turn {
	t.Helper()
	got := make(chan Turn, 1)
	go func() {
		turn, err := turns.Take(t.Context(), p, bytes)
		if err != nil {
			t.Error(err)
		}
		got <- turn
	}()
	synctest.Wait()
	return got
}

func came(got <-chan Turn) bool { return len(got) > 0 }

// Large pictures that wait for memory have no turns, and do not hold up small ones.
func TestSmallPicturesWaitForNoLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(9, 8)
		turns.BoundMemory(100 * mib)
		a, b := enter(t, testRoom().Visit("a"), 9, time.Millisecond), enter(t, testRoom().Visit("b"), 20, time.Millisecond)
		var large []<-chan Turn
		for _, p := range a {
			large = append(large, take(t, turns, p, 60*mib))
		}
		if turns.Free() != 8 || turns.Waiting() != 8 {
			t.Errorf("%d turns are free, %d pictures wait", turns.Free(), turns.Waiting())
		}
		for n, p := range b { // as many as there is memory for, one after the other
			small := take(t, turns, p, mib/4)
			if !came(small) {
				t.Fatalf("small picture %d waits", n)
			}
			turns.Give(<-small)
		}
		for n, got := range large {
			if !came(got) || n+1 < len(large) && came(large[n+1]) {
				t.Fatalf("large picture %d has no turn, or the next has one", n)
			}
			turn := <-got
			turns.Decoded(&turn) // the next is decoded while this one is computed
			synctest.Wait()
			turns.Give(turn)
		}
		wantAll(t, turns, 9, 100*mib)
	})
}

func wantAll(t *testing.T, turns *Turns, free int, bytes int64) {
	t.Helper()
	if m := turns.memory; turns.Free() != free || m.free != bytes || m.small != bytes/smallPart {
		t.Errorf("%d turns and %+v are left", turns.Free(), m)
	}
}

// A picture whose turn it is gets the memory that becomes free, before those that need less. When
// it stops waiting they get it.
func TestALargePictureIsNotPassedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(9, 8)
		turns.BoundMemory(100 * mib)
		first := <-take(t, turns, nil, 60*mib)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := turns.Take(ctx, nil, 80*mib)
			left <- err
		}()
		synctest.Wait()
		second := take(t, turns, nil, 10*mib)
		if came(second) {
			t.Error("a picture that needs less went first")
		}
		if _, ok := turns.TakeIdle(0); ok {
			t.Error("idle work went before those that wait")
		}
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		if !came(second) {
			t.Error("nobody got what the one that left had waited for")
		}
		if _, ok := turns.TakeIdle(50 * mib); ok {
			t.Error("idle work got memory that there is not")
		}
		idle, ok := turns.TakeIdle(30 * mib)
		if !ok {
			t.Error("idle work got none of the rest")
		}
		for _, turn := range []Turn{first, <-second, idle} {
			turns.Give(turn)
		}
		whole := <-take(t, turns, nil, 1000*mib) // more than there is: all of it
		turns.BoundMemory(50 * mib)
		turns.Give(whole)
		wantAll(t, turns, 9, 50*mib)
	})
}

// What a turn waits for a worker is charged to nobody, and surprises nobody.
func TestOnlyWorkIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ held, waited, want time.Duration }{
			{3 * time.Second, 2900 * time.Millisecond, 100 * time.Millisecond}, // as estimated
			{3 * time.Second, 2700 * time.Millisecond, 300 * time.Millisecond},
			{3 * time.Second, 0, 3 * time.Second},
			{50 * time.Millisecond, 0, 100 * time.Millisecond},
		} {
			turns, visit := NewTurns(2, 1), testRoom().Visit("a")
			other := <-take(t, turns, nil, 0) // who is there keeps the accounts
			turn := <-take(t, turns, enter(t, visit, 1, 100*time.Millisecond)[0], 0)
			time.Sleep(c.held)
			turn.Waited = c.waited
			turns.Give(turn)
			if got := turns.accounts.clients.used["a"]; math.Abs(got-c.want.Seconds()) > 1e-9 {
				t.Errorf("%+v: %v s are charged", c, got)
			}
			if heavy := visit.heavy.Load(); heavy != (c.want > time.Second) {
				t.Errorf("%+v: the request is heavy: %v", c, heavy)
			}
			turns.Give(other)
		}
	})
}
