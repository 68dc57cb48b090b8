package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress is a bar on standard error, shown where a person watches. The zero value shows nothing.
type progress struct {
	container *mpb.Progress
	bar       *mpb.Bar
}

// newProgress shows a count of total things in the given words.
func newProgress(a *app, total int, words string) progress {
	if total < 2 || !isTerminal(a.stderr) {
		return progress{}
	}
	container := mpb.New(mpb.WithOutput(raw(a.stderr)), mpb.WithWidth(40))
	bar := container.AddBar(int64(total),
		mpb.PrependDecorators(decor.CountersNoUnit(words)),
		mpb.AppendDecorators(decor.AverageSpeed(0, "%.0f/s, "), decor.AverageETA(decor.ET_STYLE_GO)))
	return progress{container, bar}
}

func (p progress) step() {
	if p.bar != nil {
		p.bar.Increment()
	}
}

func (p progress) finish() {
	if p.bar != nil {
		p.bar.Abort(false) // complete bars ignore it; an interrupted one must not be waited for
		p.container.Wait()
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := raw(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// sayEvery is how often a search that takes long says how far it is.
const sayEvery = 2 * time.Second

// sayLooking returns a function that counts files and, where a person watches, says every two seconds how many there are so far.
func (a *app) sayLooking() (found func(path string)) {
	count, last := 0, time.Now()
	watched := isTerminal(a.stderr)
	return func(path string) {
		if count++; watched && time.Since(last) > sayEvery {
			last = time.Now()
			fmt.Fprintf(a.stderr, "vidi: looking for pictures: %d files so far, now at %s\n", count, printable(path))
		}
	}
}

// slowProgress is a bar for what mostly takes no time: it appears, where a person watches, once two seconds have passed.
func (a *app) slowProgress(words string) (looked func(done, total int), finish func()) {
	begun, bar, shown := time.Now(), progress{}, 0
	return func(done, total int) {
		if shown == 0 && time.Since(begun) > sayEvery {
			bar = newProgress(a, total, words)
		}
		if bar.bar != nil {
			bar.bar.IncrBy(done - shown)
			shown = done
		}
	}, func() { bar.finish() }
}
