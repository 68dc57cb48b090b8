package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/telemetry"
)

// overSocketOf sends requests to the server whose port is at addr.
func overSocketOf(addr string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return DialSocket(ctx, addr) }}}
}

// Row R10: who comes over the socket may do everything, if it is this user or root; another user's process is cut off.
func TestTheSocketKnowsWhoAsks(t *testing.T) {
	const addr = "127.0.0.1:59001" // the name of a socket only
	var lines safeBuffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	l, err := ListenSocket(addr, log)
	if err != nil {
		t.Fatal(err)
	}
	s := New(telemetry.New(), &asked{}, nil, log)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		s.Close(context.Background())
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := DialSocket(context.Background(), addr); !errors.Is(err, ErrNoSocket) {
			t.Errorf("after the end: %v", err)
		}
	}()
	client := overSocketOf(addr)
	for _, path := range guarded {
		response, err := client.Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if _, err := ListenSocket("0.0.0.0:59001", log); err == nil {
		t.Error("two servers have one socket")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can ask as another user")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("there is no curl")
	}
	cmd := exec.Command(curl, "-sS", "--abstract-unix-socket", strings.TrimPrefix(SocketName(addr), "@"), "http://localhost/debug/pprof/cmdline")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "admin") {
		t.Errorf("another user: %v %s", err, out)
	}
	if !strings.Contains(lines.String(), "uid=65534") {
		t.Errorf("the log does not say who it was: %s", lines.String())
	}
}

func TestOneNameForEachPort(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:5001": "@vidi/127.0.0.1:5001", "0.0.0.0:5001": "@vidi/127.0.0.1:5001", "[::]:5001": "@vidi/127.0.0.1:5001",
		":5001": "@vidi/127.0.0.1:5001", "localhost:5001": "@vidi/127.0.0.1:5001", "[::1]:5001": "@vidi/[::1]:5001", "10.0.0.7:5001": "@vidi/10.0.0.7:5001",
	} {
		if got := SocketName(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// otherUser is set in the copy of this test that runs as another user: the address whose names it
// takes.
const otherUser = "VIDI_ADMIN_TEST_ADDRESS"

// takeNames takes the socket's name, and at the next byte the port too, and tells of each.
func takeNames(t *testing.T, addr string) {
	for _, name := range [][2]string{{"unix", SocketName(addr)}, {"tcp", addr}} {
		l, err := net.Listen(name[0], name[1])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		os.Stderr.WriteString("x")
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
}

// Row R10: root asks no socket whose user has not the port too, since anybody can take a free name.
func TestRootBelievesWhoHasThePort(t *testing.T) {
	if addr := os.Getenv(otherUser); addr != "" {
		takeNames(t, addr)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process as another user")
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := port.Addr().String()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRootBelievesWhoHasThePort$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir, cmd.Env = "/", append(os.Environ(), otherUser+"="+addr)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer in.Close()
	step := func() {
		t.Helper()
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	ask := func() error {
		c, err := DialSocket(t.Context(), addr)
		if err == nil {
			c.Close()
		}
		return err
	}
	step()
	if err := ask(); err == nil || !strings.Contains(err.Error(), "user 65534") {
		t.Errorf("the port is root's, the socket another user's: %v", err)
	}
	port.Close()
	if err := ask(); err == nil {
		t.Error("nobody has the port, and the socket is believed")
	}
	_, _ = in.Write([]byte("x"))
	step()
	if err := ask(); err != nil {
		t.Errorf("both are that user's: %v", err)
	}
}
