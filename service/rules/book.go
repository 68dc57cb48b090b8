package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/userfile"
	"github.com/vidi-vision/vidi/service/watch"
)

// Book is a rules file that may change while it is in use. A nil Book has no rules. Its methods are safe for concurrent use.
type Book struct {
	path   string
	opened []byte
	rules  atomic.Pointer[Rules]
}

// Open reads the rules file at path.
func Open(path string) (*Book, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	r, err := Parse(data)
	if err != nil {
		return nil, inFile(path, err)
	}
	b := &Book{path: path, opened: data}
	b.rules.Store(r)
	return b, nil
}

func inFile(path string, err error) error {
	return fmt.Errorf("the rules of %s have mistakes:\n%w", path, err)
}

func read(path string) ([]byte, error) {
	data, err := userfile.Read(path, "a rules file", MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, userfile.Missing("there is no rules file %s; docs/rules.md tells how to write one", path)
	}
	return data, err
}

// Rules is the rules that count now.
func (b *Book) Rules() *Rules { return b.rules.Load() }

// Check reports every name that none of the models knows.
func (b *Book) Check(cards ...model.Card) error {
	if b == nil {
		return nil
	}
	if err := b.Rules().Check(cards...); err != nil {
		return inFile(b.path, err)
	}
	return nil
}

// Watch follows the file until ctx ends, as [watch.File] does. Rules that cannot be used, or that name what none of the models
// knows that cards returns, leave the old ones in use, and tell failed; good ones tell loaded.
func (b *Book) Watch(ctx context.Context, log *slog.Logger, cards func() []model.Card, loaded, failed func()) {
	b.follow(log, cards, loaded, failed).Follow(ctx)
}

func (b *Book) follow(log *slog.Logger, cards func() []model.Card, loaded, failed func()) *watch.File {
	use := func(data []byte) error {
		r, err := Parse(data)
		if err == nil {
			err = r.Check(cards()...)
		}
		if err != nil {
			return err
		}
		b.rules.Store(r)
		log.Info("the rules file has changed: its rules count from now on", "file", b.path, "rules", r.Count())
		loaded()
		return nil
	}
	return watch.New(b.opened, func() ([]byte, error) { return read(b.path) }, use, func(err error) {
		log.Error("THE RULES FILE CANNOT BE USED, AND THE OLD RULES STAY IN USE: correct it", "file", b.path, "error", err.Error(), "rules", b.Rules().Count())
		failed()
	})
}

// For is the book for the model with the card.
func (b *Book) For(card model.Card) *Binding {
	if b == nil {
		return nil
	}
	return &Binding{book: b, card: card}
}

// Binding is a book for one model. A nil Binding has no rules. Its methods are safe for concurrent use.
type Binding struct {
	book *Book
	card model.Card
	set  atomic.Pointer[Set]
}

// Set is the rules that count now; nil where there is no book.
func (b *Binding) Set() *Set {
	if b == nil {
		return nil
	}
	set, rules := b.set.Load(), b.book.Rules()
	if set == nil || set.source != rules {
		set = rules.Bind(b.card) // two at the same time make the same
		b.set.Store(set)
	}
	return set
}
