package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// misbehaviours are what misbehaves.pt (tools/export/hostile_models.py) does when it sees a picture of the nth red, and the answer.
var misbehaviours = []struct{ name, row, want string }{
	{"loop", "R6b", "504 deadline_exceeded"},
	{"loop_numbers", "R6b", "504 deadline_exceeded"},
	{"loop_in_place", "R6b", "504 deadline_exceeded"},
	{"loop_slow", "R6b", "504 deadline_exceeded"},
	{"memory", "R6a", "500 inference_failed"},
	{"memory_at_once", "R6a", "500 inference_failed"},
	{"memory_small", "R6a", "500 inference_failed"},
	{"memory_in_list", "R6a", "500 inference_failed"},
	{"memory_in_list_at_once", "R6a", "500 inference_failed"},
	{"memory_appended", "R6a", "500 inference_failed"},
	{"memory_in_text", "R6a", "500 inference_failed"},
	{"memory_in_dictionary", "R6a", "500 inference_failed"},
	{"more_outputs", "R6c", "500 model_output_invalid"},
	{"fewer_outputs", "R6c", "500 model_output_invalid"},
	{"no_outputs", "R6c", "500 model_output_invalid"},
	{"many_rows", "R6c", "500 model_output_invalid"},
	{"huge_row", "R6c", "500 model_output_invalid"},
	{"nan", "R6c", "500 model_output_invalid"},
	{"infinite", "R6c", "500 model_output_invalid"},
	{"int64", "R6c", "500 model_output_invalid"},
	{"complex", "R6c", "500 model_output_invalid"},
	{"sparse", "R6c", "500 inference_failed"},
	{"meta", "R6c", "500 inference_failed"},
	{"strided", "R6c", "500 inference_failed"},
	{"raises", "R6c", "500 inference_failed"},
	{"recursion", "R6f", "500 inference_failed"},
	{"keeps", "R6e", "500 inference_failed"},      // TestModelsThatKeep: nothing is answered afterwards
	{"one_operator", "", "504 deadline_exceeded"}, // the last: the worker does not come back
}

// redFor is the picture that has the model do the nth of them.
func redFor(n int) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := 0; i < len(m.Pix); i += 4 {
		m.Pix[i], m.Pix[i+3] = uint8(8*(n+1)), 255
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// answerTo is the status and the problem's code.
func answerTo(t *testing.T, s *server, picture []byte, deadline time.Duration) string {
	t.Helper()
	response, err := http.Post(fmt.Sprintf("%s/predict?deadline_ms=%d", s.url, deadline.Milliseconds()), "image/png", bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusOK {
		return "200"
	}
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil || len(body) > 1000 || strings.Contains(string(body), "secret") {
		t.Errorf("no problem, or too much of one: %.300s", body)
	}
	return fmt.Sprint(response.StatusCode, " ", p.Code)
}

// misbehaving are the arguments to serve the model. It uses operators that are refused otherwise: what is trusted is bounded too.
func misbehaving(t *testing.T) []string {
	path := built(t, "misbehaves.pt")
	sum, err := model.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--model", path, "--trust", sum, "--workers", "1", "--threads-alone", "1"}
}

// TestModelsThatMisbehave has a model do with a picture what no trial shows, then answer a good picture: R6a, R6b, R6c and R6f.
func TestModelsThatMisbehave(t *testing.T) {
	// One worker: whatever a picture leaves behind, the next one meets.
	s := start(t, misbehaving(t)...).ready(t)
	good := read(t, torchtest.File(t, "examples/cat.png"))
	patience := 2 * time.Minute // for others keep the machine busy
	if got := answerTo(t, s, good, patience); got != "200" {
		t.Fatal(got)
	}
	idle := s.memory(t, "VmRSS")
	s.resetPeak(t)
	for n, m := range misbehaviours[:len(misbehaviours)-2] {
		deadline := patience
		if strings.HasPrefix(m.name, "loop") {
			deadline = time.Second
		}
		begun := time.Now()
		if got := answerTo(t, s, redFor(n), deadline); got != m.want {
			t.Errorf("%s %s: %s, want %s", m.row, m.name, got, m.want)
		}
		if got := answerTo(t, s, good, patience); got != "200" {
			t.Errorf("%s %s: a good picture afterwards: %s", m.row, m.name, got)
		}
		// It takes a second; the bound is for others that keep the machine busy.
		if took := time.Since(begun); deadline == time.Second && took > 20*time.Second {
			t.Errorf("%s: the worker came back after %v", m.name, took)
		}
	}
	// 256 MiB, and four times what a picture needs, which is nothing here.
	peak := s.memory(t, "VmHWM") - idle
	t.Logf("a model that asks for 1.6 TB takes %d MB", peak>>20)
	if peak > 400<<20 {
		t.Errorf("a misbehaving model took %d MB", peak>>20)
	}
	for line := range strings.Lines(s.stderr.String()) {
		if len(line) > 6000 {
			t.Errorf("a line of %d bytes in the log: %.200s", len(line), line)
		}
	}
}

// TestModelsThatKeep has a model keep 128 MB of each image: R6e. When that is more than one image may
// take it answers none any more, and says why; the server lives.
func TestModelsThatKeep(t *testing.T) {
	s := start(t, misbehaving(t)...).ready(t)
	idle := s.memory(t, "VmRSS")
	keeps := len(misbehaviours) - 2
	answered := 0
	for ; answered < 20; answered++ {
		if answerTo(t, s, redFor(keeps), time.Minute) != "200" {
			break
		}
	}
	if answered < 2 || answered > 5 {
		t.Errorf("%d images were answered", answered)
	}
	for range 3 {
		if got := answerTo(t, s, redFor(keeps), time.Minute); got != misbehaviours[keeps].want {
			t.Errorf("it goes on to keep memory: %s", got)
		}
	}
	if kept := s.memory(t, "VmRSS") - idle; kept > 700<<20 {
		t.Errorf("it keeps %d MB", kept>>20)
	}
	if !strings.Contains(s.stderr.String(), "the model keeps memory from one image to the next") {
		t.Error("the log does not say why")
	}
	if code := status(s.url + "/livez"); code != http.StatusOK {
		t.Errorf("livez: %d", code)
	}
}

// TestModelsThatLoopWhileTheyLoad: nothing could end those but the trial, so the loop alone is reason enough to refuse them.
func TestModelsThatLoopWhileTheyLoad(t *testing.T) {
	loops := torchtest.File(t, "build/fixtures/loops_in_setstate.pt")
	ran := vidi(t, nil, "classify", "-m", loops, torchtest.File(t, "examples/cat.png"))
	if ran.code == 0 || !strings.Contains(ran.stderr, "while (code/__torch__/") || !strings.Contains(ran.stderr, "runs while the file is loaded") {
		t.Errorf("code %d:\n%s", ran.code, ran.stderr)
	}
}

// TestModelsThatTakeMoreThanTheirFiles: 3 KB of file that become 300 MB count as what they are, before the server loads them.
func TestModelsThatTakeMoreThanTheirFiles(t *testing.T) {
	args := []string{"serve", "--addr", "127.0.0.1:0", "--admin-addr", "", "--model", torchtest.File(t, "build/fixtures/folds_300mb.pt")}
	ran := vidi(t, nil, append(args, "--model-memory", "200MiB")...)
	if ran.code == 0 || !strings.Contains(ran.stderr, "all together may take 200 MiB") {
		t.Errorf("code %d:\n%s", ran.code, ran.stderr)
	}
}

// TestStuckWorkers: nothing can end one operator that takes hours. Its client is answered, the server says that it is of no use any more,
// and it ends when it is told to.
func TestStuckWorkers(t *testing.T) {
	s, admin := startAdmin(t, misbehaving(t)...)
	s.ready(t)
	last := len(misbehaviours) - 1
	if got := answerTo(t, s, redFor(last), time.Second); got != misbehaviours[last].want {
		t.Errorf("%s: %s", misbehaviours[last].name, got)
	}
	s.waitFor(t, "readiness to end", func() bool { return status(s.url+"/readyz") == http.StatusServiceUnavailable })
	good := read(t, torchtest.File(t, "examples/cat.png"))
	if got := answerTo(t, s, good, time.Minute); got != "503 not_ready" {
		t.Errorf("a picture that nobody will look at: %s", got)
	}
	if _, body := fetch(t, s.url+"/readyz"); !strings.Contains(body, "hangs in a picture") {
		t.Errorf("/readyz does not say why: %s", body)
	}
	if code := status(s.url + "/livez"); code != http.StatusOK {
		t.Errorf("livez: %d", code)
	}
	_, text := fetch(t, admin+"/metrics")
	for _, line := range []string{`(?m)^vidi_workers_stuck 1$`, `(?m)^vidi_ready 0$`} {
		if !regexp.MustCompile(line).MatchString(text) {
			t.Errorf("the metrics have no %s", line)
		}
	}
	begun := time.Now()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 || time.Since(begun) > 20*time.Second {
		t.Errorf("it ended with %d after %v", code, time.Since(begun))
	}
}
