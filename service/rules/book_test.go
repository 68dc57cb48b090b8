package rules

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/watch"
)

// followed is a rules file under a watcher whose looks the test makes itself.
type followed struct {
	t              *testing.T
	path           string
	book           *Book
	binding        *Binding
	file           *watch.File
	log            bytes.Buffer
	loaded, failed int
}

func follow(t *testing.T, content string) *followed {
	t.Helper()
	f := &followed{t: t, path: filepath.Join(t.TempDir(), "rules.yaml")}
	f.write(content)
	var err error
	if f.book, err = Open(f.path); err != nil {
		t.Fatal(err)
	}
	f.binding = f.book.For(card)
	f.file = f.book.follow(slog.New(slog.NewTextHandler(&f.log, nil)), func() []model.Card { return []model.Card{card} },
		func() { f.loaded++ }, func() { f.failed++ })
	return f
}

func (f *followed) write(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// tag is the tag of a picture of a cat.
func (f *followed) tag() string {
	tags := f.binding.Set().Tags(Picture{Probabilities: []float64{1, 0, 0, 0}})
	if len(tags) == 0 {
		return ""
	}
	return tags[0].Tag
}

func TestAChangedFileCounts(t *testing.T) {
	f := follow(t, strings.Replace(one("{groups: [cat], at_least: 50}"), "it", "before", 1))
	f.write(strings.Replace(one("{groups: [cat], at_least: 50}"), "it", "after", 1))
	f.file.Look(t.Context())
	f.file.Look(t.Context())
	if got := f.tag(); got != "after" || f.loaded != 1 {
		t.Errorf("got %s, %d loaded", got, f.loaded)
	}
}

func TestABrokenFileKeepsTheOldRulesAndIsLoud(t *testing.T) {
	good := one("{groups: [cat], at_least: 50}")
	for name, spoil := range map[string]func(f *followed){
		"not YAML":        func(f *followed) { f.write("rules: [") },
		"an unknown name": func(f *followed) { f.write(one("{groups: [catt], at_least: 50}")) },
		"a pipe":          func(f *followed) { os.Remove(f.path); syscall.Mkfifo(f.path, 0o600) },
		"gone":            func(f *followed) { os.Remove(f.path) },
		"huge":            func(f *followed) { f.write(strings.Repeat("#", 2*MaxFile)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, good)
			spoil(f)
			for range 5 {
				f.file.Look(t.Context())
			}
			if f.tag() != "it" || f.failed != 1 || strings.Count(f.log.String(), "THE RULES FILE CANNOT BE USED") != 1 {
				t.Errorf("failed %d, log:\n%s", f.failed, f.log.String())
			}
			os.Remove(f.path)
			f.write("rules: []")
			f.file.Look(t.Context())
			f.file.Look(t.Context())
			if f.tag() != "" || f.loaded != 1 {
				t.Errorf("the corrected file does not count:\n%s", f.log.String())
			}
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "docs/rules.md") {
		t.Errorf("no file: %v", err)
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("rules:\n  - {}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), "bad.yaml have mistakes:\nline 2: ") {
		t.Errorf("a bad file: %v", err)
	}
}

func TestNoBook(t *testing.T) {
	var none *Book
	if none.For(card).Set() != nil || none.Check(card) != nil {
		t.Error("no book has rules")
	}
}
