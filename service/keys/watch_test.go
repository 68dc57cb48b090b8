package keys

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a key file under a watcher whose looks the test makes itself.
type watched struct {
	t              *testing.T
	path           string
	ring           *Ring
	watcher        *watch.File
	log            bytes.Buffer
	loaded, failed int
}

func watchFile(t *testing.T, content string) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "keys.txt")}
	w.write(content)
	ring, err := Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.ring = ring
	w.watcher = newWatcher(ring, slog.New(slog.NewTextHandler(&w.log, nil)), func() { w.loaded++ }, func() { w.failed++ })
	return w
}

func (w *watched) write(content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) opens(key string) bool {
	_, err := w.ring.Check(bearer(key), Infer)
	return err == nil
}

func lineOf(name, rate string) string {
	l := Line{Name: name, Roles: []Role{Infer}, Rate: rate}
	l.Hash("secret-" + name)
	return l.String() + "\n"
}

func TestAChangedFileCounts(t *testing.T) {
	w := watchFile(t, lineOf("one", ""))
	w.write(lineOf("two", ""))
	w.watcher.Look(context.Background())
	w.watcher.Look(context.Background())
	if w.opens("secret-one") || !w.opens("secret-two") || w.loaded != 1 {
		t.Errorf("the change does not count; %d loaded", w.loaded)
	}
}

func TestABrokenFileKeepsTheOldKeysAndIsLoud(t *testing.T) {
	for name, spoil := range map[string]func(w *watched){
		"nonsense": func(w *watched) { w.write("one infer sha256:12") },
		"gone":     func(w *watched) { os.Remove(w.path) },
		"a folder": func(w *watched) { os.Remove(w.path); os.Mkdir(w.path, 0o700) },
		"a pipe":   func(w *watched) { os.Remove(w.path); syscall.Mkfifo(w.path, 0o600) },
		"a device": func(w *watched) { os.Remove(w.path); os.Symlink("/dev/zero", w.path) },
		"a socket": func(w *watched) {
			os.Remove(w.path)
			if l, err := net.Listen("unix", w.path); err == nil {
				t.Cleanup(func() { l.Close() })
			}
		},
		"huge": func(w *watched) { w.write(strings.Repeat("#", maxFile+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := watchFile(t, lineOf("one", ""))
			spoil(w)
			for range 5 {
				w.watcher.Look(context.Background())
			}
			if !w.opens("secret-one") || w.failed != 1 || strings.Count(w.log.String(), "THE KEY FILE CANNOT BE USED") != 1 {
				t.Errorf("failed %d, log:\n%s", w.failed, w.log.String())
			}
			os.Remove(w.path)
			w.write(lineOf("one", "") + lineOf("two", ""))
			w.watcher.Look(context.Background())
			w.watcher.Look(context.Background())
			if !w.opens("secret-two") || w.loaded != 1 {
				t.Errorf("the corrected file does not count:\n%s", w.log.String())
			}
		})
	}
}

// Who withdraws the last key means it.
func TestAnEmptyFileLetsNobodyIn(t *testing.T) {
	w := watchFile(t, lineOf("one", ""))
	w.write("")
	w.watcher.Look(context.Background())
	w.watcher.Look(context.Background())
	if w.opens("secret-one") || !strings.Contains(w.log.String(), "nobody can use this server") {
		t.Errorf("log:\n%s", w.log.String())
	}
}

func TestAReloadRefillsNoRate(t *testing.T) {
	w := watchFile(t, lineOf("one", "1/h")+lineOf("two", "1/h"))
	if !w.opens("secret-one") || !w.opens("secret-two") {
		t.Fatal("the first request")
	}
	w.write("# a comment\n" + lineOf("one", "1/h") + lineOf("two", "2/h"))
	w.watcher.Look(context.Background())
	w.watcher.Look(context.Background())
	if w.opens("secret-one") {
		t.Error("the same line has a new rate")
	}
	if !w.opens("secret-two") {
		t.Error("the changed line has its old rate")
	}
}

func TestWatchWithoutAFile(t *testing.T) {
	(*Ring)(nil).Watch(context.Background(), nil, nil, nil)
}
