package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/service/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Classifier that sees a picture in every non-empty text, and remembers what it was asked.
type fake struct {
	classify func(ctx context.Context, data []byte) error // may be nil

	cost admission.Cost

	leases atomic.Int64 // that were not released
	stuck  atomic.Bool

	mu    sync.Mutex
	seen  []string
	asked classify.Options
}

var fakeLabels = []model.Label{
	{Label: "alp", WNID: "n09193705", Names: map[string]string{"en": "alp", "zh": "高山"}},
	{Label: "bubble", Names: map[string]string{"en": "bubble", "zh": "泡泡"}},
	{Label: "cliff"},
}

func (f *fake) Card() model.Card {
	return model.Card{Name: "resnet18", Version: "1", Description: "a fake", Licence: "MIT", Input: model.ImageNetInput(), Labels: fakeLabels}
}

func (f *fake) Cost([]byte, classify.Options) admission.Cost { return f.cost }

func (f *fake) Classify(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error) {
	f.mu.Lock()
	f.seen, f.asked = append(f.seen, string(data)), o
	f.asked.Place = nil // every picture has one of its own
	f.mu.Unlock()
	if f.classify != nil {
		if err := f.classify(ctx, data); err != nil {
			return nil, err
		}
	}
	switch {
	case len(data) == 0:
		return nil, &preprocess.Error{Code: preprocess.EmptyImage, Detail: "the picture is empty"}
	case strings.HasPrefix(string(data), "{"), strings.HasPrefix(string(data), "bad"):
		return nil, &preprocess.Error{Code: preprocess.UnsupportedFormat, Detail: "not a picture"}
	}
	r := &classify.Result{
		Width: 640, Height: 480, Format: "jpeg", Warnings: []preprocess.Warning{preprocess.LowResolution},
		Timing: classify.Timing{Decode: 1234567, Preprocess: time.Millisecond, Inference: 3 * time.Millisecond},
	}
	for i, p := range []float64{0.9230181, 0.05, 0.0269819} {
		if i < o.TopK && p >= o.Threshold {
			r.Predictions = append(r.Predictions, classify.Prediction{ClassID: i, Label: fakeLabels[i], Probability: p})
		}
	}
	if o.Parents {
		r.Parents = []classify.Parent{{Group: model.Group{Group: "mountain", Names: map[string]string{"zh": "山"}}, Probability: 0.95}}
		r.TopGroups = []classify.Parent{{Group: model.Group{Group: "nature", Names: map[string]string{"zh": "自然景物"}}, Probability: 0.97}}
	}
	if string(data) == "tagged" {
		r.Tags = []rules.Tag{{Tag: "holiday", Action: "keep", Because: []rules.Reason{
			{Label: "mountain", Names: map[string]string{"zh": "山"}, Percent: 95, AtLeast: 50, Below: math.NaN()}}}}
	}
	return r, nil
}

// only is the fake as the one model that is served.
type only struct{ *fake }

func (o only) Pick(ref, _ string) (Lease, error) {
	switch ref {
	case "", "resnet18", "resnet18@1", "resnet18@stable":
		o.leases.Add(1)
		return leased(o), nil
	}
	return nil, fmt.Errorf("model %q is not served here; there are: resnet18, resnet18@1", ref)
}

func (o only) List() []api.ModelInfo {
	return []api.ModelInfo{{Name: "resnet18", Version: "1", Aliases: []string{"stable"}, Description: "a fake", Licence: "MIT", Precision: "fp32", Classes: len(fakeLabels),
		Input: api.InputSize{Width: 224, Height: 224}, Default: true}}
}

func (o only) Stuck() bool { return o.stuck.Load() }

type leased struct{ *fake }

func (l leased) Release() { l.leases.Add(-1) }

// pictures is what the fake has seen.
func (f *fake) pictures() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// logs is a log that can be read while it is written.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// ready is a ready server around f, and its log.
func ready(f *fake, change func(*Config)) (*Server, *logs) {
	cfg := Default()
	cfg.Image.Decode = preprocess.Exact
	if change != nil {
		change(&cfg)
	}
	l := &logs{}
	s := New(cfg, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if f != nil {
		s.Ready(only{f}, 2)
	}
	return s, l
}

// listen serves s on a port of its own until the test ends.
func listen(t *testing.T, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// post sends a request without a network.
func post(s *Server, target, contentType string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, target, body)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func decodeAnswer(t *testing.T, w *httptest.ResponseRecorder) api.PredictResponse {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var answer api.PredictResponse
	decoder := json.NewDecoder(w.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// leak matches what no answer may show: file names, addresses, Go's and C++'s own words.
var leak = regexp.MustCompile(`/(tmp|root|home|usr|proc|work|var|etc|lib)\b|\.go\b|\.cc\b|goroutine|torch|0x[0-9a-f]{4}|echo|runtime error|jsontext|multipart:|secret`)

// checkProblem fails unless the answer is a whole problem with the code.
func checkProblem(t *testing.T, status int, header http.Header, body []byte, want api.Code) {
	t.Helper()
	if got := header.Get("Content-Type"); got != api.ProblemType {
		t.Errorf("Content-Type is %q; body %.300s", got, body)
		return
	}
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Errorf("%v in %.300s", err, body)
		return
	}
	if p.Code != want {
		t.Errorf("code is %s, want %s; detail: %s", p.Code, want, p.Detail)
	}
	if p.Status != status || status != statusOf[p.Code] || status < 400 {
		t.Errorf("status is %d, in the body %d, for the code %d", status, p.Status, statusOf[p.Code])
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" || p.RequestID == "" || p.RequestID != header.Get("X-Request-Id") {
		t.Errorf("a field is missing, or the ids differ: %+v, header %v", p, header)
	}
	if found := leak.FindString(p.Detail); found != "" {
		t.Errorf("the detail shows %q: %s", found, p.Detail)
	}
	if header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers are %v", header)
	}
	if retry := header.Get("Retry-After") != ""; retry != (status == 503 || status == 429) {
		t.Errorf("Retry-After is %q for %d", header.Get("Retry-After"), status)
	}
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, want api.Code) {
	t.Helper()
	checkProblem(t, w.Code, w.Header(), w.Body.Bytes(), want)
}

// eventually polls.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}
