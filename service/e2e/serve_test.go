package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// post sends a body to /predict and returns the status and the answer's bytes.
func (s *server) post(t testing.TB, contentType string, body []byte) (int, []byte) {
	t.Helper()
	response, err := http.Post(s.url+"/predict?top_k=5", contentType, bytes.NewReader(body))
	if err != nil {
		t.Errorf("no answer: %v", err)
		return 0, nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("half an answer: %v", err)
	}
	return response.StatusCode, answer
}

func top(t testing.TB, answer []byte) string {
	t.Helper()
	var r api.PredictResponse
	if err := json.Unmarshal(answer, &r); err != nil || len(r.Results) == 0 || len(r.Results[0].Predictions) == 0 {
		t.Errorf("not an answer: %s", answer)
		return ""
	}
	return r.Results[0].Predictions[0].Label
}

func TestServeAnswersInEveryForm(t *testing.T) {
	s := start(t, lite0).ready(t)
	data := read(t, torchtest.File(t, "examples/espresso.png"))
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "cup.png")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(data)
	w.Close()
	encoded := base64.StdEncoding.EncodeToString(data)
	for contentType, body := range map[string][]byte{
		w.FormDataContentType():    form.Bytes(),
		"application/json":         fmt.Appendf(nil, `{"image": "data:image/png;base64,%s"}`, encoded),
		"image/png":                data,
		"application/octet-stream": data,
	} {
		status, answer := s.post(t, contentType, body)
		if status != http.StatusOK || top(t, answer) != "espresso" {
			t.Errorf("%s: %d %.200s", contentType, status, answer)
		}
	}
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ready", "/api/v1/models": `"name":"efficientnet-lite0"`} {
		response, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
	}
	address := strings.TrimPrefix(s.url, "http://")
	if r := vidi(t, nil, "health", "--addr", address); r.code != 0 {
		t.Errorf("health of a ready server: %+v", r)
	}
}

func TestStopWhileTheModelLoads(t *testing.T) {
	s := start(t, lite0) // listens, and loads
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestServeThatCannotStartSaysWhy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := vidi(t, nil, "serve", "--addr", taken.Addr().String())
	if r.code != 3 || !strings.Contains(r.stderr, "already in use") || !strings.Contains(r.stderr, fmt.Sprint(os.Getpid())) {
		t.Errorf("a taken port: %+v", r)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--models", t.TempDir()}, 3, "make model"},
		{[]string{"--model", torchtest.File(t, "build/fixtures/state_dict.pth")}, 3, "torch.jit.trace"},
		{[]string{"--model", torchtest.File(t, "build/fixtures/nan.pt")}, 3, "not finite"},
		{[]string{"--precision", "fp16"}, 2, "use bf16"},
		{[]string{"--model", torchtest.File(t, "build/fixtures/tiny.pt"), "--precision", "int8"}, 3, "not quantised"},
		{[]string{"--max-pixels", "many", "--workers", "-2"}, 2, "--workers"},
	} {
		r := vidi(t, nil, append([]string{"serve", "--addr", "127.0.0.1:0"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
}

func TestServeWarnsWhenAnyoneCanReachIt(t *testing.T) {
	s := start(t, lite0, "--addr", "0.0.0.0:0")
	s.waitFor(t, "a warning", func() bool { return strings.Contains(s.stderr.String(), "ANYONE WHO REACHES THIS PORT") })
}

// A thousand requests of every kind leave the process's threads and descriptors where they were.
func TestThousandRequestsLeaveNothingBehind(t *testing.T) {
	s := start(t, "--model", torchtest.File(t, "build/fixtures/tiny.pt")).ready(t)
	bodies := [][]byte{
		read(t, torchtest.File(t, "examples/flower.jpg")), read(t, torchtest.File(t, "examples/cat.png")), []byte("nothing"),
		read(t, torchtest.File(t, "examples/rocket.jpg"))[:20000],
	}
	send := func(n int) {
		var clients sync.WaitGroup
		for c := range 10 {
			clients.Go(func() {
				for i := range n / 10 {
					kind := (c + i) % len(bodies)
					if status, answer := s.post(t, "application/octet-stream", bodies[kind]); (status == http.StatusOK) != (kind < 2) {
						t.Errorf("kind %d: %d %s", kind, status, answer)
					}
				}
			})
		}
		clients.Wait()
		http.DefaultClient.CloseIdleConnections()
	}
	send(200)
	s.waitFor(t, "closed connections", func() bool { return s.descriptors(t) < 20 })
	descriptors, threads, memory := s.descriptors(t), s.count(t, "task"), s.memory(t, "VmRSS")
	send(1000)
	s.waitFor(t, "closed connections", func() bool { return s.descriptors(t) <= descriptors })
	t.Logf("threads %d → %d, resident %d → %d MB", threads, s.count(t, "task"), memory>>20, s.memory(t, "VmRSS")>>20)
	if now := s.count(t, "task"); now > threads+4 { // Go makes a thread for a call into C that finds none free
		t.Errorf("threads: %d, then %d", threads, now)
	}
}

// One bad picture among several has its own error; the others are answered.
func TestSeveralPicturesWithABadOne(t *testing.T) {
	s := start(t, lite0).ready(t)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for name, data := range map[string][]byte{"bad.jpg": []byte("\xff\xd8\xff bad"), "cup.png": read(t, torchtest.File(t, "examples/espresso.png"))} {
		part, err := w.CreateFormFile("image", filepath.Join("C:\\pictures\\", name))
		if err != nil {
			t.Fatal(err)
		}
		part.Write(data)
	}
	w.Close()
	status, answer := s.post(t, w.FormDataContentType(), form.Bytes())
	var r api.PredictResponse
	if err := json.Unmarshal(answer, &r); err != nil || status != http.StatusOK || len(r.Results) != 2 {
		t.Fatalf("%d %s", status, answer)
	}
	for _, result := range r.Results {
		switch {
		case strings.HasSuffix(result.Filename, "bad.jpg"):
			if result.Error == nil || result.Error.Code != api.CorruptImage {
				t.Errorf("the bad one: %+v", result)
			}
		case result.Error != nil || result.Predictions[0].Label != "espresso":
			t.Errorf("the good one: %+v", result)
		}
	}
}
