package pictures

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
)

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The tools in Python and the page have lists of their own, which say the same.
func TestEndingsAreTheSameEverywhere(t *testing.T) {
	list := func(path, pattern string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindSubmatch(data)
		if found == nil {
			t.Fatalf("%s has no list of endings", path)
		}
		return string(found[1])
	}
	quoted := regexp.MustCompile(`"(\.\w+)"`)
	endings := func(path string) (found []string) {
		for _, match := range quoted.FindAllStringSubmatch(list(path, `(?m)^KINDS = [{(](.+)[})]$`), -1) {
			found = append(found, match[1])
		}
		slices.Sort(found)
		return found
	}
	all := slices.Sorted(slices.Values(Endings))
	if got := endings("tools/finetune/class_folders.py"); !slices.Equal(got, all) {
		t.Errorf("finetune takes %v, vidi %v", got, all)
	}
	photographs := slices.DeleteFunc(slices.Clone(all), func(ending string) bool {
		return slices.Contains([]string{".gif", ".bmp", ".tif", ".tiff"}, ending)
	})
	if got := endings("tools/export/calibration.py"); !slices.Equal(got, photographs) {
		t.Errorf("calibration takes %v, want %v", got, photographs)
	}
	page := regexp.MustCompile("(?i)" + list("service/web/page/intake.js", `const readable = /(.+)/i;`))
	for ending, kind := range kinds {
		if page.MatchString("a" + ending) {
			t.Errorf("the page takes %s files, which are %s", ending, kind)
		}
	}
	for _, ending := range all {
		if !page.MatchString("a" + strings.ToUpper(ending)) {
			t.Errorf("the page leaves out %s files", ending)
		}
	}
}

func TestWalk(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"b.JPG": "", "a/c.png": "", "a/.thumbnails/c.png": "", "notes.txt": "", ".hidden/d.gif": ""})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{dir, link, dir + "/"} {
		var found []string
		err := Walk(root, func(path string, err error) error {
			found = append(found, path)
			return err
		})
		want := []string{filepath.Join(root, "a/c.png"), filepath.Join(root, "b.JPG")}
		if err != nil || !slices.Equal(found, want) {
			t.Errorf("below %s: %q, %v; want %q", root, found, err, want)
		}
	}
	hidden := 0
	if err := Walk(filepath.Join(dir, ".hidden"), func(string, error) error { hidden++; return nil }); err != nil || hidden != 1 {
		t.Errorf("below a hidden folder that was named: %d, %v", hidden, err)
	}
	enough := errors.New("enough")
	if err := Walk(dir, func(string, error) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the walk went on: %v", err)
	}
	if err := Walk(filepath.Join(dir, "none"), func(_ string, err error) error { return err }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

func TestWalkAllTellsWhatIsLeftOut(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{
		"a.jpg": "", "._a.jpg": "", "b.HEIC": "", "c.avif": "", "d.pdf": "", "e.txt": "", "f": "", "g.NEF": "", "h.mov": "", ".hidden/i.heic": "", "sub/j.heif": "",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "k.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"l.jpg": "k.jpg", "m.jpg": "sub", "n.jpg": "gone.jpg", "o.jpg": "a.jpg"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var found []string
	err := WalkAll(dir, func(path string, kind Kind, err error) error {
		found = append(found, strings.TrimPrefix(path, dir+"/")+"="+string(kind))
		return err
	})
	want := []string{
		"._a.jpg=" + string(MacOS), "a.jpg=", "b.HEIC=HEIC", "c.avif=AVIF", "d.pdf=PDF", "e.txt=other", "f=other", "g.NEF=camera raw", "h.mov=video",
		"k.jpg=" + string(Special), "l.jpg=" + string(Special), "m.jpg=" + string(FolderLink), "n.jpg=", "o.jpg=", "sub/j.heif=HEIC",
	}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%q, %v; want %q", found, err, want)
	}
}

func TestRead(t *testing.T) {
	if _, err := Read(zeros{}); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("what never ends: %v", err)
	}
	if _, err := ReadFile(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe.jpg")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(pipe); err == nil || !strings.Contains(err.Error(), "a pipe, not a regular file") {
		t.Errorf("a pipe that nobody writes to: %v", err)
	}
	if _, err := ReadFile(os.DevNull); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a device: %v", err)
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none.jpg")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"a.jpg": "content"})
	if data, err := ReadFile(filepath.Join(dir, "a.jpg")); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
}
