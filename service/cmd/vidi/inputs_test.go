package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
		for _, in := range expand([]string{arg}) {
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
	if twice := expand([]string{"-", "-"}); len(twice) != 2 || twice[0].err != nil || twice[1].err == nil {
		t.Errorf("standard input, twice: %+v", twice)
	}
	// A bracket in a file's name does not make it a pattern.
	if err := os.Remove(filepath.Join(dir, "a.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err := (input{name: filepath.Join(dir, "day [1]", "gone.jpg")}).read(nil); err == nil || err.Error() != "there is no such file or folder" {
		t.Errorf("a dangling link: %v", err)
	}
}
