// Package telemetry counts what the service does: as Prometheus metrics, and second by second for the page of the last
// minutes. It hears of requests and pictures, and asks the rest for snapshots when somebody looks.
package telemetry

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/registry"
)

// Source is where snapshots come from. A function that is nil is a figure that nobody has.
type Source struct {
	Engine   func() Engine // once there is one
	Models   func() registry.Status
	Objects  func() NativeObjects // C++ objects that are alive
	Resident func() int64         // bytes of memory this process has

	LogDropped func() int64 // lines of the log that could not be written
}

// Engine is a snapshot of the engine.
type Engine struct {
	Workers, Threads, Alone int  // as in engine.Plan
	Busy                    int  // workers that work
	Waiting                 int  // pictures that wait for a worker
	Stuck                   int  // inferences that have passed their time and cannot be interrupted
	AllStuck                bool // every worker is stuck
}

// NativeObjects counts C++ objects; anything that only grows is a leak.
type NativeObjects struct{ Modules, Tensors, Statuses int64 }

// Build is what was built and started.
type Build struct{ Version, Revision, Go, Torch string }

// Telemetry is the service's figures. Its methods are safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	begun    time.Time
	source   atomic.Pointer[Source]
	build    atomic.Pointer[Build]
	ready    atomic.Bool

	requests   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	uploads    *prometheus.HistogramVec
	answers    *prometheus.HistogramVec // durations without uploads
	inFlight   prometheus.Gauge
	now        atomic.Int64           // requests in flight, for the page
	refused    *prometheus.CounterVec // connections
	rejections *prometheus.CounterVec
	admissions *prometheus.CounterVec // refused
	pictures   *prometheus.CounterVec
	asked      *prometheus.CounterVec
	answered   *prometheus.CounterVec
	changes    *prometheus.CounterVec
	failures   *prometheus.CounterVec
	stages     *prometheus.HistogramVec
	reloads    *prometheus.CounterVec // of the key file
	rules      *prometheus.CounterVec // reloads of the rules file
	failing    failing
	sandbox    *prometheus.GaugeVec

	seconds *window
}

// durationBuckets go from a request that is refused at once to one that waits for a minute: a factor of about 2 between each.
var durationBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// uploadBuckets go up to the longest that a server may wait for a body by default, and beyond.
var uploadBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// stageBuckets begin lower: a small JPEG is decoded in 0.4 ms.
var stageBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New starts counting. Every series that can be foreseen is there with 0 from the beginning: Prometheus cannot see the rate
// of a counter's first step.
func New() *Telemetry {
	t := &Telemetry{registry: prometheus.NewRegistry(), begun: time.Now(), seconds: newWindow(time.Now)}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		t.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
		t.registry.MustRegister(h)
		return h
	}
	t.requests = counter("vidi_http_requests_total", "Requests answered, by route and status; 499 is a client that left before its answer.", "route", "code")
	t.durations = histogram("vidi_http_request_duration_seconds", "From a request's headers to the end of its answer, the upload included.", durationBuckets, "route")
	t.uploads = histogram("vidi_http_upload_duration_seconds", "From a prediction's headers to the last byte of its body, whole or cut off.", uploadBuckets, "route")
	t.answers = histogram("vidi_http_answer_duration_seconds", "From the last byte of a prediction's body to the end of its answer; bodies that were cut off do not count.", durationBuckets, "route")
	t.rejections = counter("vidi_http_rejections_total", "Requests answered with an error, by its code as in docs/api.md.", "reason")
	t.admissions = counter("vidi_admission_refusals_total", "What there was no room for, or no longer: requests, transfers and pictures of a batch, by the reason as in docs/operations.md.", "reason")
	t.pictures = counter("vidi_pictures_total", "Pictures classified, by what their bytes are.", "format")
	t.asked = counter("vidi_model_requests_total", "Requests that a version of a model was picked for.", "model", "version")
	t.answered = counter("vidi_model_pictures_total", "Pictures classified, by the version of the model that did.", "model", "version")
	t.changes = counter("vidi_model_changes_total", "Changes of what is served, by whether they could be made; watch is a new file in the folder.", "change", "result")
	t.failures = counter("vidi_picture_failures_total", "Pictures that could not be classified, by the reason; those of a batch too, whose request answers 200.", "reason")
	t.stages = histogram("vidi_stage_duration_seconds", "Where a picture's time goes.", stageBuckets, "stage")
	t.reloads = counter("vidi_key_file_reloads_total", "Changes of the key file, by whether they could be used.", "result")
	t.rules = counter("vidi_rules_file_reloads_total", "Changes of the rules file, by whether they could be used.", "result")
	t.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "vidi_http_requests_in_flight", Help: "Requests being answered now."})
	t.refused = counter("vidi_http_connections_refused_total",
		"Connections closed to keep room for others: all are taken, their address has its share, or their header does not end.",
		"reason")
	t.sandbox = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "vidi_sandbox", Help: "What the " +
		"kernel holds models by: the version of Landlock's ABI, 1 for seccomp, 0 for nothing."},
		[]string{"part", "what"})
	t.registry.MustRegister(t.sandbox, t.inFlight, &snapshots{t}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, format := range formats {
		t.pictures.WithLabelValues(format)
	}
	for _, stage := range stageNames {
		t.stages.WithLabelValues(stage)
	}
	for _, reason := range admission.Reasons {
		t.admissions.WithLabelValues(string(reason))
	}
	for _, result := range []string{"loaded", "failed"} {
		t.reloads.WithLabelValues(result)
		t.rules.WithLabelValues(result)
	}
	for _, reason := range connections.Reasons {
		t.refused.WithLabelValues(string(reason))
	}
	for _, change := range registry.Changes {
		t.changes.WithLabelValues(string(change), "done")
		t.changes.WithLabelValues(string(change), "refused")
	}
	return t
}

// formats are what preprocess can call a picture.
var formats = []string{"jpeg", "png", "gif", "webp", "bmp", "tiff"}

// SetSource says where snapshots come from.
func (t *Telemetry) SetSource(s Source) { t.source.Store(&s) }

// SetBuild says what this program is.
func (t *Telemetry) SetBuild(b Build) { t.build.Store(&b) }

// Sandbox is what the kernel holds this server and the process that a model is tried in by:
// versions of Landlock's ABI, 0 for none, and whether there is seccomp.
type Sandbox struct {
	ServerLandlock, TrialLandlock int
	TrialSeccomp                  bool
	KernelLandlock                int // what the kernel has, whether or not it is used
	KernelSeccomp                 bool
}

// SetSandbox says what holds.
func (t *Telemetry) SetSandbox(s Sandbox) {
	seccomp := map[bool]int{true: 1}
	for labels, value := range map[[2]string]int{
		{"server", "landlock"}: s.ServerLandlock,
		{"trial", "landlock"}:  s.TrialLandlock, {"trial", "seccomp"}: seccomp[s.TrialSeccomp],
		{"kernel", "landlock"}: s.KernelLandlock, {"kernel", "seccomp"}: seccomp[s.KernelSeccomp],
	} {
		t.sandbox.WithLabelValues(labels[:]...).Set(float64(value))
	}
}

// SetReady says whether predictions would be answered.
func (t *Telemetry) SetReady(ready bool) { t.ready.Store(ready) }

// Begin counts a request that has come; End must follow.
func (t *Telemetry) Begin() {
	t.inFlight.Inc()
	t.now.Add(1)
}

// Ended is how a request went.
type Ended struct {
	Route      string // a template of the server's own, "other" for addresses there are not: never what the client sent
	Status     int
	Reason     string        // the error's code; "" for none
	Took       time.Duration // the upload included
	Upload     time.Duration // of it, the part until the last byte of the body
	Uploaded   bool          // it had a body that was read
	Cut        bool          // its body was not read to its end, since it came too slowly or its client left
	Prediction bool          // it asked for one: only these count on the page of the last minutes
}

// End counts a request that was answered.
func (t *Telemetry) End(e Ended) {
	t.inFlight.Dec()
	t.now.Add(-1)
	t.requests.WithLabelValues(e.Route, statusText(e.Status)).Inc()
	t.durations.WithLabelValues(e.Route).Observe(e.Took.Seconds())
	if e.Reason != "" {
		t.rejections.WithLabelValues(e.Reason).Inc()
	}
	if !e.Prediction {
		return
	}
	if e.Uploaded {
		t.uploads.WithLabelValues(e.Route).Observe(e.Upload.Seconds())
	}
	if !e.Cut {
		t.answers.WithLabelValues(e.Route).Observe((e.Took - e.Upload).Seconds())
	}
	t.seconds.request(e)
}

// Expect makes the series of routes, of those of them that predict, and of reasons, of requests and of pictures, with 0, so that their
// first step can be seen.
func (t *Telemetry) Expect(routes, predictions, reasons, ofPictures []string) {
	for _, route := range routes {
		t.requests.WithLabelValues(route, "200")
		t.durations.WithLabelValues(route)
	}
	for _, route := range predictions {
		t.uploads.WithLabelValues(route)
		t.answers.WithLabelValues(route)
	}
	for _, reason := range reasons {
		t.rejections.WithLabelValues(reason)
	}
	for _, reason := range ofPictures {
		t.failures.WithLabelValues(reason)
	}
}

// Asked counts a request that was given to a version of a model. Both names are the operator's, from the model's card.
func (t *Telemetry) Asked(model, version string) { t.asked.WithLabelValues(model, version).Inc() }

// ModelsChanged counts a change of what is served; err is why it was refused.
func (t *Telemetry) ModelsChanged(change registry.Change, err error) {
	result := "done"
	if err != nil {
		result = "refused"
	}
	t.changes.WithLabelValues(string(change), result).Inc()
}

// Refused counts what there was no room for.
func (t *Telemetry) Refused(reason admission.Reason) {
	t.admissions.WithLabelValues(string(reason)).Inc()
}

// ConnectionRefused counts a connection that there was no room for.
func (t *Telemetry) ConnectionRefused(reason connections.Reason) {
	t.refused.WithLabelValues(string(reason)).Inc()
}

// Handler answers with the metrics in Prometheus' text format.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// statusText spells the statuses that are common without allocating, and holds odd ones within three digits.
func statusText(status int) string {
	if status < 100 || status > 999 {
		return "000"
	}
	return string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)})
}
