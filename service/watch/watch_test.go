package watch

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// followed is a file that exists in memory only; "bad" cannot be used.
type followed struct {
	*File
	content       string
	gone          error
	used, refused []string
}

func follow(content string) *followed {
	f := &followed{content: content}
	f.File = New([]byte(content), func() ([]byte, error) { return []byte(f.content), f.gone }, func(data []byte) error {
		if string(data) == "bad" {
			return errors.New("it is bad")
		}
		f.used = append(f.used, string(data))
		return nil
	}, func(err error) { f.refused = append(f.refused, err.Error()) })
	return f
}

// look looks n times, and wants what was used and refused by then.
func (f *followed) look(t *testing.T, n int, used, refused []string) {
	t.Helper()
	for range n {
		f.Look(context.Background())
	}
	if !slices.Equal(f.used, used) || !slices.Equal(f.refused, refused) {
		t.Errorf("used %q, refused %q; want %q, %q", f.used, f.refused, used, refused)
	}
}

func TestAChangeCountsOnceItIsSettled(t *testing.T) {
	f := follow("one")
	f.look(t, 3, nil, nil)
	f.content = "tw"
	f.look(t, 1, nil, nil)
	f.content = "two"
	f.look(t, 1, nil, nil)
	f.look(t, 1, []string{"two"}, nil)
	f.look(t, 3, []string{"two"}, nil)
	f.content = "three"
	f.look(t, 1, []string{"two"}, nil)
	f.content = "two"
	f.look(t, 3, []string{"two"}, nil)
}

func TestWhatCannotBeUsedIsSaidOnce(t *testing.T) {
	f := follow("one")
	f.content = "bad"
	f.look(t, 5, nil, []string{"it is bad"})
	f.content = "two"
	f.look(t, 2, []string{"two"}, []string{"it is bad"})
	f.content = "bad"
	f.look(t, 2, []string{"two"}, []string{"it is bad", "it is bad"})
}

func TestAFileThatIsGoneIsSaidOnce(t *testing.T) {
	f := follow("one")
	f.gone = errors.New("it is gone")
	f.look(t, 1, nil, nil)
	f.gone = nil // an editor had put another in its place
	f.look(t, 3, nil, nil)
	f.gone = errors.New("it is gone")
	f.look(t, 5, nil, []string{"it is gone"})
	f.gone = nil
	f.look(t, 5, []string{"one"}, []string{"it is gone"})
}

func TestFollowEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { follow("one").Follow(ctx); close(done) }()
	cancel()
	<-done
}
