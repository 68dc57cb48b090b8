package model

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folderWith(t *testing.T, files map[string]string) Folder {
	t.Helper()
	dir := t.TempDir()
	for name, source := range files {
		data, err := os.ReadFile(fixture(t, source))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Folder(dir)
}

func TestFolderList(t *testing.T) {
	f := folderWith(t, map[string]string{"a.pt": "tiny.pt", "resnet18.pt": "bare_traced.pt", "broken.pt": "garbage.pt", "notes.txt": "tiny.pt"})
	entries, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
		if (e.Err != nil) != (e.Name == "broken") {
			t.Errorf("%s: %v", e.Name, e.Err)
		}
	}
	if got := strings.Join(names, " "); got != "resnet18 tiny broken" {
		t.Errorf("listed %q", got)
	}
	if entries, err := Folder(filepath.Join(string(f), "none")).List(); err != nil || len(entries) != 0 {
		t.Errorf("a folder that does not exist: %v, %v", entries, err)
	}
}

// Of several files with one name neither order nor luck decides: all but the first are refused, and name it.
func TestFolderRefusesSeveralOfOneName(t *testing.T) {
	entries, err := folderWith(t, map[string]string{"a.pt": "tiny.pt", "b.pt": "tiny.pt", "c.pt": "tiny.pt"}).List()
	if err != nil || len(entries) != 3 || entries[0].Err != nil {
		t.Fatalf("listed %+v, %v", entries, err)
	}
	for _, e := range entries[1:] {
		if e.Err == nil || !strings.Contains(e.Err.Error(), "a.pt") {
			t.Errorf("%s: %v", e.Path, e.Err)
		}
	}
}

// A bare file that sorts first must not start to answer in place of a model that says what it is.
func TestFolderPrefersModelsWithACard(t *testing.T) {
	f := folderWith(t, map[string]string{"aaa.pt": "bare_traced.pt", "zzz.pt": "tiny.pt"})
	if path, err := f.Find(""); err != nil || filepath.Base(path) != "zzz.pt" {
		t.Errorf("the default is %s, %v", path, err)
	}
}

func TestFolderFind(t *testing.T) {
	f := folderWith(t, map[string]string{"a.pt": "tiny.pt", "zebra.pt": "bare_traced.pt", "broken.pt": "garbage.pt"})
	outside := fixture(t, "tiny.pt")
	for name, want := range map[string]string{
		"":      filepath.Join(string(f), "a.pt"), // the first by name
		"tiny":  filepath.Join(string(f), "a.pt"), // the card's name
		"zebra": filepath.Join(string(f), "zebra.pt"),
		"a.pt":  filepath.Join(string(f), "a.pt"), // the file's name in the folder
		outside: outside,
	} {
		path, err := f.Find(name)
		if err != nil || path != want {
			t.Errorf("Find(%q) = %q, %v; want %q", name, path, err, want)
		}
	}
	for name, text := range map[string]string{"lion": "there are: tiny, zebra", "broken": "no known kind", "/no/such.pt": "no such file"} {
		if _, err := f.Find(name); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Find(%q): %v, want %q in it", name, err, text)
		}
	}
	empty := Folder(t.TempDir())
	if _, err := empty.Find(""); !errors.Is(err, ErrNoModel) || !strings.Contains(err.Error(), "make model") {
		t.Errorf("an empty folder: %v", err)
	}
}

// int8 is never taken unasked, whatever its name; asked for, it is found by the model's own name.
func TestFolderAndQuantisedModels(t *testing.T) {
	pair := folderWith(t, map[string]string{"a.pt": "../models/efficientnet-lite0.pt", "b.pt": "../models/efficientnet-lite0-int8.pt", "c.pt": "../models/resnet18-seeded.pt"})
	f := folderWith(t, map[string]string{"a-int8.pt": "../models/efficientnet-lite0-int8.pt", "zzz.pt": "tiny.pt"})
	if path, err := f.Find(""); err != nil || filepath.Base(path) != "zzz.pt" {
		t.Errorf("the default is %s, %v", path, err)
	}
	for name, want := range map[string]string{"": "b.pt", "efficientnet-lite0": "b.pt", "efficientnet-lite0-int8": "b.pt", "resnet18-seeded": "c.pt"} {
		if path, err := pair.FindQuantised(name); err != nil || filepath.Base(path) != want {
			t.Errorf("FindQuantised(%q) = %q, %v; want %s", name, path, err, want)
		}
	}
	if _, err := pair.FindQuantised("lion"); err == nil || !strings.Contains(err.Error(), `"lion" is not in`) {
		t.Errorf("FindQuantised(lion): %v", err)
	}
}
