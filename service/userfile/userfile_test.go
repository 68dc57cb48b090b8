package userfile

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
)

func TestOpenWaitsForNothing(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"a.txt": "content"})
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{pipe: "a pipe", link: "a pipe", socket: "a socket", os.DevNull: "a device", dir: "a folder"} {
		if _, _, err := Open(path); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), says+", not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if data, err := Read(filepath.Join(dir, "a.txt"), "a list", 7); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := Read(filepath.Join(dir, "a.txt"), "a list", 6); err == nil || !strings.Contains(err.Error(), "larger than a list can be") {
		t.Errorf("a large file: %v", err)
	}
}

func TestText(t *testing.T) {
	for data, want := range map[string]string{"": "", "a\n": "a\n", "\xef\xbb\xbfa": "a", "猫": "猫"} {
		if got, err := Text([]byte(data)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", data, got, err)
		}
	}
	for data, says := range map[string]string{
		"\xff\xfec\x00a\x00t\x00": "UTF-16", "\xfe\xff\x00c\x00a": "UTF-16", "c\x00a\x00t\x00\n\x00": "UTF-16", "caf\xe9": "not text in UTF-8",
		"\xff\xfe\x2b\x73": "UTF-16", // 猫
	} {
		if _, err := Text([]byte(data)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestPrintable(t *testing.T) {
	for name, want := range map[string]string{
		"高山 café.jpg":           "高山 café.jpg",
		"a\x1b[2Jb\nc\u202egpj": `a\x1b[2Jb\nc\u202egpj`,
		"caf\xe9.png":           `caf\xe9.png`,
		"\ufffd.png":            "\ufffd.png", // a name may hold this character
		"it's 'a'.png":          "it's 'a'.png",
	} {
		if got := Printable(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
	if got := Valid("a\nb\xff"); got != "a\nb\\xff" {
		t.Errorf("%q", got)
	}
}

func TestExplain(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"holiday/mountain.jpg": "", "file": ""})
	t.Chdir(dir)
	stat := func(path string) error { _, err := os.Stat(path); return err }
	if err := os.Symlink("gone", "link"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"link":                        "link: there is no such file or folder: this is a link to gone",
		"holiday/montain.jpg":         `holiday/montain.jpg: there is no such file or folder; did you mean "holiday/mountain.jpg"?`,
		"holliday/mountain.jpg":       `holliday/mountain.jpg: there is no such file or folder: holliday is missing; did you mean "holiday"?`,
		"nothing/like/it":             "nothing/like/it: there is no such file or folder: nothing is missing; the current folder is " + dir,
		"fil":                         `fil: there is no such file or folder; did you mean "file"?`,
		"x":                           "x: there is no such file or folder; the current folder is " + dir,
		dir + "/nothing like it":      dir + "/nothing like it: there is no such file or folder",
		"file/x":                      "file/x: a part of this path is a file, not a folder",
		strings.Repeat("x", 5000):     strings.Repeat("x", 5000) + ": the name is too long for a file",
		dir + "/holiday/Mountain.jpg": dir + "/holiday/Mountain.jpg: there is no such file or folder; did you mean \"" + dir + "/holiday/mountain.jpg\"?",
	} {
		err := stat(path)
		if got := Explain(err); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
		wrapped := errors.Join(errors.New("first"), fmt.Errorf("second: %w", err))
		if got := Explain(wrapped); got != "first\nsecond: "+want {
			t.Errorf("wrapped: %s", got)
		}
	}
	if err := Missing("no %s", "rules"); !errors.Is(err, fs.ErrNotExist) || Explain(err) != "no rules" {
		t.Errorf("%v", err)
	}
}
