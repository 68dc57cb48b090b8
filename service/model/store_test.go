package model

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// place puts tiny.pt into the folder under another name and version.
func place(t *testing.T, f Folder, name, version string, replace bool) (string, error) {
	t.Helper()
	file, err := Inspect(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	card := *file.Card
	card.Name, card.Version = name, version
	draft, err := f.Draft(file.Path, card)
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	path, _, err := draft.Place(replace)
	return path, err
}

func mustPlace(t *testing.T, f Folder, name, version string) string {
	t.Helper()
	path, err := place(t, f, name, version, false)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSeveralVersionsOfAModel(t *testing.T) {
	f := Folder(filepath.Join(t.TempDir(), "not", "yet", "there"))
	for _, version := range []string{"1.9", "1.10", "1.2"} {
		mustPlace(t, f, "pets", version)
	}
	mustPlace(t, f, "aaa", "1")
	for ref, want := range map[string]string{
		"pets": "pets-1.10.pt", "pets@1.9": "pets-1.9.pt", "aaa": "aaa-1.pt", "pets-1.2.pt": "pets-1.2.pt",
		"": "pets-1.10.pt", // the first that came stays the default
	} {
		if path, err := f.Find(ref); err != nil || filepath.Base(path) != want {
			t.Errorf("Find(%q) = %q, %v; want %s", ref, path, err, want)
		}
	}
	if _, err := f.Find("pets@3"); !errors.Is(err, ErrNoModel) || !strings.Contains(err.Error(), "there are: 1.10, 1.9, 1.2") {
		t.Errorf("pets@3: %v", err)
	}
	if _, err := place(t, f, "pets", "1.9", false); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "--version") {
		t.Errorf("the same once more: %v", err)
	}
	if path, err := place(t, f, "pets", "1.9", true); err != nil || filepath.Base(path) != "pets-1.9.pt" {
		t.Errorf("replaced: %q, %v", path, err)
	}
	if err := f.CheckFree("pets", "1.9"); !errors.Is(err, ErrExists) {
		t.Errorf("CheckFree: %v", err)
	}
	// Another model whose file would have the same name.
	if path := mustPlace(t, f, "pets-1.9", "x"); filepath.Base(path) != "pets-1.9-x.pt" {
		t.Errorf("placed at %s", path)
	}
	mustPlace(t, f, "a", "b-c")
	if path := mustPlace(t, f, "a-b", "c"); !strings.HasPrefix(filepath.Base(path), "a-b-c-") {
		t.Errorf("two models would be one file: %s", path)
	}
}

func TestDefaultAndRemove(t *testing.T) {
	f := Folder(t.TempDir())
	for _, ref := range [][2]string{{"cats", "1"}, {"dogs", "1"}, {"dogs", "2"}} {
		mustPlace(t, f, ref[0], ref[1])
	}
	check := func(want string) {
		t.Helper()
		path, err := f.Find("")
		if err != nil || filepath.Base(path) != want {
			t.Errorf("the default is %s, %v; want %s", path, err, want)
		}
	}
	for _, c := range [][2]string{{"dogs", "dogs-2.pt"}, {"dogs@1", "dogs-1.pt"}, {"cats", "cats-1.pt"}, {"dogs@1", "dogs-1.pt"}} {
		if _, err := f.SetDefault(c[0]); err != nil {
			t.Fatal(err)
		}
		check(c[1])
	}
	if _, err := f.SetDefault("lion"); !errors.Is(err, ErrNoModel) {
		t.Errorf("lion: %v", err)
	}
	check("dogs-1.pt")
	if _, err := f.Remove("dogs", false); err == nil || !strings.Contains(err.Error(), "dogs@1, dogs@2") && !strings.Contains(err.Error(), "dogs@2, dogs@1") {
		t.Errorf("which dogs? %v", err)
	}
	if removed, err := f.Remove("dogs@1", false); err != nil || len(removed) != 1 || removed[0].Version != "1" {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if _, err := f.Remove("", true); err == nil {
		t.Error("nothing was named, and something deleted")
	}
	check("cats-1.pt") // its default is gone, so the folder's own order counts
	if removed, err := f.Remove("dogs", true); err != nil || len(removed) != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	m, err := f.Manifest()
	if err != nil || len(m.SHA256) != 1 || m.SHA256["cats-1.pt"] == "" || m.Default != "" {
		t.Errorf("the manifest is %+v, %v", m, err)
	}
	if _, err := f.Remove("dogs", true); !errors.Is(err, ErrNoModel) {
		t.Errorf("removed twice: %v", err)
	}
}

// Many processes may add at the same time; none of their entries is lost, and of two with one name and version one wins.
func TestPlacesAtTheSameTime(t *testing.T) {
	f := Folder(t.TempDir())
	var all sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for i := range 12 {
		all.Go(func() {
			_, err := place(t, f, "m", string(rune('a'+i%6)), false)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrExists) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	m, err := f.Manifest()
	entries, _ := f.List()
	if err != nil || refused != 6 || len(m.SHA256) != 6 || len(entries) != 6 {
		t.Errorf("%d refused, %d sums, %d models, %v", refused, len(m.SHA256), len(entries), err)
	}
	if left, _ := filepath.Glob(filepath.Join(string(f), draftPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestChecksum(t *testing.T) {
	f := Folder(t.TempDir())
	path := mustPlace(t, f, "pets", "1")
	sum, err := SHA256(path)
	if err != nil || CheckSum(path, sum) != nil {
		t.Fatalf("%v, %v", err, CheckSum(path, sum))
	}
	var changed *ChangedError
	if err := CheckSum(path, strings.Repeat("0", 64)); !errors.As(err, &changed) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("changed: %v", err)
	}
	copied := filepath.Join(string(f), "copied.pt")
	if err := os.Rename(path, copied); err != nil {
		t.Fatal(err)
	}
	if err := CheckSum(copied, sum); err != nil {
		t.Errorf("a file that was not added: %v", err)
	}
	if err := os.WriteFile(filepath.Join(string(f), ManifestFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.List(); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("a damaged manifest: %v", err)
	}
}

// The card is put in, or replaced; every other record keeps its bytes and lies where weights can be mapped from.
func TestWriteWithCard(t *testing.T) {
	for _, name := range []string{"tiny.pt", "bare_traced.pt", "../models/efficientnet-lite0.pt"} {
		from := fixture(t, name)
		to := filepath.Join(t.TempDir(), "out.pt")
		card := goodCard()
		card.Description = "<b> & 猫"
		if err := writeFile(to, func(w io.Writer) error { return WriteWithCard(w, from, card) }); err != nil {
			t.Fatal(err)
		}
		file, err := Inspect(to)
		if err != nil || file.Card == nil || file.Card.Description != card.Description {
			t.Fatalf("%s: %+v, %v", name, file, err)
		}
		if err := CheckRecords(to); err != nil {
			t.Error(err)
		}
		before, after := records(t, from), records(t, to)
		delete(before, "extra/"+CardFile)
		delete(after, "extra/"+CardFile)
		if len(before) != len(after) {
			t.Errorf("%s: %d records became %d", name, len(before), len(after))
		}
		for record, data := range before {
			if !bytes.Equal(data, after[record]) {
				t.Errorf("%s: record %s has changed", name, record)
			}
		}
		reader, err := zip.OpenReader(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range reader.File {
			if offset, err := f.DataOffset(); err != nil || offset%alignment != 0 {
				t.Errorf("%s: %s lies at %d, %v", name, f.Name, offset, err)
			}
		}
		reader.Close()
	}
	bad := goodCard()
	bad.Name = ""
	if err := WriteWithCard(io.Discard, fixture(t, "tiny.pt"), bad); err == nil {
		t.Error("an invalid card was written")
	}
}

func records(t *testing.T, path string) map[string][]byte {
	t.Helper()
	reader, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	all := map[string][]byte{}
	for _, f := range reader.File {
		data, err := readEntry(f, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		_, below, _ := strings.Cut(f.Name, "/")
		all[below] = data
	}
	return all
}

func TestCompareVersions(t *testing.T) {
	order := []string{"", "0", "1", "1.2", "1.9", "1.10", "1.10-rc", "2", "10", "2024-01-02", "v1", "v2", "v10"}
	for i := range order {
		for j := range order {
			if got := CompareVersions(order[i], order[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("CompareVersions(%q, %q) = %d", order[i], order[j], got)
			}
		}
	}
}

// The choice of a name outlives one of its versions, and not the last.
func TestDefaultOutlivesAVersion(t *testing.T) {
	f := Folder(t.TempDir())
	for _, ref := range [][2]string{{"cats", "1"}, {"dogs", "1"}, {"dogs", "2"}} {
		mustPlace(t, f, ref[0], ref[1])
	}
	if _, err := f.SetDefault("dogs"); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{"dogs@2", "dogs-1.pt"}, {"dogs", "cats-1.pt"}} {
		if _, err := f.Remove(c[0], false); err != nil {
			t.Fatal(err)
		}
		if path, err := f.Find(""); err != nil || filepath.Base(path) != c[1] {
			t.Errorf("without %s the default is %s, %v", c[0], path, err)
		}
	}
}
