package model

import (
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/service/userfile"
)

// A pipe that nobody writes to would be waited for, for ever.
func TestNoPipeIsOpened(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.pt")
	for _, path := range []string{pipe} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := Folder(dir).List()
	if err != nil || len(entries) != 1 || !errors.Is(entries[0].Err, userfile.ErrNotRegular) {
		t.Errorf("a folder with a pipe: %+v, %v", entries, err)
	}
	for name, open := range map[string]func() error{
		"Inspect":      func() error { _, err := Inspect(pipe); return err },
		"CheckRecords": func() error { return CheckRecords(pipe) },
		"SHA256":       func() error { _, err := SHA256(pipe); return err },
		"ReadLabels":   func() error { _, err := ReadLabels(pipe); return err },
	} {
		if err := open(); !errors.Is(err, userfile.ErrNotRegular) {
			t.Errorf("%s of a pipe: %v", name, err)
		}
	}
	manifest := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(manifest, ManifestFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(manifest).List(); !errors.Is(err, userfile.ErrNotRegular) {
		t.Errorf("a pipe as %s: %v", ManifestFile, err)
	}
}

// Who lists a large folder hears how far it is.
func TestListWatched(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"a.pt": "", "b.pt": "", "c.txt": ""})
	var heard [][2]int
	entries, err := Folder(dir).ListWatched(func(done, total int) { heard = append(heard, [2]int{done, total}) })
	if err != nil || len(entries) != 2 || !slices.Equal(heard, [][2]int{{1, 2}, {2, 2}}) {
		t.Errorf("%v, %v, %v", entries, err, heard)
	}
}
