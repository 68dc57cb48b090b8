package telemetry

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/registry"
)

// Stats is what GET /stats.json answers.
type Stats struct {
	Now        int64                  `json:"now"` // Unix time of this machine
	Uptime     float64                `json:"uptime_seconds"`
	Ready      bool                   `json:"ready"`
	Version    string                 `json:"version"`
	Model      *Model                 `json:"model"`  // the default; null while it loads
	Models     []registry.ModelStatus `json:"models"` // all of them, the default first; never null
	InFlight   int64                  `json:"requests_in_flight"`
	Queue      int                    `json:"queue_length"` // pictures that wait for a worker
	Busy       int                    `json:"workers_busy"`
	Resident   int64                  `json:"resident_bytes"`
	Failing    map[Watched]float64    `json:"watch_failing_seconds"` // 0 for what can be read and used
	LastMinute Summary                `json:"last_minute"`
	Points     []Point                `json:"points"` // one for each whole second, the oldest first
}

// Model is the served model and how it is run.
type Model struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Precision string `json:"precision"`
	Workers   int    `json:"workers"`
	Threads   int    `json:"threads"`
}

// Summary is the predictions of the last minute.
type Summary struct {
	Requests  int        `json:"requests"`
	PerSecond float64    `json:"per_second"`
	Refused   int        `json:"refused"` // 4xx: the client's faults, and too much at once
	Failed    int        `json:"failed"`  // 5xx: the server's
	P50       *float64   `json:"p50_ms"`  // from the end of the upload; null without a request
	P95       *float64   `json:"p95_ms"`
	P99       *float64   `json:"p99_ms"`
	UploadP50 *float64   `json:"upload_p50_ms"` // from the headers to the end of the upload
	UploadP99 *float64   `json:"upload_p99_ms"`
	Stages    *StageMean `json:"stages_ms"` // null without a picture
}

// StageMean is the mean milliseconds of one picture.
type StageMean struct {
	Decode     float64 `json:"decode"`
	Preprocess float64 `json:"preprocess"`
	Queue      float64 `json:"queue"`
	Inference  float64 `json:"inference"`
}

// Point is one second. Its quantiles and means are those of the ten seconds up to it: single seconds jump too much to be read.
type Point struct {
	Time      int64      `json:"t"`
	Answered  uint32     `json:"answered"`
	Refused   uint32     `json:"refused"`
	Failed    uint32     `json:"failed"`
	P50       *float64   `json:"p50_ms"`
	P95       *float64   `json:"p95_ms"`
	P99       *float64   `json:"p99_ms"`
	UploadP50 *float64   `json:"upload_p50_ms"`
	UploadP99 *float64   `json:"upload_p99_ms"`
	Stages    *StageMean `json:"stages_ms"`
	InFlight  int        `json:"requests_in_flight"`
	Queue     int        `json:"queue_length"`
	Busy      int        `json:"workers_busy"`
	Resident  int64      `json:"resident_bytes"`
}

const smoothed = 10 // seconds

// Stats is the last minutes up to now, with the points after a time.
func (t *Telemetry) Stats(after int64) Stats {
	now := t.seconds.clock()
	s := Stats{Now: now.Unix(), Uptime: math.Floor(now.Sub(t.begun).Seconds()), Ready: t.isReady(), InFlight: t.now.Load(), Resident: t.resident(),
		Failing: t.failing.seconds()}
	if b := t.build.Load(); b != nil {
		s.Version = b.Version
	}
	s.Models = t.models()
	if e, ok := t.engine(); ok {
		if len(s.Models) > 0 {
			m := s.Models[0]
			s.Model = &Model{Name: m.Name, Version: m.Stable, Precision: m.Versions[0].Precision, Workers: e.Workers, Threads: e.Threads}
		}
		s.Queue, s.Busy = e.Waiting, e.Busy
	}
	t.seconds.mu.Lock()
	defer t.seconds.mu.Unlock()
	last := now.Unix() - 1
	s.LastMinute = t.seconds.summary(last, 60, t.begun.Unix())
	s.Points = []Point{}
	for unix := max(after+1, last-kept+1, t.begun.Unix()); unix <= last; unix++ {
		s.Points = append(s.Points, t.seconds.point(unix))
	}
	return s
}

// over adds up the count seconds up to last. The lock must be held.
func (w *window) over(last int64, count int) (sum second) {
	for unix := last - int64(count) + 1; unix <= last; unix++ {
		s, ok := w.at(unix)
		if !ok {
			continue
		}
		sum.answered += s.answered
		sum.refused += s.refused
		sum.failed += s.failed
		sum.pictures += s.pictures
		sum.latency.merge(&s.latency)
		sum.uploads.merge(&s.uploads)
		for i, d := range s.stages {
			sum.stages[i] += d
		}
	}
	return sum
}

func (w *window) summary(last int64, count int, begun int64) Summary {
	sum := w.over(last, count)
	requests := int(sum.answered + sum.refused + sum.failed)
	elapsed := max(1, min(int64(count), last-begun+1))
	return Summary{
		Requests: requests, PerSecond: round(float64(requests) / float64(elapsed)), Refused: int(sum.refused), Failed: int(sum.failed),
		P50: rounded(sum.latency.quantile(.5)), P95: rounded(sum.latency.quantile(.95)), P99: rounded(sum.latency.quantile(.99)),
		UploadP50: rounded(sum.uploads.quantile(.5)), UploadP99: rounded(sum.uploads.quantile(.99)),
		Stages: sum.means(),
	}
}

func (w *window) point(unix int64) Point {
	p := Point{Time: unix}
	if s, ok := w.at(unix); ok {
		p.Answered, p.Refused, p.Failed = s.answered, s.refused, s.failed
		p.InFlight, p.Queue, p.Busy, p.Resident = s.sample.inFlight, s.sample.waiting, s.sample.busy, s.sample.resident
	}
	sum := w.over(unix, smoothed)
	p.P50, p.P95, p.P99 = rounded(sum.latency.quantile(.5)), rounded(sum.latency.quantile(.95)), rounded(sum.latency.quantile(.99))
	p.UploadP50, p.UploadP99 = rounded(sum.uploads.quantile(.5)), rounded(sum.uploads.quantile(.99))
	p.Stages = sum.means()
	return p
}

func (s *second) means() *StageMean {
	if s.pictures == 0 {
		return nil
	}
	mean := func(i int) float64 { return round(s.stages[i].Seconds() * 1000 / float64(s.pictures)) }
	return &StageMean{Decode: mean(0), Preprocess: mean(1), Queue: mean(2), Inference: mean(3)}
}

func round(f float64) float64 { return math.Round(f*100) / 100 }

func rounded(f *float64) *float64 {
	if f != nil {
		*f = round(*f)
	}
	return f
}

// Picture counts one that was classified, and by which version of a model. Its format is what preprocess calls it.
func (t *Telemetry) Picture(model, version, format string, timing classify.Timing) {
	t.answered.WithLabelValues(model, version).Inc()
	t.pictures.WithLabelValues(format).Inc()
	for i, d := range [...]time.Duration{timing.Decode, timing.Preprocess, timing.Queue, timing.Inference} {
		t.stages.WithLabelValues(stageNames[i]).Observe(d.Seconds())
	}
	t.seconds.picture(timing)
}

// PictureFailed counts one that could not be classified; reason is an error code.
func (t *Telemetry) PictureFailed(reason string) { t.failures.WithLabelValues(reason).Inc() }

// Sample looks at the queue and the memory once a second until ctx ends, for the page of the last minutes.
func (t *Telemetry) Sample(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		seen := sample{inFlight: int(t.now.Load()), resident: t.resident()}
		if e, ok := t.engine(); ok {
			seen.waiting, seen.busy = e.Waiting, e.Busy
		}
		t.seconds.sampled(seen)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// ServeStats answers with the Stats as JSON; the query's after leaves out points that the client has.
func (t *Telemetry) ServeStats(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.FormValue("after"), 10, 64)
	if err != nil {
		after = 0
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t.Stats(after)) // a failed write means that the client is gone
}
