package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
)

func get(s *Server, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestReadiness(t *testing.T) {
	s, _ := ready(nil, nil)
	if w := get(s, "/livez"); w.Code != 200 {
		t.Errorf("livez while loading: %d", w.Code)
	}
	wantProblem(t, get(s, "/readyz"), api.NotReady)
	wantProblem(t, get(s, "/api/v1/models"), api.NotReady)
	wantProblem(t, post(s, "/predict", "", strings.NewReader("picture")), api.NotReady)

	s.Ready(only{&fake{}}, 1)
	for _, path := range []string{"/livez", "/readyz", "/"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != 200 {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	wantAlive(t, s)

	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w := get(s, "/livez"); w.Code != 200 {
		t.Errorf("livez while draining: %d", w.Code)
	}
	wantProblem(t, get(s, "/readyz"), api.Draining)
	wantProblem(t, post(s, "/predict", "", strings.NewReader("picture")), api.Draining)
}

func TestModels(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	var got api.ModelsResponse
	if err := json.Unmarshal(get(s, "/api/v1/models").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := (only{}).List(); !reflect.DeepEqual(got.Models, want) || got.Limits != (api.Limits{MaxBody: 20 << 20, MaxImages: 64}) {
		t.Errorf("got %+v", got)
	}
}

// Whatever becomes of a request, its model is released: else no version would ever be closed.
func TestEveryRequestReleasesItsModel(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, nil)
	for name, c := range map[string]struct {
		target, body string
		status       int
	}{
		"good":            {"/predict", "picture", 200},
		"by version":      {"/predict?model=resnet18@1", "picture", 200},
		"by alias":        {"/predict?model=resnet18%40stable", "picture", 200},
		"another version": {"/predict?model=resnet18@2", "picture", 404},
		"no version":      {"/predict?model=resnet18@", "picture", 400},
		"bad":             {"/predict", "bad", 415},
		"panic":           {"/predict", "panic", 500},
	} {
		f.classify = func(_ context.Context, data []byte) error {
			if f.leases.Load() != 1 {
				t.Errorf("%s: %d leases while it is worked on", name, f.leases.Load())
			}
			if string(data) == "panic" {
				panic("by order")
			}
			return nil
		}
		if w := post(s, c.target, "", strings.NewReader(c.body)); w.Code != c.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if n := f.leases.Load(); n != 0 {
			t.Errorf("%s: %d leases are left", name, n)
		}
	}
}

func TestWelcomeShowsACommandThatWorksHere(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	w := get(s, "http://box:5000/")
	if !strings.Contains(w.Body.String(), "curl -F file=@picture.jpg http://box:5000/predict") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

// blocker is a classifier that waits until it is released, or its context ends.
func blocker() (f *fake, begun, release chan struct{}) {
	begun, release = make(chan struct{}, 100), make(chan struct{})
	f = &fake{classify: func(ctx context.Context, _ []byte) error {
		begun <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	return f, begun, release
}

func send(addr, id string) (answer chan string) {
	answer = make(chan string, 1)
	go func() {
		request, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/predict", strings.NewReader("picture"))
		request.Header.Set("X-Request-Id", id)
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		answer <- fmt.Sprint(response.StatusCode, " ", string(body), err)
	}()
	return answer
}

// S1: after a stop began, accepted requests get their answers, others are told to go elsewhere, and so are probes.
func TestShutdownFinishesWhatWasAccepted(t *testing.T) {
	f, begun, release := blocker()
	s, _ := ready(f, nil)
	addr := listen(t, s)
	accepted := send(addr, "accepted")
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	eventually(t, "draining", s.requests.isClosed)

	for _, path := range []string{"/readyz", "/livez"} {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if path == "/readyz" {
			checkProblem(t, response.StatusCode, response.Header, body, api.Draining)
		} else if response.StatusCode != 200 {
			t.Errorf("livez: %d", response.StatusCode)
		}
	}
	if late := <-send(addr, "late"); !strings.HasPrefix(late, "503 ") {
		t.Errorf("a late request: %s", late)
	}
	close(release)
	if got := <-accepted; !strings.HasPrefix(got, "200 ") {
		t.Errorf("the accepted request: %s", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownGivesUpWhenItsContextEnds(t *testing.T) {
	f, begun, _ := blocker()
	s, _ := ready(f, nil)
	addr := listen(t, s)
	answer := send(addr, "slow")
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("Shutdown says that all is done")
	}
	if got := <-answer; strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s", got)
	}
	eventually(t, "the request ends", func() bool { return s.Unfinished() == 0 })
}

func TestShutdownWithoutGraceIsFineWhenIdle(t *testing.T) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 { // both channels are ready: select would choose by chance
		s, _ := ready(&fake{}, nil)
		if err := s.Shutdown(now); err != nil {
			t.Fatal(err)
		}
	}
}

// H15, while it waits for its answer.
func TestClientGoesAwayWhileItWaits(t *testing.T) {
	for _, body := range []string{"picture", `{"images": ["` + b64("picture") + `", "` + b64("picture") + `"]}`} {
		f, begun, _ := blocker()
		s, l := ready(f, nil)
		conn := dial(t, listen(t, s))
		contentType := "image/png"
		if body[0] == '{' {
			contentType = "application/json"
		}
		fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
		<-begun
		conn.Close()
		eventually(t, "the work is cancelled", func() bool { return s.Unfinished() == 0 })
		eventually(t, "it is logged", func() bool { return strings.Contains(l.String(), "status=499") })
		if strings.Contains(l.String(), "level=ERROR") {
			t.Errorf("logged as an error of the server: %s", l)
		}
	}
}

// H20.
func TestDeadline(t *testing.T) {
	f, _, _ := blocker()
	s, _ := ready(f, nil)
	wantProblem(t, post(s, "/predict?deadline_ms=20", "", strings.NewReader("picture")), api.DeadlineExceeded)

	answer := decodeAnswer(t, post(s, "/predict", "application/json", strings.NewReader(`{"deadline_ms": 20, "images": ["`+b64("picture")+`"]}`)))
	if p := answer.Results[0].Error; p == nil || p.Code != api.DeadlineExceeded {
		t.Errorf("in a list: %+v", p)
	}
}

// A deadline beyond the connection's time to write is kept, and so is none.
func TestLongDeadlinesGetTheirAnswers(t *testing.T) {
	slow := &fake{classify: func(context.Context, []byte) error {
		time.Sleep(900 * time.Millisecond)
		return nil
	}}
	for _, deadline := range []time.Duration{0, time.Hour} {
		s, _ := ready(slow, func(c *Config) {
			c.ReadTimeout, c.WriteTimeout, c.Deadline = 500*time.Millisecond, 100*time.Millisecond, deadline
		})
		response, err := http.Post("http://"+listen(t, s)+"/predict", "image/jpeg", strings.NewReader("picture"))
		if err != nil {
			t.Fatalf("a deadline of %v: %v", deadline, err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("a deadline of %v: %s", deadline, response.Status)
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

// A deadline counts from the end of the upload, the server's own and a request's: a slow line takes none of it.
func TestDeadlineDoesNotCountTheUpload(t *testing.T) {
	const deadline, upload = 2 * time.Second, 2200 * time.Millisecond
	for _, form := range []string{"", "multipart/form-data; boundary=b"} {
		for _, query := range []string{"", "?deadline_ms=2000"} {
			t.Run(form+query, func(t *testing.T) {
				t.Parallel()
				f := &fake{classify: func(ctx context.Context, _ []byte) error {
					if end, ok := ctx.Deadline(); !ok || time.Until(end) < deadline/2 || time.Until(end) > deadline {
						t.Errorf("%v are left", time.Until(end))
					}
					return ctx.Err()
				}}
				s, l := ready(f, func(c *Config) {
					if query == "" {
						c.Deadline = deadline
					}
				})
				body := "picture"
				if form != "" {
					body = "--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\npicture\r\n--b--\r\n"
				}
				conn := dial(t, listen(t, s))
				fmt.Fprintf(conn, "POST /predict%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", query, form, len(body), body[:3])
				time.Sleep(upload)
				io.WriteString(conn, body[3:])
				status, _, raw := readAnswer(t, bufio.NewReader(conn))
				var answer api.PredictResponse
				if err := json.Unmarshal(raw, &answer); status != http.StatusOK || err != nil {
					t.Fatalf("%d %s", status, raw)
				}
				if least := classify.Milliseconds(upload - 200*time.Millisecond); answer.Timing.Upload < least || answer.Timing.Total < answer.Timing.Upload {
					t.Errorf("the times are %+v", answer.Timing)
				}
				if !strings.Contains(l.String(), "upload_ms=2") {
					t.Errorf("the log has no upload: %s", l)
				}
			})
		}
	}
}

// The pictures of one request run at the same time, but no more than one beyond the workers.
func TestConcurrencyWithinARequestIsBounded(t *testing.T) {
	f, begun, release := blocker()
	s, _ := ready(f, nil)
	answer := make(chan *httptest.ResponseRecorder)
	go func() {
		answer <- post(s, "/predict", "application/json", strings.NewReader(`{"images": ["YQ==", "YQ==", "YQ==", "YQ==", "YQ==", "YQ=="]}`))
	}()
	for range 3 {
		<-begun
	}
	select {
	case <-begun:
		t.Error("a fourth picture began beside three, with two workers")
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if got := decodeAnswer(t, <-answer); len(got.Results) != 6 {
		t.Errorf("%d results", len(got.Results))
	}
}
