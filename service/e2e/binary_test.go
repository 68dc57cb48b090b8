package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// ran is one run of the binary.
type ran struct {
	stdout, stderr string
	code           int
}

// vidi runs the real binary. Models come from build/models unless the arguments say otherwise.
func vidi(t *testing.T, stdin []byte, args ...string) ran {
	t.Helper()
	cmd := command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(torchtest.File(t, "bin/vidi"), args...)
	models := filepath.Dir(torchtest.File(t, "build/models/efficientnet-lite0.pt"))
	// What these programs remember of models they tried is not the user's.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), forTheTests), "VIDI_ADMIN_ADDR=", "VIDI_MODELS="+models, "XDG_CACHE_HOME="+filepath.Join(filepath.Dir(models), "cache"))
	return cmd
}

// forTheTests reports whether a variable of the environment is one that the tests read, and the program does not know.
func forTheTests(variable string) bool {
	own, ours := strings.CutPrefix(variable, "VIDI_")
	name, _, _ := strings.Cut(own, "=")
	return ours && slices.Contains([]string{
		"SHARED", "ROWS", "SCREENSHOTS", "HOSTILE", "UPDATE", "SWAPS", "STOPS", "MUTANTS", "NETWORKS", "ZOO_FILE", "ACCURACY_FILE", "JPEG",
		"IDIOMS", "IDIOMS_FOLDER", "IDIOMS_AFTER", "OVERHEAD_CLIENT", "BENCH_PICTURES", "CONTAINER_BUILD", "CHECK_INSIDE", "VERSION", "COMMIT",
	}, name)
}

// server is a running `vidi serve`.
type server struct {
	cmd    *exec.Cmd
	url    string
	stderr *lockedBuffer
	exited chan error // gets the one result of Wait
}

// lockedBuffer is written by the process's output goroutine while tests read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var listening = regexp.MustCompile(`http://[0-9.:\[\]]+`)

// start runs `vidi serve` on a free port and waits until it listens, which is before it is ready.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	return startCommand(t, func(*exec.Cmd) {}, args...)
}

// startCommand is start, with a command that is changed before it runs.
func startCommand(t testing.TB, change func(*exec.Cmd), args ...string) *server {
	t.Helper()
	s := &server{cmd: command(t, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...), stderr: &lockedBuffer{}, exited: make(chan error, 1)}
	s.cmd.Stderr = s.stderr
	change(s.cmd)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.cmd.Wait(); close(s.exited) }()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.exited
		if t.Failed() {
			t.Logf("the server said:\n%s", lastLines(s.stderr.String(), 30))
		}
	})
	s.waitFor(t, "an address", func() bool { s.url = listening.FindString(s.stderr.String()); return s.url != "" })
	return s
}

// ready waits until the server answers pictures.
func (s *server) ready(t testing.TB) *server {
	t.Helper()
	s.waitFor(t, "ready", func() bool { return status(s.url+"/readyz") == http.StatusOK })
	return s
}

func (s *server) waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if s.gone() || time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain; the server said:\n%s", what, s.stderr)
		}
	}
}

func (s *server) gone() bool {
	return s.cmd.Process.Signal(syscall.Signal(0)) != nil
}

// exitCode waits for the server to end by itself.
func (s *server) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		t.Fatalf("the server does not end; it said:\n%s", s.stderr)
		return -1
	}
}

// memory is a line of the process's status in bytes: VmRSS, VmHWM for the peak, or RssAnon for what is the process's own: libtorch's code
// comes and goes with what was needed lately (tb_memory_trim).
func (s *server) memory(t *testing.T, line string) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(data)
	if match == nil {
		t.Fatalf("no %s in /proc/PID/status", line)
	}
	kb, _ := strconv.ParseInt(string(match[1]), 10, 64)
	return kb << 10
}

// count is how many entries a folder of the process in /proc has: fd or task.
func (s *server) count(t *testing.T, folder string) int {
	t.Helper()
	return len(s.entries(t, folder))
}

// descriptors is how many the process has open, but for those of C's threads that wait for work: these become as many as there are cores.
func (s *server) descriptors(t *testing.T) (count int) {
	t.Helper()
	for _, path := range s.entries(t, "fd") {
		if to, err := os.Readlink(path); err == nil && to != "anon_inode:[eventfd]" { // else it was closed meanwhile
			count++
		}
	}
	return count
}

// entries are the paths in a folder of the process in /proc.
func (s *server) entries(t *testing.T, folder string) (paths []string) {
	t.Helper()
	folder = fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, folder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		paths = append(paths, filepath.Join(folder, entry.Name()))
	}
	return paths
}

func status(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
