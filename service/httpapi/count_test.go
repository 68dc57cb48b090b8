package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/telemetry"
)

// metrics is what /metrics would say.
func metrics(t *telemetry.Telemetry) string {
	w := httptest.NewRecorder()
	t.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func wantMetrics(t *testing.T, tm *telemetry.Telemetry, wants ...string) {
	t.Helper()
	text := metrics(tm)
	for _, want := range wants {
		if !strings.Contains(text, "\n"+want+"\n") {
			name, _, _ := strings.Cut(want, "{")
			var have []string
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, name) && !strings.Contains(line, "_bucket") {
					have = append(have, line)
				}
			}
			t.Errorf("there is no %s among\n%s", want, strings.Join(have, ""))
		}
	}
}

func TestEveryAnswerIsCounted(t *testing.T) {
	tm := telemetry.New()
	s, _ := ready(&fake{}, func(c *Config) { c.Telemetry = tm })
	decodeAnswer(t, post(s, "/predict", "", strings.NewReader("picture")))
	post(s, "/predict", "", strings.NewReader("bad"))
	post(s, "/predict?top_k=0", "", strings.NewReader("picture"))
	get(s, "/predict")
	get(s, "/livez")
	get(s, "/nowhere")
	get(s, "/nowhere/else")
	wantMetrics(t, tm,
		`vidi_http_requests_total{code="200",route="/predict"} 1`, `vidi_http_requests_total{code="415",route="/predict"} 1`,
		`vidi_http_requests_total{code="400",route="/predict"} 1`, `vidi_http_requests_total{code="405",route="/predict"} 1`,
		`vidi_http_requests_total{code="200",route="/livez"} 1`, `vidi_http_requests_total{code="404",route="other"} 2`,
		`vidi_http_rejections_total{reason="unsupported_format"} 1`, `vidi_http_rejections_total{reason="not_found"} 2`,
		`vidi_http_rejections_total{reason="bad_parameter"} 1`, `vidi_http_rejections_total{reason="draining"} 0`,
		`vidi_pictures_total{format="jpeg"} 1`, `vidi_picture_failures_total{reason="unsupported_format"} 1`,
		`vidi_stage_duration_seconds_count{stage="decode"} 1`, `vidi_http_requests_in_flight 0`, `vidi_ready 1`,
	)
	if n := tm.Stats(0).InFlight; n != 0 {
		t.Errorf("%d are in flight", n)
	}
	_ = s.Shutdown(context.Background())
	wantMetrics(t, tm, `vidi_ready 0`)
}

// In a batch each picture counts, though the request answers 200.
func TestABatchsPicturesAreCounted(t *testing.T) {
	tm := telemetry.New()
	s, _ := ready(&fake{}, func(c *Config) { c.Telemetry = tm })
	post(s, "/predict", "application/json", strings.NewReader(`{"images": ["cGljdHVyZQ==", "YmFk", "cGljdHVyZQ=="]}`))
	wantMetrics(t, tm, `vidi_http_requests_total{code="200",route="/predict"} 1`, `vidi_pictures_total{format="jpeg"} 2`,
		`vidi_picture_failures_total{reason="unsupported_format"} 1`)
}

// So do those whose turn did not come before the deadline, and those that were no base64.
func TestABatchsPicturesThatAreNotBegunAreCounted(t *testing.T) {
	tm := telemetry.New()
	s, _ := ready(&fake{classify: func(ctx context.Context, _ []byte) error {
		<-ctx.Done()
		return ctx.Err()
	}}, func(c *Config) { c.Telemetry = tm })
	post(s, "/predict", "application/json", strings.NewReader(`{"deadline_ms": 20, "images": [`+
		strings.Repeat(`"cGljdHVyZQ==", `, 9)+`"!"]}`))
	wantMetrics(t, tm, `vidi_http_requests_total{code="200",route="/predict"} 1`,
		`vidi_picture_failures_total{reason="deadline_exceeded"} 9`,
		`vidi_picture_failures_total{reason="bad_base64"} 1`)
}

// A client that left is 499 and no error of the server's; a panic is one.
func TestWhoLeftAndWhatPanickedAreCounted(t *testing.T) {
	tm := telemetry.New()
	s, _ := ready(&fake{classify: func(ctx context.Context, data []byte) error {
		if string(data) == "panic" {
			panic("on purpose")
		}
		if string(data) == "odd" {
			return errors.New("odd")
		}
		<-ctx.Done()
		return ctx.Err()
	}}, func(c *Config) { c.Telemetry = tm })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader("picture")).WithContext(ctx)
	s.ServeHTTP(httptest.NewRecorder(), r)
	post(s, "/predict", "", strings.NewReader("panic"))
	post(s, "/predict", "", strings.NewReader("odd"))
	wantMetrics(t, tm, `vidi_http_requests_total{code="499",route="/predict"} 1`, `vidi_http_rejections_total{reason="client_gone"} 1`,
		`vidi_http_requests_total{code="500",route="/predict"} 2`, `vidi_picture_failures_total{reason="inference_failed"} 1`, `vidi_http_requests_in_flight 0`)
}

// X7: nothing that a client sends becomes a label, whatever it is: path, method, header, parameter, file name.
func TestNoLabelComesFromClients(t *testing.T) {
	tm := telemetry.New()
	s, _ := ready(&fake{}, func(c *Config) { c.Telemetry = tm })
	random := rand.New(rand.NewPCG(7, 7))
	methods := []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW", "PROPFIND"}
	shapes := []string{"/%d", "/predict/%d", "/api/v1/%d", "/web/%d", "/predict?model=%d", "/predict%%2f%d", "/livez/%d", "//%d", "/metrics/%d"}
	once := func(n int) {
		for range n {
			path := fmt.Sprintf(shapes[random.IntN(len(shapes))], random.Int64())
			r := httptest.NewRequest(methods[random.IntN(len(methods))], path, strings.NewReader("picture"))
			r.Header.Set("Content-Type", fmt.Sprintf("x/%d", random.Int64()))
			r.Header.Set("X-Api-Key", fmt.Sprint(random.Int64()))
			s.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	series := func() int { return strings.Count(metrics(tm), "\nvidi_") }
	once(2000) // every combination of route and status that there is
	before := series()
	once(10_000)
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if before > 600 {
		t.Errorf("there are %d series", before)
	}
}

func TestOperatorsAddressesAreNotPublic(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	for _, path := range []string{
		"/metrics", "/stats", "/stats.json", "/debug/pprof/", "/debug/pprof/profile", "/debug/vars", "/admin",
		"/web/stats.html", "/web/stats.js", "/web/stats/stats.js", "/web/../stats", "//metrics", "/%2e%2e/metrics", "/metrics/", "/Metrics",
	} {
		if w := get(s, path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
