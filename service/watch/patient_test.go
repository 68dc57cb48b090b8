package watch

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A read that hangs is said, again after ten minutes, costs one goroutine however long it lasts, and ends in what was read.
func TestAReadThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan string)
		hangs, reads := false, 0
		var used []string
		var refused []time.Time
		begun := time.Now()
		f := New([]byte("one"), func() ([]byte, error) {
			reads++
			if hangs {
				return []byte(<-answer), nil
			}
			return []byte("two"), nil
		}, func(data []byte) error {
			used = append(used, string(data))
			return nil
		}, func(err error) {
			if !errors.Is(err, ErrHangs) || !strings.Contains(err.Error(), "does not answer") {
				t.Errorf("refused for %v", err)
			}
			refused = append(refused, time.Now())
		})
		ctx, cancel := context.WithCancel(t.Context())
		hangs = true
		before := runtime.NumGoroutine()
		done := make(chan struct{})
		go func() { f.Follow(ctx); close(done) }()
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if len(refused) != 3 || refused[0].Sub(begun) > 12*time.Second || reads != 1 {
			t.Errorf("%d reads, refused %d times, first after %v", reads, len(refused), refused[0].Sub(begun))
		}
		if now := runtime.NumGoroutine(); now > before+2 {
			t.Errorf("%d goroutines, %d before", now, before)
		}
		hangs = false
		answer <- "two"
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(used) != 1 || used[0] != "two" {
			t.Errorf("used %q", used)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(refused) != 3 {
			t.Errorf("refused %d times, the last %v after it could be read", len(refused), time.Since(refused[3]))
		}
		cancel()
		<-done
	})
}

// A stop does not wait for a read that hangs.
func TestFollowEndsUnderAReadThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		f := New(nil, func() ([]byte, error) { <-answer; return nil, nil }, nil, func(error) { t.Error("a stop is no failure") })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begun := time.Now()
		f.Follow(ctx)
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		close(answer)
	})
}
