package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/httpapi"
	"github.com/vidi-vision/vidi/service/model"
)

// slowModel is a classifier whose answers wait for release.
type slowModel struct{ begun, release chan struct{} }

func newSlowModel() *slowModel {
	return &slowModel{begun: make(chan struct{}, 10), release: make(chan struct{})}
}

func (m *slowModel) Card() model.Card {
	return model.Card{Name: "slow", Version: "1", Labels: make([]model.Label, 1000)}
}

func (m *slowModel) Cost([]byte, classify.Options) admission.Cost { return admission.Cost{} }

func (m *slowModel) Classify(ctx context.Context, _ []byte, _ classify.Options) (*classify.Result, error) {
	m.begun <- struct{}{}
	select {
	case <-m.release:
		return &classify.Result{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *slowModel) Release() {}

func (m *slowModel) Pick(string, string) (httpapi.Lease, error) { return m, nil }

func (m *slowModel) List() []api.ModelInfo {
	return []api.ModelInfo{{Name: "slow", Version: "1", Precision: "fp32", Default: true}}
}

func (m *slowModel) Stuck() bool { return false }

// there is the model, loaded.
func (m *slowModel) there() *loaded {
	return &loaded{models: m, workers: 2, complete: func(_ context.Context, log *slog.Logger) { log.Info("complete") }}
}

// output is a standard error that can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a `vidi serve` inside the test.
type running struct {
	t       *testing.T
	signals chan os.Signal
	stderr  *output
	done    chan error
}

// startServe runs serve on a port of its own. load may be nil: then m is there at once.
func startServe(t *testing.T, m *slowModel, load func(context.Context, *hosted) (*loaded, error), args ...string) *running {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	var command serveCmd
	parser, err := kong.New(&command, kong.Vars{"models": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"--addr=127.0.0.1:0", "--admin-addr="}, args...)); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, signals: make(chan os.Signal, 2), stderr: &output{}, done: make(chan error, 1)}
	if load == nil {
		load = func(context.Context, *hosted) (*loaded, error) {
			return m.there(), nil
		}
	}
	go func() {
		r.done <- command.serve(&app{ctx: context.Background(), stdout: io.Discard, stderr: r.stderr}, r.signals, load)
	}()
	return r
}

// addr is where it listens, which the log says.
func (r *running) addr() string {
	r.t.Helper()
	r.eventually("listening")
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(r.stderr.String())
}

func (r *running) eventually(logged string) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.stderr.String(), logged); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%q was not logged:\n%s", logged, r.stderr)
		}
	}
}

// wait is the exit code, and the error.
func (r *running) wait() (int, error) {
	r.t.Helper()
	select {
	case err := <-r.done:
		var coded *exitError
		switch {
		case err == nil:
			return 0, nil
		case errors.As(err, &coded):
			return coded.code, err
		}
		return exitSomeFailed, err
	case <-time.After(10 * time.Second):
		r.t.Fatalf("it does not stop:\n%s", r.stderr)
		return 0, nil
	}
}

func (r *running) status(path string) int {
	r.t.Helper()
	return <-request(http.MethodGet, "http://"+r.addr()+path)
}

// request answers with the status, 0 for none.
func request(method, url string) chan int {
	status := make(chan int, 1)
	go func() {
		request, err := http.NewRequest(method, url, strings.NewReader("picture"))
		if err != nil {
			panic(err)
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	return status
}

func TestServeFromLoadingToStop(t *testing.T) {
	m := newSlowModel()
	loads := make(chan struct{})
	r := startServe(t, m, func(context.Context, *hosted) (*loaded, error) {
		<-loads
		return m.there(), nil
	})
	if got := r.status("/livez"); got != 200 {
		t.Errorf("livez while loading: %d", got)
	}
	if got := r.status("/readyz"); got != 503 {
		t.Errorf("readyz while loading: %d", got)
	}
	close(loads)
	r.eventually("msg=ready")
	r.eventually("msg=complete")
	if strings.Contains(r.stderr.String(), "ANYONE") {
		t.Error("a warning for loopback")
	}
	if got := r.status("/readyz"); got != 200 {
		t.Errorf("readyz: %d", got)
	}
	accepted := request(http.MethodPost, "http://"+r.addr()+"/predict")
	<-m.begun
	r.signals <- syscall.SIGTERM
	r.eventually("stopping")
	for deadline := time.Now().Add(10 * time.Second); r.status("/readyz") != 503; {
		if time.Now().After(deadline) {
			t.Fatal("still ready after the signal")
		}
	}
	close(m.release)
	if got := <-accepted; got != 200 {
		t.Errorf("the accepted request: %d", got)
	}
	if code, err := r.wait(); code != 0 || err != nil {
		t.Errorf("exit %d: %v", code, err)
	}
}

// The operators' port is there as long as the server is, and leaves nothing.
func TestOperatorsPortComesAndGoesWithTheServer(t *testing.T) {
	loads := make(chan struct{})
	r := startServe(t, nil, func(context.Context, *hosted) (*loaded, error) {
		<-loads
		return newSlowModel().there(), nil
	}, "--admin-addr=127.0.0.1:0")
	r.eventually("admin=127.0.0.1:")
	admin := "http://" + strings.TrimPrefix(regexp.MustCompile(`admin=\S+`).FindString(r.stderr.String()), "admin=")
	for path, want := range map[string]int{"/metrics": 200, "/stats.json": 200, "/debug/pprof/": 403} {
		if got := <-request(http.MethodGet, admin+path); got != want {
			t.Errorf("%s while the model loads: %d, want %d", path, got, want)
		}
	}
	if got := r.status("/metrics"); got != 404 {
		t.Errorf("/metrics on the public port: %d", got)
	}
	close(loads)
	r.eventually("msg=ready")
	r.signals <- syscall.SIGTERM
	if code, err := r.wait(); code != 0 || err != nil {
		t.Errorf("exit %d: %v", code, err)
	}
	if got := <-request(http.MethodGet, admin+"/metrics"); got != 0 {
		t.Errorf("after the stop: %d", got)
	}
}

func TestASecondSignalForces(t *testing.T) {
	m := newSlowModel()
	r := startServe(t, m, nil)
	r.eventually("msg=ready")
	answer := request(http.MethodPost, "http://"+r.addr()+"/predict")
	<-m.begun
	r.signals <- syscall.SIGINT
	r.signals <- syscall.SIGINT
	if code, err := r.wait(); code != exitSomeFailed || !strings.Contains(fmt.Sprint(err), "requests that were cut off: 1") {
		t.Errorf("exit %d: %v", code, err)
	}
	close(m.release) // in life the process is gone by now
	<-answer
}

func TestGraceEnds(t *testing.T) {
	m := newSlowModel()
	r := startServe(t, m, nil, "--grace=20ms")
	r.eventually("msg=ready")
	answer := request(http.MethodPost, "http://"+r.addr()+"/predict")
	<-m.begun
	r.signals <- syscall.SIGTERM
	if code, err := r.wait(); code != exitSomeFailed || !strings.Contains(fmt.Sprint(err), "--grace 20ms") {
		t.Errorf("exit %d: %v", code, err)
	}
	<-answer
}

func TestASignalWhileLoadingStopsAtOnce(t *testing.T) {
	r := startServe(t, nil, func(ctx context.Context, _ *hosted) (*loaded, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	r.eventually("listening")
	r.signals <- syscall.SIGTERM
	if code, err := r.wait(); code != 0 || err != nil {
		t.Errorf("exit %d: %v", code, err)
	}
}

func TestAMissingModelIsSaidKindly(t *testing.T) {
	r := startServe(t, nil, loadModels)
	code, err := r.wait()
	if code != exitNoStart || !errors.Is(err, model.ErrNoModel) || !strings.Contains(err.Error(), "--model FILE.pt") {
		t.Errorf("exit %d: %v", code, err)
	}
}

func TestATakenPortNamesItsOwner(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	r := startServe(t, newSlowModel(), nil, "--addr", taken.Addr().String())
	code, err := r.wait()
	if code != exitNoStart {
		t.Fatalf("exit %d: %v", code, err)
	}
	want := []string{"port " + port + " is already in use by ", "choose another with --addr 127.0.0.1:"}
	if _, err := os.Stat("/proc/net/tcp"); err == nil {
		want = append(want, fmt.Sprintf("(pid %d)", os.Getpid()))
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}

func TestBindingBeyondLoopbackWarns(t *testing.T) {
	r := startServe(t, newSlowModel(), nil, "--addr=0.0.0.0:0", "--log-format=json")
	r.eventually(`"msg":"ready"`)
	r.signals <- syscall.SIGTERM
	r.wait()
	if !strings.Contains(r.stderr.String(), "ANYONE WHO REACHES THIS PORT") {
		t.Errorf("no warning:\n%s", r.stderr)
	}
	for line := range strings.Lines(r.stderr.String()) {
		var record struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Msg == "" {
			t.Errorf("not JSON: %v: %s", err, line)
		}
	}
}

func TestWrongSettingsAreWrongUse(t *testing.T) {
	stderr := &output{}
	code := run([]string{"serve", "--model=a,,b", "--max-body=huge"}, &app{ctx: context.Background(), stdout: io.Discard, stderr: stderr})
	if code != exitWrongUse {
		t.Errorf("exit %d", code)
	}
	for _, flag := range []string{"--model", "--max-body"} {
		if !strings.Contains(stderr.String(), flag) {
			t.Errorf("%s is not in:\n%s", flag, stderr)
		}
	}
}

// A SIGHUP counts like SIGTERM, but not after another signal: it comes twice where a terminal is closed.
func TestHangupsDoNotCutOff(t *testing.T) {
	const hup, term = syscall.SIGHUP, syscall.SIGTERM
	for _, c := range []struct{ came, counted []os.Signal }{
		{[]os.Signal{hup}, []os.Signal{hup}},
		{[]os.Signal{hup, hup, hup}, []os.Signal{hup}},
		{[]os.Signal{term, hup}, []os.Signal{term}},
		{[]os.Signal{hup, hup, term}, []os.Signal{hup, term}},
		{[]os.Signal{term, os.Interrupt}, []os.Signal{term, os.Interrupt}},
	} {
		came := make(chan os.Signal, 4)
		counted := stops(came)
		for _, sig := range c.came {
			came <- sig
		}
		for len(came) > 0 { // the last one is being looked at
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		var got []os.Signal
		for len(counted) > 0 {
			got = append(got, <-counted)
		}
		if close(came); !slices.Equal(got, c.counted) {
			t.Errorf("%v: %v count, want %v", c.came, got, c.counted)
		}
	}
}
