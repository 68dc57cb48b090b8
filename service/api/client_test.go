package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// stub is a server that answers with one step after the other, the last one for ever.
type stub struct {
	*httptest.Server
	requests []*http.Request
	bodies   []string
}

type step struct {
	status     int
	retryAfter string
	body       string // "" is a problem with the code of the status
}

func serve(t *testing.T, steps ...step) *stub {
	t.Helper()
	s := &stub{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.bodies = append(s.bodies, string(body))
		s.requests = append(s.requests, r)
		now := steps[min(len(s.requests), len(steps))-1]
		if now.retryAfter != "" {
			w.Header().Set("Retry-After", now.retryAfter)
		}
		contentType := "application/json"
		if now.body == "" {
			code := map[int]Code{429: "queue_full", 503: NotReady, 415: UnsupportedFormat, 504: DeadlineExceeded}[now.status]
			problem, _ := json.Marshal(Problem{Status: now.status, Code: code, Detail: "it is so", RequestID: "R1"})
			now.body, contentType = string(problem), ProblemType
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(now.status)
		io.WriteString(w, now.body)
	}))
	t.Cleanup(s.Close)
	return s
}

// client asks s, and sleeps by remembering how long it would have.
func client(t *testing.T, s *stub, options ...Option) (*Client, *[]time.Duration) {
	t.Helper()
	c, err := New(s.URL, options...)
	if err != nil {
		t.Fatal(err)
	}
	var slept []time.Duration
	c.sleep = func(ctx context.Context, d time.Duration) error {
		slept = append(slept, d)
		return ctx.Err()
	}
	return c, &slept
}

const good = `{"request_id": "R1", "model": "m", "new": 1, "results": [{"index": 0, "predictions": [{"label": "alp", "confidence": 92.3}]}]}`

func TestRetriesUntilTheServerHasTime(t *testing.T) {
	s := serve(t, step{429, "1", ""}, step{503, "2", ""}, step{503, "", ""}, step{200, "", good})
	c, slept := client(t, s)
	answer, err := c.Predict(t.Context(), []byte("picture"), Params{TopK: 2})
	if err != nil || answer.Results[0].Predictions[0].Label != "alp" {
		t.Fatalf("%+v %v", answer, err)
	}
	for i, told := range []time.Duration{time.Second, 2 * time.Second, 0} {
		backoff := (*slept)[i] - told
		if span := firstBackoff << i; backoff < span/2 || backoff >= span {
			t.Errorf("wait %d is %v beyond what the server said", i, backoff)
		}
	}
	for i, body := range s.bodies {
		if body != "picture" || s.requests[i].URL.RawQuery != "top_k=2" {
			t.Errorf("request %d: %s %q", i, s.requests[i].URL, body)
		}
	}
	if len(s.bodies) != 4 {
		t.Errorf("%d requests", len(s.bodies))
	}
}

func TestRetriesEnd(t *testing.T) {
	for name, c := range map[string]struct {
		step    step
		options []Option
		want    int // requests
	}{
		"after four":           {step{429, "1", ""}, nil, 5},
		"after two":            {step{429, "1", ""}, []Option{WithRetries(2, time.Minute)}, 3},
		"never begin":          {step{503, "", ""}, []Option{WithRetries(0, time.Minute)}, 1},
		"too long a wait":      {step{429, "31", ""}, nil, 1},
		"a date far ahead":     {step{503, "Fri, 31 Dec 9999 23:59:59 GMT", ""}, nil, 1},
		"a wait of no sense":   {step{503, "soon", ""}, nil, 5},
		"what would not help":  {step{415, "1", ""}, nil, 1},
		"a deadline of my own": {step{504, "", ""}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.step)
			asked, _ := client(t, s, c.options...)
			_, err := asked.Predict(t.Context(), []byte("picture"), Params{})
			var problem *Problem
			if !errors.As(err, &problem) || problem.Status != c.step.status || problem.RequestID != "R1" {
				t.Errorf("error %v", err)
			}
			if len(s.requests) != c.want {
				t.Errorf("%d requests, want %d", len(s.requests), c.want)
			}
		})
	}
}

// A context that ends before the wait would, is not waited for; one that is cancelled ends the wait.
func TestContextEndsRetries(t *testing.T) {
	s := serve(t, step{429, "5", ""})
	c, slept := client(t, s)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Predict(short, []byte("picture"), Params{})
	var problem *Problem
	if !errors.As(err, &problem) || len(*slept) != 0 {
		t.Errorf("%v after sleeping %v", err, *slept)
	}

	stopped, stop := context.WithCancel(t.Context())
	c.sleep = func(ctx context.Context, d time.Duration) error { stop(); return sleep(ctx, d) }
	_, err = c.Predict(stopped, []byte("picture"), Params{})
	if !errors.Is(err, context.Canceled) || !errors.As(err, &problem) {
		t.Errorf("error %v", err)
	}
}

func TestReadyDoesNotWait(t *testing.T) {
	s := serve(t, step{503, "2", ""}, step{200, "", `{"status": "ready"}`})
	c, _ := client(t, s)
	var problem *Problem
	if err := c.Ready(t.Context()); !errors.As(err, &problem) || problem.Code != NotReady {
		t.Errorf("error %v", err)
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("error %v", err)
	}
}

// What a proxy answers is a problem too, and what is no JSON at all is an error.
func TestAnswersThatAreNotVidis(t *testing.T) {
	s := serve(t, step{502, "", "<h1>Bad Gateway</h1>"}, step{200, "", "<h1>Sign in</h1>"})
	c, _ := client(t, s)
	_, err := c.Models(t.Context())
	var problem *Problem
	if !errors.As(err, &problem) || problem.Code != NotVidi || problem.Status != 502 {
		t.Errorf("error %v", err)
	}
	if _, err = c.Models(t.Context()); err == nil || errors.As(err, &problem) {
		t.Errorf("error %v", err)
	}
	s.Close()
	if err := c.Ready(t.Context()); err == nil {
		t.Error("a server that is gone is ready")
	}
}

func TestWhatIsSent(t *testing.T) {
	s := serve(t, step{200, "", good})
	c, err := New(s.URL+"/tools/vidi/?x=1#y", WithKey("secret"), WithHTTPClient(s.Client()))
	if err != nil {
		t.Fatal(err)
	}
	p := Params{TopK: 5, Threshold: 12.5, Parents: true, Lang: "zh", Model: "m", Decode: "fast", EXIF: new(false), Deadline: 1500 * time.Microsecond}
	if _, err := c.Predict(t.Context(), nil, p); err != nil {
		t.Fatal(err)
	}
	r := s.requests[0]
	const want = "/tools/vidi/api/v1/predict?deadline_ms=2&decode=fast&exif=false&lang=zh&model=m&parents=true&threshold=12.5&top_k=5"
	if r.URL.String() != want || r.Header.Get("Authorization") != "Bearer secret" || r.ContentLength != 0 {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	if _, err := c.PredictReader(t.Context(), strings.NewReader("picture"), Params{}); err != nil || s.bodies[1] != "picture" {
		t.Errorf("%v %q", err, s.bodies[1])
	}
	pictures := []Picture{{"a.jpg", []byte("one")}, {"", []byte("two")}}
	if _, err := c.PredictAll(t.Context(), pictures, Params{}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`name="file"; filename="a.jpg"`, "\r\n\r\none\r\n", `name="file"; filename="picture"`, "\r\n\r\ntwo\r\n"} {
		if !strings.Contains(s.bodies[2], part) {
			t.Errorf("the form has no %q: %s", part, s.bodies[2])
		}
	}
	answer, err := c.PredictAll(t.Context(), pictures[:1], Params{})
	if err != nil || s.bodies[3] != `{"images":["b25l"]}` || answer.Results[0].Filename != "a.jpg" {
		t.Errorf("%v %s", err, s.bodies[3])
	}
	if _, err := c.PredictAll(t.Context(), nil, Params{}); err == nil || len(s.bodies) != 4 {
		t.Errorf("no pictures: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:5000", "localhost:5000", "ftp://x", "http://", "http://a b"} {
		if _, err := New(address); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}
