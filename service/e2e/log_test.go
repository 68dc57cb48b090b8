package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// logPipe is a pipe that a server's log goes into. It is read unless hold was called.
type logPipe struct {
	r, w *os.File
	into io.Writer
	done chan struct{}
}

// startWithPipe starts a server whose standard error is a pipe.
func startWithPipe(t *testing.T, args ...string) (*server, *logPipe) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &logPipe{r: r, w: w}
	t.Cleanup(func() { r.Close(); w.Close() })
	s := startCommand(t, func(cmd *exec.Cmd) {
		p.into, cmd.Stderr = cmd.Stderr, w
		p.read()
	}, args...)
	return s, p
}

func (p *logPipe) read() {
	p.r.SetReadDeadline(time.Time{})
	done := make(chan struct{})
	p.done = done
	go func() {
		defer close(done)
		io.Copy(p.into, p.r)
	}()
}

func (p *logPipe) hold() {
	p.r.SetReadDeadline(time.Now())
	<-p.done
}

// fill leaves no room in the pipe.
func (p *logPipe) fill(t *testing.T) {
	t.Helper()
	w, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", p.w.Fd()), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, size := range []int{4096, 1} { // pages, and what is left of the last one
		for err = nil; err == nil; {
			_ = w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, err = w.Write(bytes.Repeat([]byte("\n"), size))
		}
	}
}

// longest is the longest line of a text.
func longest(text string) (most int) {
	for line := range strings.Lines(text) {
		most = max(most, len(line))
	}
	return most
}

// floods are requests whose texts would fill a log: R2. Each has 9 MB where it can.
func floods() map[string]func(url string) (*http.Request, error) {
	const size, headers = 9_000_000, 6_000 // more headers are refused before there is a request
	of := func(path, contentType, before, unit, after string) func(string) (*http.Request, error) {
		return func(url string) (*http.Request, error) {
			body := before + strings.Repeat(unit, size/len(unit)) + after
			request, err := http.NewRequest(http.MethodPost, url+path, strings.NewReader(body))
			if err == nil {
				request.Header.Set("Content-Type", contentType)
			}
			return request, err
		}
	}
	const form, json, fields = "multipart/form-data; boundary=B", "application/json", "application/x-www-form-urlencoded"
	const disposition = "Content-Disposition: form-data; name="
	return map[string]func(string) (*http.Request, error){
		"a header without a colon":     of("/predict", form, "--B\r\n", "\x01", "\r\n\r\nx\r\n--B--\r\n"),
		"a header of letters":          of("/predict", form, "--B\r\n", "A", "\r\n\r\nx\r\n--B--\r\n"),
		"a field's name":               of("/predict", form, "--B\r\n"+disposition+`"`, "\x01", "\"\r\n\r\nx\r\n--B--\r\n"),
		"many headers":                 of("/predict", form, "--B\r\n", "a: b\r\n", "\r\nx\r\n--B--\r\n"),
		"before the form":              of("/predict", form, "", "\x01\r\n", "--B\r\n"),
		"a parameter's value":          of("/predict", form, "--B\r\n"+disposition+"top_k\r\n\r\n3", "0", "\r\n--B--\r\n"),
		"JSON, control characters":     of("/predict", json, `{"image": "`, "\x01", `"}`),
		"JSON, a number":               of("/predict", json, `{"top_k": `, "1", `}`),
		"JSON, a name":                 of("/predict", json, `{"`, "a", `": 1}`),
		"JSON, a name of escapes":      of("/predict", json, `{"`, `\"`, `": 1}`),
		"JSON, neither":                of("/predict", json, `{"top_k": `, "a", `}`),
		"URL-encoded, a name":          of("/predict", fields, "top_k=3&", "%01", "=3"),
		"a path":                       of("/"+strings.Repeat("%01", headers/3), "", "", "x", ""),
		"a query":                      of("/predict?"+strings.Repeat("a%zz", headers/4), "", "", "x", ""),
		"a part's encoding":            of("/predict", form, "--B\r\n"+disposition+"image\r\nContent-Transfer-Encoding: "+strings.Repeat("\xff", 15_000)+"\r\n\r\n", "x", "\r\n--B--\r\n"),
		"a model that there is not":    of("/predict?model="+strings.Repeat("a", 60), "image/png", "\x89PNG\r\n\x1a\n", "x", ""),
		"a host that there is not":     withHost(of("/", "", "", "x", ""), strings.Repeat("h", headers)),
		"a method that there is not":   withMethod(of("/predict", "", "", "x", ""), strings.Repeat("M", headers)),
		"a Content-Type that is wrong": of("/predict", "multipart/form-data; boundary="+strings.Repeat("B", headers), "", "x", ""),
	}
}

func withHost(made func(string) (*http.Request, error), host string) func(string) (*http.Request, error) {
	return func(url string) (*http.Request, error) {
		request, err := made(url)
		request.Host = host
		return request, err
	}
}

func withMethod(made func(string) (*http.Request, error), method string) func(string) (*http.Request, error) {
	return func(url string) (*http.Request, error) {
		request, err := made(url)
		request.Method = method
		return request, err
	}
}

// R2: whatever a client sends, a request is one line of at most 4 KiB, and no text is built of what it sent that takes more memory than
// the uploads themselves may.
func TestNoRequestFillsTheLog(t *testing.T) {
	const most = 4 << 10
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt")).ready(t)
	send := func(name string, made func(string) (*http.Request, error)) (code int, id string) {
		request, err := made(s.url)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return 0, ""
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		return response.StatusCode, response.Header.Get("X-Request-Id")
	}
	for name, made := range floods() {
		before := len(s.stderr.String())
		code, id := send(name, made)
		if code < 400 || code > 499 || id == "" {
			t.Errorf("%s: %d, with the id %q", name, code, id)
		}
		s.waitFor(t, "its line", func() bool { return strings.Contains(s.stderr.String(), "request_id="+id) })
		if grown := len(s.stderr.String()) - before; grown > most {
			t.Errorf("%s: the log grew by %d bytes", name, grown)
		}
	}
	// The bodies themselves are 28 × 9 MB, which --queue-memory allows; Go's collector leaves them for a while.
	for name, bound := range map[string]int64{"a header without a colon": 150 << 20, "JSON, a name": 600 << 20} {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
		resident := s.memory(t, "VmRSS")
		var all sync.WaitGroup
		for range 28 {
			all.Go(func() {
				if code, _ := send(name, floods()[name]); code != http.StatusBadRequest && code != http.StatusTooManyRequests {
					t.Errorf("%s, 28 at once: %d", name, code)
				}
			})
		}
		all.Wait()
		grown := s.memory(t, "VmHWM") - resident
		t.Logf("%s, 28 at once: memory grew by %d MB", name, grown>>20)
		if grown > bound {
			t.Errorf("%s, 28 at once: memory grew by %d MB", name, grown>>20)
		}
	}
	n := longest(s.stderr.String())
	t.Logf("the longest line has %d bytes", n)
	if n > most {
		t.Errorf("a line of %d bytes", n)
	}
}

// flood has a server write more lines than a pipe and its own queue hold, and returns the longest time that an answer took.
func flood(t *testing.T, s *server) time.Duration {
	t.Helper()
	picture := read(t, torchtest.File(t, "examples/espresso.png"))
	var all sync.WaitGroup
	var slowest atomic.Int64
	for range 8 {
		all.Go(func() {
			client := newClient()
			defer client.CloseIdleConnections()
			for i := range 500 {
				begun := time.Now()
				path, want, body := "/"+strings.Repeat("a", 600), http.StatusNotFound, []byte("x")
				if i%50 == 0 {
					path, want, body = "/predict", http.StatusOK, picture
				}
				response, err := client.Post(s.url+path, "application/octet-stream", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != want {
					t.Errorf("%.20s: %d", path, response.StatusCode)
				}
				for took := int64(time.Since(begun)); ; {
					if old := slowest.Load(); took <= old || slowest.CompareAndSwap(old, took) {
						break
					}
				}
			}
		})
	}
	all.Wait()
	return time.Duration(slowest.Load())
}

const droppedSeries = "vidi_log_lines_dropped_total"

// R3: a log that nobody reads holds up no answer and no stop. The lines that are lost are counted, and told once somebody reads.
func TestALogThatNobodyReads(t *testing.T) {
	s, pipe := startWithPipe(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--admin-addr=127.0.0.1:0")
	s.ready(t)
	admin := "http://" + adminAddress.FindStringSubmatch(s.stderr.String())[1]
	dropped := func() float64 {
		_, text := fetch(t, admin+"/metrics")
		return metric(t, text, droppedSeries)
	}
	if n := dropped(); n != 0 {
		t.Errorf("%v lines were dropped before anything happened", n)
	}
	pipe.hold()
	slowest := flood(t, s)
	n := dropped()
	t.Logf("4,000 requests: the slowest answer took %v, %v lines were dropped", slowest, n)
	if slowest > 10*time.Second { // one that waits for the log never comes
		t.Errorf("an answer took %v", slowest)
	}
	if n == 0 {
		t.Error("no line was dropped: this proves nothing")
	}
	if code := status(s.url + "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
	pipe.read()
	told := fmt.Sprintf("lines=%v", n)
	s.waitFor(t, "a line about the dropped ones", func() bool {
		log := s.stderr.String()
		return strings.Contains(log, "lines of the log were dropped") && strings.Contains(log, told)
	})
	pipe.hold()
	flood(t, s)
	begun := time.Now()
	s.cmd.Process.Signal(syscall.SIGTERM)
	code := s.exitCode(t)
	took := time.Since(begun)
	t.Logf("it ended with %d after %v", code, took)
	if code != 0 || took > 20*time.Second { // --drain-delay and the last look at the log take a second each
		t.Errorf("SIGTERM: code %d after %v", code, took)
	}
}

// R3: a reader of the log that ends does not end the server.
func TestALogWhoseReaderEnds(t *testing.T) {
	s, pipe := startWithPipe(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--admin-addr=127.0.0.1:0")
	s.ready(t)
	admin := "http://" + adminAddress.FindStringSubmatch(s.stderr.String())[1]
	pipe.hold()
	pipe.r.Close()
	for range 20 {
		if code, answer := s.post(t, "image/png", read(t, torchtest.File(t, "examples/espresso.png"))); code != http.StatusOK {
			t.Fatalf("%d %s", code, answer)
		}
	}
	s.waitFor(t, "dropped lines", func() bool {
		_, text := fetch(t, admin+"/metrics")
		return metric(t, text, droppedSeries) >= 20
	})
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("SIGTERM: code %d", code)
	}
}

// R3: what a model prints is a line of the log like any other, a few a second, and nothing of it is on standard output.
func TestAModelThatPrints(t *testing.T) {
	var stdout bytes.Buffer
	path := torchtest.File(t, "build/fixtures/prints.pt")
	sum, err := model.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	s := startCommand(t, func(cmd *exec.Cmd) { cmd.Stdout = &stdout }, "--model="+path, "--trust="+sum).ready(t)
	picture := pngOf(t, 16, 16)
	for range 400 {
		if code, answer := s.post(t, "image/png", picture); code != http.StatusOK {
			t.Fatalf("%d %s", code, answer)
		}
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("code %d", code)
	}
	native := 0
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("not a line of the log: %q", line)
		}
		if strings.Contains(line, `native="{\"report\": {\"outputs\": 7}}"`) {
			native++
		}
	}
	t.Logf("%d lines of what the model printed", native)
	if native == 0 || native > 350 || stdout.Len() > 0 { // a hundred and ten a second
		t.Errorf("%d lines of what the model printed; on standard output: %q", native, stdout.String())
	}
}

// What a model prints on its own is no result.
func TestWhatAModelPrintsIsNoResult(t *testing.T) {
	pictures := slices.Repeat([]string{torchtest.File(t, "examples/espresso.png")}, 3)
	path := torchtest.File(t, "build/fixtures/prints.pt")
	sum, err := model.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	r := vidi(t, nil, append([]string{"classify", "--format=jsonl", "--model", path, "--trust", sum}, pictures...)...)
	if r.code != 0 || strings.Contains(r.stdout, "report") || strings.Count(r.stdout, "\n") != 3 {
		t.Errorf("code %d, standard output: %s", r.code, r.stdout)
	}
	if !strings.Contains(r.stderr, `vidi: libtorch or the model wrote: {"report": {"outputs": 7}}`) {
		t.Errorf("standard error: %s", r.stderr)
	}
}

// Other commands end with whoever reads their output, without a word, as programs in a pipeline do.
func TestAPipelineEndsQuietly(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := command(t, "help", "classify")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	cmd.Run()
	state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !state.Signaled() || state.Signal() != syscall.SIGPIPE || stderr.Len() > 0 {
		t.Errorf("%v; it said %q", cmd.ProcessState, stderr.String())
	}
}

// A crash leaves its report where the log goes, whole, after the lines that came before it.
func TestACrashLeavesItsReport(t *testing.T) {
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt")).ready(t)
	s.post(t, "image/png", []byte("x"))
	s.waitFor(t, "its line", func() bool { return strings.Contains(s.stderr.String(), "path=/predict") })
	s.cmd.Process.Signal(syscall.SIGABRT)
	if code := s.exitCode(t); code != 2 {
		t.Errorf("code %d", code)
	}
	log := s.stderr.String()
	if at := strings.Index(log, "SIGABRT: abort"); at < strings.Index(log, "path=/predict") || !strings.Contains(log[max(at, 0):], "goroutine 1 ") {
		t.Errorf("no report: %s", lastLines(log, 20))
	}
}

// R3: where nobody reads the log a crash ends the process all the same, so that it can be started
// again.
func TestACrashEndsWhereNobodyReads(t *testing.T) {
	for _, mode := range []sandbox.Mode{sandbox.Auto, sandbox.Off} {
		t.Setenv(sandbox.Variable, string(mode))
		s, pipe := startWithPipe(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"))
		s.ready(t)
		pipe.hold()
		pipe.fill(t)
		begun := time.Now()
		s.cmd.Process.Signal(syscall.SIGABRT)
		code := s.exitCode(t)
		t.Logf("%s: it ended with %d after %v", mode, code, time.Since(begun))
		if code != 2 {
			t.Errorf("%s: code %d", mode, code)
		}
	}
}
