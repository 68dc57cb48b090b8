package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/service/pictures"
)

// expanded is what arguments are expanded to, with nobody watching.
func expanded(args ...string) ([]input, *pictures.LeftOut) {
	return expand(context.Background(), args, false, (&app{}).sayLooking)
}

func TestExpand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trip")
	if err := os.MkdirAll(filepath.Join(dir, "day [1]"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.jpg", "day [1]/gone.jpg"} {
		if err := os.Symlink(filepath.Join(dir, "a.jpg"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.jpg"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		dir:                            "a.jpg b.jpg day [1]/gone.jpg",
		link:                           "a.jpg b.jpg day [1]/gone.jpg",
		filepath.Join(dir, "*.jpg"):    "a.jpg b.jpg",
		filepath.Join(dir, "*.gif"):    "*.gif: no file matches this pattern",
		filepath.Join(dir, "none.jpg"): "none.jpg: there is no such file or folder",
	} {
		var got []string
		inputs, _ := expanded(arg)
		for _, in := range inputs {
			name := in.name
			for _, root := range []string{dir, link} {
				name = strings.TrimPrefix(name, root+"/")
			}
			if in.err != nil {
				name += ": " + in.err.Error()
			}
			got = append(got, name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %q, want %q", arg, text, want)
		}
	}
	if twice, _ := expanded("-", "-"); len(twice) != 2 || twice[0].err != nil || twice[1].err == nil {
		t.Errorf("standard input, twice: %+v", twice)
	}
	// A bracket in a file's name does not make it a pattern.
	if err := os.Remove(filepath.Join(dir, "a.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err := (input{name: filepath.Join(dir, "day [1]", "gone.jpg")}).read(nil); err == nil || !strings.HasPrefix(err.Error(), "there is no such file or folder: this is a link to ") {
		t.Errorf("a dangling link: %v", err)
	}
}

func TestLeftOutIsCountedByKind(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{
		"a.jpg": "", "b.heic": "", "c.HEIC": "", "d.avif": "", "e.pdf": "", "f.txt": "", "g.txt": "", "h.xmp": "", "README": "", "._a.jpg": "",
	})
	inputs, left := expanded(dir)
	const want = "left out of folders: 2 HEIC, 1 AVIF, 1 PDF, which vidi does not read (convert them to JPEG or PNG); " +
		"4 whose names do not end like a picture's (.txt .xmp no ending), 1 macOS metadata file (._*)"
	if len(inputs) != 1 || left.String() != want {
		t.Errorf("%v, %q, want %q", inputs, left, want)
	}
	inputs, left = expand(context.Background(), []string{dir}, true, (&app{}).sayLooking)
	if len(inputs) != 5 || left.String() != want || !errors.As(inputs[1].err, new(unreadError)) || !strings.Contains(inputs[1].err.Error(), "HEIC") {
		t.Errorf("with what is not read: %v, %q", inputs, left)
	}
	if n := countToRead(inputs); n != 1 {
		t.Errorf("%d of %v are to be read", n, inputs)
	}
	if _, left := expanded(filepath.Join(dir, "a.jpg")); left.String() != "" {
		t.Errorf("a file: %q", left)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if inputs, _ := expand(ctx, []string{dir}, true, (&app{}).sayLooking); len(inputs) > 1 {
		t.Errorf("the walk goes on after a signal: %v", inputs)
	}
}
