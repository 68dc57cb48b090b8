package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// R13d: a terminal that is closed ends a server as SIGTERM does, although it and its shell send a signal each.
func TestAHangupDrains(t *testing.T) {
	// Under nohup these tests ignore the signal, and what they start would inherit that.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--drain-delay=2s").ready(t)
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.waitFor(t, "/readyz to say no", func() bool { return status(s.url+"/readyz") == http.StatusServiceUnavailable })
	s.cmd.Process.Signal(syscall.SIGHUP)
	picture := read(t, torchtest.File(t, "examples/espresso.png"))
	if code, answer := s.post(t, "image/png", picture); code != http.StatusOK {
		t.Errorf("a picture while it leaves: %d %s", code, answer)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("code %d", code)
	}
	if log := s.stderr.String(); !strings.Contains(log, "signal=hangup") || !strings.Contains(log, "msg=stopped") {
		t.Errorf("it was not stopped in order: %s", lastLines(log, 5))
	}
}

// Who has SIGHUP ignored, as nohup does, means it.
func TestNohupKeepsServing(t *testing.T) {
	s := startCommand(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--drain-delay=0s").ready(t)
	picture := read(t, torchtest.File(t, "examples/espresso.png"))
	s.cmd.Process.Signal(syscall.SIGHUP)
	for range 20 {
		if code, answer := s.post(t, "image/png", picture); code != http.StatusOK {
			t.Fatalf("%d %s", code, answer)
		}
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 || strings.Contains(s.stderr.String(), "signal=hangup") {
		t.Errorf("code %d: %s", code, lastLines(s.stderr.String(), 5))
	}
}
