package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// hungFolder is a folder whose file system never answers, as NFS does whose server is gone: a mount of FUSE that nobody serves.
func hungFolder(t *testing.T) string {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("a file system that hangs needs /dev/fuse: %v", err)
	}
	folder := t.TempDir()
	if err := syscall.Mount("hung", folder, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device.Fd())); err != nil {
		device.Close()
		t.Skipf("a file system that hangs needs root: %v", err)
	}
	t.Cleanup(func() {
		device.Close() // whoever waits for it gets an error
		syscall.Unmount(folder, syscall.MNT_DETACH)
	})
	return folder
}

// pointTo makes link a symbolic link to another target, in one step.
func pointTo(t *testing.T, link, target string) {
	t.Helper()
	if err := os.Symlink(target, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
}

// A key file and a folder of models on a file system that hangs: the server answers, says so in its log, its metrics and its page,
// starts no more goroutines, takes the file again once it can be read, and stops when it is told to.
func TestFilesOnAFileSystemThatHangs(t *testing.T) {
	hung, dir := hungFolder(t), t.TempDir()
	real, link, models := filepath.Join(dir, "real"), filepath.Join(dir, "keys"), filepath.Join(dir, "models")
	key := newKey(t, real, "one", "--role", "infer")
	pointTo(t, link, real)
	pointTo(t, models, t.TempDir())
	s, admin := startAdmin(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--keys", link, "--models", models, "--watch")
	g := &guard{s: s, admin: admin}
	failing := func() map[telemetry.Watched]float64 {
		var stats telemetry.Stats
		_, answer := fetch(t, admin+"/stats.json")
		if err := json.Unmarshal([]byte(answer), &stats); err != nil {
			t.Fatal(err)
		}
		return stats.Failing
	}
	if now := failing(); len(now) != 3 || now["keys"] != 0 || now["models"] != 0 {
		t.Fatalf("before: %v", now)
	}

	pointTo(t, link, filepath.Join(hung, "keys"))
	pointTo(t, models, hung)
	s.waitFor(t, "a loud log", func() bool {
		log := s.stderr.String()
		return strings.Contains(log, "THE KEY FILE CANNOT BE USED") && strings.Contains(log, "THE FOLDER OF MODELS CANNOT BE READ") &&
			strings.Contains(log, "does not answer")
	})
	before := g.countGoroutines(t)
	time.Sleep(3 * time.Second) // three looks
	if now := g.countGoroutines(t); now > before+2 {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	if now := failing(); now["keys"] < 2 || now["models"] < 2 || now["rules"] != 0 {
		t.Errorf("failing: %v", now)
	}
	_, metrics := fetch(t, admin+"/metrics")
	wantIn(t, "the metrics", metrics, `vidi_key_file_reloads_total{result="failed"} 1`, `vidi_watch_failing_seconds{what="keys"} `)
	if strings.Contains(metrics, `vidi_watch_failing_seconds{what="keys"} 0`+"\n") {
		t.Error("the gauge is 0")
	}
	if got := s.postWith(t, key); got != http.StatusOK {
		t.Errorf("the old key answers %d", got)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.stderr.String())
	}
}
