package admission

import (
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func testRoom() *Room {
	r := New(Limits{Pictures: 100, Bytes: 256 * mib, Deadline: time.Minute})
	r.SetWorkers(2)
	return r
}

// fill has a visit take n bytes in steps, as an upload does, and returns what refused it.
func fill(v *Visit, n int64) Reason {
	for taken := int64(0); taken < n; taken += mib / 4 {
		if reason := v.Take(mib / 4); reason != "" {
			return reason
		}
		v.Moved(mib / 4)
	}
	return ""
}

// Whoever fills the room with transfers that then stand still loses them to those who come: its own share to its own requests, the rest to
// everybody's.
func TestSlowTransfersGiveWay(t *testing.T) {
	for _, newcomer := range []string{"the same", "another"} {
		synctest.Test(t, func(t *testing.T) {
			r := testRoom()
			stopped := 0
			var held []*Visit
			for range 300 {
				v := r.Visit("the same")
				v.Begin(func() { stopped++ })
				held = append(held, v)
				if fill(v, mib) != "" {
					break
				}
			}
			v := r.Visit(newcomer)
			v.Begin(func() { t.Error("the newcomer was stopped") })
			if reason := fill(v, 16*mib); newcomer == "another" && reason == "" || stopped > 0 {
				// They have only just come: there is no telling yet that they are slow, and an eighth is for others.
				t.Logf("at once: %q, %d stopped", reason, stopped)
			}
			time.Sleep(3 * time.Second)
			if reason := fill(v, 16*mib); reason != "" || stopped == 0 || stopped > 40 {
				t.Errorf("%s after 3 s: %q, and %d of %d were stopped", newcomer, reason, stopped, len(held))
			}
			ended := 0
			for _, v := range held {
				if v.Ended() {
					ended++
				}
				v.Leave()
			}
			v.Leave()
			if ended != stopped || r.Use() != (Use{}) || len(r.clients) != 0 {
				t.Errorf("%d ended, %d stopped, %+v is left, of %d clients", ended, stopped, r.Use(), len(r.clients))
			}
		})
	}
}

// Large uploads leave room for small ones, and no client takes more than its share.
// What has just come is not slow, whatever it holds.
func TestNewTransfersDoNotGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRoom()
		young, old := r.Visit("young"), r.Visit("old")
		old.Begin(func() {})
		old.Take(mib)
		time.Sleep(8 * time.Second)
		young.Begin(func() { t.Error("the new one was stopped") })
		young.Take(32 * mib)
		if found := r.slowest(nil, false, time.Now()); found != old {
			t.Error("the slowest is not the one that stands still")
		}
	})
}

func TestAClientsShareOfTheBytes(t *testing.T) {
	r := testRoom()
	largest := func(client string, each int64) (n int64) {
		for {
			v := r.Visit(client)
			reason := fill(v, each)
			n += v.bytes
			if reason != "" {
				return n
			}
		}
	}
	if got := largest("a", 20*mib); got > 224*mib || got < 180*mib {
		t.Errorf("a client that is alone has %d MiB", got/mib)
	}
	if reason := fill(r.Visit("a"), mib); reason != "" {
		t.Errorf("a small upload beside large ones of the same client: %s", reason)
	}
	if reason := fill(r.Visit("b"), 4*mib); reason != "" {
		t.Errorf("an upload of another client: %s", reason)
	}
	r = testRoom()
	r.Visit("b").Take(1)
	if got := largest("a", mib); got > 129*mib || got < 120*mib {
		t.Errorf("a client beside another has %d MiB", got/mib)
	}
}

// The pace is an average: standing still for a while is allowed, a byte now and then is not.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			bytes int64
			every time.Duration
			lasts bool
		}{
			{60_000, time.Second, true}, {3 << 10, time.Second, true}, {16 << 10, 8 * time.Second, true}, {64 << 10, 9 * time.Second, true},
			{1, time.Second, false}, {1 << 10, time.Second, false}, {64 << 10, 11 * time.Second, false},
		} {
			v := testRoom().Visit("a")
			until, lasted := v.Begin(func() {}), true
			for range 20 {
				time.Sleep(c.every)
				if lasted = time.Now().Before(until); !lasted {
					break
				}
				until = v.Moved(c.bytes)
			}
			if lasted != c.lasts {
				t.Errorf("%d bytes every %v: lasts %v", c.bytes, c.every, lasted)
			}
		}
	})
}
