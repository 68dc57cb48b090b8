package telemetry

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// atTime is a telemetry whose clock the test moves.
func atTime(t *testing.T) (*Telemetry, *time.Time) {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	tm := New()
	tm.begun = now
	tm.seconds.clock = func() time.Time { return now }
	return tm, &now
}

func predict(t *Telemetry, status int, took time.Duration) {
	t.Begin()
	t.End(Ended{Route: "/predict", Status: status, Took: took, Prediction: true})
}

// The sketch's quantiles are within 9 % of the exact ones, whatever the times are like.
func TestQuantilesAreNear(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, spread := range []float64{0.1, 1, 3} {
		var l latencies
		var exact []float64
		for range 10_000 {
			ms := 20 * math.Exp(spread*random.NormFloat64())
			ms = min(max(ms, 0.11), 90_000)
			exact = append(exact, ms)
			l.add(time.Duration(ms * float64(time.Millisecond)))
		}
		slices.Sort(exact)
		for _, q := range []float64{0.5, 0.95, 0.99} {
			want := exact[int(q*float64(len(exact)))-1]
			if got := *l.quantile(q); math.Abs(got/want-1) > 0.1 {
				t.Errorf("spread %v, %v: %.2f ms, exact %.2f", spread, q, got, want)
			}
		}
	}
	var extreme latencies
	extreme.add(0)
	extreme.add(-time.Second)
	extreme.add(time.Hour)
	if extreme.count() != 3 || extreme.quantile(0.5) == nil || (&latencies{}).quantile(0.5) != nil {
		t.Error("extremes are lost, or nothing has a quantile")
	}
}

func TestStatsOfTheLastMinutes(t *testing.T) {
	tm, now := atTime(t)
	for second := range 20 {
		for range 5 {
			predict(tm, 200, 40*time.Millisecond)
		}
		predict(tm, 422, time.Millisecond)
		if second == 3 {
			predict(tm, 500, 2*time.Second)
		}
		tm.Picture("m", "1", "jpeg", classify.Timing{Decode: 4 * time.Millisecond, Inference: 30 * time.Millisecond})
		tm.seconds.sampled(sample{inFlight: 2, waiting: 1, busy: 2, resident: 1 << 20})
		*now = now.Add(time.Second)
	}
	s := tm.Stats(0)
	if len(s.Points) != 20 || s.LastMinute.Requests != 121 || s.LastMinute.Refused != 20 || s.LastMinute.Failed != 1 || s.LastMinute.PerSecond != 6.05 {
		t.Errorf("%d points, %+v", len(s.Points), s.LastMinute)
	}
	if p50 := *s.LastMinute.P50; p50 < 36 || p50 > 44 {
		t.Errorf("p50 is %v", p50)
	}
	if m := s.LastMinute.Stages; m == nil || m.Decode != 4 || m.Inference != 30 || m.Queue != 0 {
		t.Errorf("stages are %+v", m)
	}
	if p := s.Points[19]; p.Time != now.Unix()-1 || p.Answered != 5 || p.Refused != 1 || p.Queue != 1 || p.Resident != 1<<20 || p.P99 == nil {
		t.Errorf("the last point is %+v", p)
	}
	if later := tm.Stats(s.Points[17].Time).Points; len(later) != 2 || later[0].Time != s.Points[18].Time {
		t.Errorf("what is new: %+v", later)
	}
	*now = now.Add(time.Minute)
	if quiet := tm.Stats(0); quiet.LastMinute.Requests != 0 || quiet.LastMinute.P50 != nil || len(quiet.Points) != 80 {
		t.Errorf("a minute later: %d points, %+v", len(quiet.Points), quiet.LastMinute)
	}
	*now = now.Add(24 * time.Hour)
	predict(tm, 200, time.Millisecond)
	if old := tm.Stats(0); len(old.Points) != kept || slices.ContainsFunc(old.Points, func(p Point) bool { return p.Answered > 0 }) {
		t.Errorf("a day later, yesterday is still there: %d points", len(old.Points))
	}
}

// A slow client's upload is told apart: it changes neither the times to answer nor counts as a fault of the server's.
func TestSlowUploadsAreKeptApart(t *testing.T) {
	tm, now := atTime(t)
	upload := func(e Ended) {
		e.Route, e.Uploaded, e.Prediction = "/predict", true, true
		tm.Begin()
		tm.End(e)
	}
	for range 50 {
		upload(Ended{Status: 200, Took: 41 * time.Millisecond, Upload: time.Millisecond})
		upload(Ended{Status: 200, Took: 57040 * time.Millisecond, Upload: 57 * time.Second})
	}
	upload(Ended{Status: 408, Reason: "request_timeout", Took: 2 * time.Minute, Upload: 2 * time.Minute, Cut: true})
	*now = now.Add(time.Second)
	s := tm.Stats(0)
	for name, m := range map[string]struct{ p50, p99, upload *float64 }{
		"minute": {s.LastMinute.P50, s.LastMinute.P99, s.LastMinute.UploadP99}, "point": {s.Points[0].P50, s.Points[0].P99, s.Points[0].UploadP99}} {
		if *m.p50 < 36 || *m.p99 > 44 || *m.upload < 50_000 {
			t.Errorf("%s: p50 %v, p99 %v, upload %v", name, *m.p50, *m.p99, *m.upload)
		}
	}
	if s.LastMinute.Failed != 0 || s.LastMinute.Refused != 1 || s.LastMinute.Requests != 101 {
		t.Errorf("%+v", s.LastMinute)
	}
	w := httptest.NewRecorder()
	tm.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`vidi_http_answer_duration_seconds_bucket{route="/predict",le="0.05"} 100`, `vidi_http_answer_duration_seconds_count{route="/predict"} 100`,
		`vidi_http_upload_duration_seconds_bucket{route="/predict",le="1"} 50`, `vidi_http_upload_duration_seconds_count{route="/predict"} 101`,
		`vidi_http_request_duration_seconds_bucket{route="/predict",le="30"} 50`, `vidi_http_rejections_total{reason="request_timeout"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("there is no %s in %s", want, w.Body)
		}
	}
}

// Only predictions are on the page: probes would make every percentile look good.
func TestProbesAreNotOnThePage(t *testing.T) {
	tm, now := atTime(t)
	tm.Begin()
	tm.End(Ended{Route: "/readyz", Status: 200, Took: time.Microsecond})
	*now = now.Add(time.Second)
	if s := tm.Stats(0); s.LastMinute.Requests != 0 {
		t.Errorf("%+v", s.LastMinute)
	}
}

func TestTheWindowIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(window{}); size > 256<<10 {
		t.Errorf("the window takes %d bytes", size)
	}
}

func TestMetricsBeginWithZeroAndHoldOnlyWhatWasExpected(t *testing.T) {
	tm := New()
	tm.Expect([]string{"/predict", "other"}, []string{"/predict"}, []string{"corrupt_image"}, []string{"empty_image"})
	tm.SetBuild(Build{Version: "1", Torch: "2.7.1"})
	models := registry.Status{Models: []registry.ModelStatus{{Name: "m", Stable: "1",
		Versions: []registry.VersionStatus{{Version: "1", Roles: []string{"stable"}, Precision: "fp32", Memory: 7}},
		Shadow:   &registry.Comparison{Version: "2", Against: "1", Pictures: 10, Agreed: 7, Dropped: 2}}}}
	tm.SetSource(Source{Engine: func() Engine { return Engine{Workers: 2, Waiting: 3} }, Objects: func() NativeObjects { return NativeObjects{Modules: 2} },
		Models: func() registry.Status { return models }})
	predict(tm, 200, time.Millisecond)
	tm.Asked("m", "1")
	tm.ModelsChanged(registry.Swap, errors.New("bad"))
	tm.Picture("m", "1", "jpeg", classify.Timing{Decode: time.Millisecond})
	tm.PictureFailed("corrupt_image")
	tm.KeysReloaded(false)
	tm.RulesReloaded(true)
	w := httptest.NewRecorder()
	tm.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`vidi_http_requests_total{code="200",route="/predict"} 1`, `vidi_http_requests_total{code="200",route="other"} 0`,
		`vidi_http_rejections_total{reason="corrupt_image"} 0`, `vidi_pictures_total{format="jpeg"} 1`, `vidi_pictures_total{format="webp"} 0`,
		`vidi_picture_failures_total{reason="corrupt_image"} 1`, `vidi_picture_failures_total{reason="empty_image"} 0`, `vidi_stage_duration_seconds_count{stage="queue"} 1`,
		`vidi_queue_length 3`, `vidi_engine_workers 2`, `vidi_model_info{model="m",precision="fp32",role="stable",version="1"} 1`, `vidi_model_memory_bytes{model="m",version="1"} 7`,
		`vidi_model_requests_total{model="m",version="1"} 1`, `vidi_model_pictures_total{model="m",version="1"} 1`,
		`vidi_model_changes_total{change="swap",result="refused"} 1`, `vidi_model_changes_total{change="swap",result="done"} 0`,
		`vidi_shadow_pictures_total{against="1",model="m",result="differed",version="2"} 3`, `vidi_shadow_pictures_total{against="1",model="m",result="dropped",version="2"} 2`, `vidi_native_objects{kind="module"} 2`,
		`vidi_key_file_reloads_total{result="failed"} 1`, `vidi_rules_file_reloads_total{result="loaded"} 1`,
		`vidi_watch_failing_seconds{what="rules"} 0`, `vidi_watch_failing_seconds{what="keys"} `, `vidi_ready 0`, `vidi_http_requests_in_flight 0`, `libtorch="2.7.1"`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("there is no %s", want)
		}
	}
	// Base units, and their names in the metrics' own.
	for _, line := range regexp.MustCompile(`(?m)^# HELP (vidi_\S+)`).FindAllStringSubmatch(w.Body.String(), -1) {
		if regexp.MustCompile(`_(ms|milliseconds|minutes|mb|kb|percent)(_|$)`).MatchString(line[1]) {
			t.Errorf("%s is not in a base unit", line[1])
		}
	}
}

func TestStatusesHoldThreeDigits(t *testing.T) {
	for status, want := range map[int]string{200: "200", 499: "499", 504: "504", 0: "000", -1: "000", 12345: "000"} {
		if got := statusText(status); got != want {
			t.Errorf("%d: %q", status, got)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	tm := New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				predict(tm, 200, time.Millisecond)
				tm.Picture("m", "1", "png", classify.Timing{})
				tm.Stats(0)
			}
		})
	}
	all.Wait()
	w := httptest.NewRecorder()
	tm.ServeStats(w, httptest.NewRequest("GET", "/stats.json?after=x", nil))
	var s Stats
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || s.InFlight != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
