package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// soon fails a test of something that must not wait: the run is ended after a minute.
func soon(t *testing.T, args ...string) ran {
	t.Helper()
	cmd := command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // its code tells
	if !ended.Stop() {
		t.Fatalf("%v does not end", args)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// What a folder holds besides pictures is counted, and said; what may well be a picture has a result of its own.
func TestClassifySaysWhatItLeavesOut(t *testing.T) {
	espresso := string(read(t, torchtest.File(t, "examples/espresso.png")))
	dir := filetest.Tree(t, t.TempDir(), map[string]string{
		"a.png": espresso, "b.heic": "\x00\x00\x00\x18ftypheic", "c.avif": "", "d.HEIC": "", "e.pdf": "%PDF", "f.txt": "", "._a.png": "\x00\x05\x16\x07",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "g.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
	const says = "vidi: left out of folders: 2 HEIC, 1 AVIF, 1 PDF, which vidi does not read (convert them to JPEG or PNG); "
	r := soon(t, "classify", lite0, dir)
	if r.code != 0 || !strings.Contains(r.stderr, says) || !strings.Contains(r.stderr, "1 pipe or device") || strings.Count(r.stdout, "espresso  ") != 1 {
		t.Errorf("text: %+v", r)
	}
	r = soon(t, "classify", lite0, "--format=jsonl", dir)
	var seen []string
	for line := range strings.Lines(r.stdout) {
		var result api.Result
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatal(err)
		}
		code := ""
		if result.Error != nil {
			code = string(result.Error.Code)
		}
		seen = append(seen, filepath.Base(result.Filename)+":"+code)
	}
	want := []string{"a.png:", "b.heic:unsupported_format", "c.avif:unsupported_format", "d.HEIC:unsupported_format", "e.pdf:unsupported_format"}
	if r.code != 0 || !slices.Equal(seen, want) || !strings.Contains(r.stderr, says) {
		t.Errorf("jsonl: %q, %+v", seen, r)
	}
	// There is one picture, so the list has its answers, as without its neighbours.
	alone := vidi(t, nil, "classify", lite0, "--format=json", filepath.Join(dir, "a.png"))
	r = soon(t, "classify", lite0, "--format=json", dir)
	if r.code != 0 || r.stdout != alone.stdout || !strings.HasPrefix(r.stdout, `[{"label": "espresso"`) || !strings.Contains(r.stderr, says) {
		t.Errorf("json: %+v, want %q", r, alone.stdout)
	}
}

// Nothing that a person names is waited for if it is no regular file.
func TestNoCommandWaitsForAPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.pt")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tiny, picture := "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), torchtest.File(t, "examples/cat.png")
	for _, args := range [][]string{
		{"classify", lite0, pipe}, {"classify", "--model", pipe, picture}, {"classify", lite0, "--rules", pipe, picture},
		{"eval", pipe, lite0, "--out", filepath.Join(dir, "out")}, {"bench", pipe, lite0}, {"rules", "check", pipe, lite0}, {"rules", "names", "--model", pipe},
		{"keys", "list", "--keys", pipe}, {"keys", "new", "shop", "--role", "infer", "--keys", pipe}, {"keys", "rm", "shop", "--keys", pipe},
		{"models", "show", pipe}, {"models", "verify", pipe}, {"models", "add", pipe, "--models", filepath.Join(dir, "models")},
		{"models", "add", torchtest.File(t, "build/fixtures/tiny.pt"), "--labels", pipe, "--models", filepath.Join(dir, "models")},
		{"serve", "--addr=127.0.0.1:0", tiny, "--keys", pipe}, {"serve", "--addr=127.0.0.1:0", tiny, "--rules", pipe}, {"serve", "--addr=127.0.0.1:0", "--model", pipe},
	} {
		if r := soon(t, args...); r.code == 0 || !strings.Contains(r.stdout+r.stderr, ": this is a pipe, not a regular file") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := soon(t, "models", "ls", "--models", dir); r.code != 0 || !strings.Contains(r.stdout, "this is a pipe, not a regular file") {
		t.Errorf("models ls: %+v", r)
	}
}

// The first signal ends a run that waits for standard input, and what is done by then is printed.
func TestTheFirstSignalEndsClassify(t *testing.T) {
	for _, format := range []string{"text", "json", "csv"} {
		cmd := command(t, "classify", lite0, "--format", format, torchtest.File(t, "examples/espresso.png"), "-")
		stdin, err := cmd.StdinPipe() // nobody writes to it
		if err != nil {
			t.Fatal(err)
		}
		stdout, stderr := &lockedBuffer{}, &lockedBuffer{}
		cmd.Stdout, cmd.Stderr = stdout, stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); !strings.Contains(stdout.String(), "espresso"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no first result: %s", stderr)
			}
		}
		signalled := time.Now()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		ended := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stdin.Close()
		if !ended.Stop() || cmd.ProcessState.ExitCode() != 1 || time.Since(signalled) > 5*time.Second || !strings.Contains(stderr.String(), "interrupted: 1 of 2 pictures are done") {
			t.Errorf("%s: %v after %v, %s", format, cmd.ProcessState, time.Since(signalled), stderr)
		}
		if format == "json" && !json.Valid([]byte(stdout.String())) {
			t.Errorf("cut short, and no JSON: %s", stdout)
		}
	}
}

// A signal while the model loads is no different.
func TestASignalWhileTheModelLoads(t *testing.T) {
	cmd := command(t, "classify", lite0, "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	signalled := time.Now()
	_ = cmd.Process.Signal(syscall.SIGINT)
	ended := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	if !ended.Stop() || time.Since(signalled) > 5*time.Second {
		t.Errorf("%v after %v", cmd.ProcessState, time.Since(signalled))
	}
}

// File names are bytes. Those that are no UTF-8 are found, and written so that a terminal and JSON can have them.
func TestClassifyNamesThatAreNoUTF8(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "caf\xe9 \x1b[2J.png")
	if err := os.WriteFile(path, read(t, torchtest.File(t, "examples/espresso.png")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{path, dir, filepath.Join(dir, "*.png")} {
		if r := vidi(t, nil, "classify", lite0, arg); r.code != 0 || !strings.Contains(r.stdout, `caf\xe9 \x1b[2J.png  (600`) {
			t.Errorf("text: %+v", r)
		}
		r := vidi(t, nil, "classify", lite0, "--format=jsonl", arg)
		var result api.Result
		if err := json.Unmarshal([]byte(r.stdout), &result); err != nil || filepath.Base(result.Filename) != "caf\\xe9 \x1b[2J.png" {
			t.Errorf("jsonl: %v, %+v", err, r)
		}
	}
}

func TestVersionAndHelpAreQuick(t *testing.T) {
	t.Setenv("VIDI_TORCHBIND_LIBRARY", torchtest.File(t, "go.mod")) // whoever opens libtorch fails
	for _, args := range [][]string{{"--version"}, {"help"}, {"help", "classify"}, {"classify", "--help"}, {"completion", "bash"}, {"complete", "--", "cl"}} {
		best := time.Hour
		for range 5 {
			cmd := command(t, args...)
			cmd.Stdout = io.Discard
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			best = min(best, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
		if best > 40*time.Millisecond { // twice the 20 ms that are promised: a busy machine's caches are cold
			t.Errorf("%v takes %v of CPU", args, best)
		}
	}
}
