package model

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What lies beside the program is there in every folder, an empty or missing one too, unless that has its own by the name.
func TestFolderHasWhatIsBuiltIn(t *testing.T) {
	data, err := os.ReadFile(fixture(t, "tiny.pt")) // its card's name is tiny
	if err != nil {
		t.Fatal(err)
	}
	beside := string(BuiltIn()) // in the temporary folder that `go test` makes for this test program
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(beside) })
	builtIn := filepath.Join(beside, "given.pt")
	if err := os.WriteFile(builtIn, data, 0o644); err != nil {
		t.Fatal(err)
	}

	expect := func(f Folder, name, want string) {
		t.Helper()
		if path, err := f.Find(name); err != nil || path != want {
			t.Errorf("%q in %s: %q, %v; want %q", name, f, path, err, want)
		}
	}
	expect(Folder(filepath.Join(t.TempDir(), "none")), "", builtIn)
	expect(BuiltIn(), "tiny", builtIn)
	other := folderWith(t, map[string]string{"bare.pt": "bare_traced.pt"})
	expect(other, "tiny", builtIn)
	expect(other, "bare", filepath.Join(string(other), "bare.pt"))
	same := folderWith(t, map[string]string{"mine.pt": "tiny.pt"})
	expect(same, "tiny", filepath.Join(string(same), "mine.pt"))
	if entries, err := same.List(); err != nil || len(entries) != 1 || entries[0].BuiltIn {
		t.Errorf("its own and the one built in: %+v, %v", entries, err)
	}
	broken := folderWith(t, map[string]string{"tiny.pt": "garbage.pt"})
	if path, err := broken.Find("tiny"); err == nil { // whoever put it there does not want another in its stead
		t.Errorf("instead of a broken one of the same name: %s", path)
	}

	// A model of the folder's own takes its place, and leaves the file alone.
	own := Folder(t.TempDir())
	tiny, err := Inspect(builtIn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := place(t, own, tiny.Card.Name, tiny.Card.Version, false); !errors.Is(err, ErrExists) {
		t.Errorf("the same once more: %v", err)
	}
	path, err := place(t, own, tiny.Card.Name, tiny.Card.Version, true)
	if err != nil || !own.Has(path) {
		t.Errorf("placed at %s, %v", path, err)
	}
	expect(own, "tiny", path)
	if now, err := os.ReadFile(builtIn); err != nil || !bytes.Equal(now, data) {
		t.Errorf("the file that is built in has changed: %v", err)
	}
}
