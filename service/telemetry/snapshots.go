package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vidi-vision/vidi/service/registry"
)

// snapshots renders what is only known when it is asked for: nothing runs between two looks.
type snapshots struct{ t *Telemetry }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	readyDesc   = desc("vidi_ready", "Whether predictions are answered: 1 once the model is warm, 0 again while the server stops or every worker is stuck.")
	startDesc   = desc("vidi_build_info", "What was built; always 1.", "version", "revision", "goversion", "libtorch")
	modelDesc   = desc("vidi_model_info", "A loaded version of a model; always 1. Role is stable, canary, shadow, or none.", "model", "version", "precision", "role")
	memoryDesc  = desc("vidi_model_memory_bytes", "What a loaded version of a model takes, as estimated from its file.", "model", "version")
	shadowDesc  = desc("vidi_shadow_pictures_total", "Pictures of the stable version's that the shadow looked at, by how its answer compares.", "model", "version", "against", "result")
	differDesc  = desc("vidi_shadow_difference_total", "Sum over the compared pictures of the difference in the probability of the stable version's answer.", "model", "version", "against")
	inferDesc   = desc("vidi_shadow_inference_seconds_total", "Sum over the compared pictures of the shadow's time of inference.", "model", "version", "against")
	workersDesc = desc("vidi_engine_workers", "Pictures that can be worked on at the same time.")
	busyDesc    = desc("vidi_engine_workers_busy", "Workers that work on a picture now.")
	stuckDesc   = desc("vidi_workers_stuck", "Inferences that have passed their time, and that nothing can interrupt.")
	threadsDesc = desc("vidi_engine_threads", "Threads of inference, for a picture among others and for one that is alone.", "picture")
	queueDesc   = desc("vidi_queue_length", "Pictures that wait for a worker.")
	failingDesc = desc("vidi_watch_failing_seconds",
		"For how long the key file, the rules file or the folder of models could not be read or used; 0 while it can.", "what")
	droppedDesc = desc("vidi_log_lines_dropped_total", "Lines of the log that were not written: nobody read them, or the disk was full.")
	objectsDesc = desc("vidi_native_objects", "C++ objects that are alive. Statuses are always 0; modules stay the same, tensors return to 0.", "kind")
)

func (s *snapshots) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, startDesc, modelDesc, memoryDesc, shadowDesc, differDesc, inferDesc, workersDesc, busyDesc, stuckDesc, threadsDesc, queueDesc, droppedDesc, objectsDesc, failingDesc} {
		out <- d
	}
}

func (s *snapshots) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ready := 0.0
	if s.t.isReady() {
		ready = 1
	}
	gauge(readyDesc, ready)
	if b := s.t.build.Load(); b != nil {
		gauge(startDesc, 1, b.Version, b.Revision, b.Go, b.Torch)
	}
	if dropped, ok := s.t.logDropped(); ok {
		out <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(dropped))
	}
	if objects, ok := s.t.objects(); ok {
		gauge(objectsDesc, float64(objects.Modules), "module")
		gauge(objectsDesc, float64(objects.Tensors), "tensor")
		gauge(objectsDesc, float64(objects.Statuses), "status")
	}
	for what, seconds := range s.t.failing.seconds() {
		gauge(failingDesc, seconds, string(what))
	}
	for _, m := range s.t.models() {
		collectModel(out, m)
	}
	e, ok := s.t.engine()
	if !ok {
		gauge(queueDesc, 0)
		return
	}
	gauge(workersDesc, float64(e.Workers))
	gauge(busyDesc, float64(e.Busy))
	gauge(stuckDesc, float64(e.Stuck))
	gauge(threadsDesc, float64(e.Threads), "among_others")
	gauge(threadsDesc, float64(e.Alone), "alone")
	gauge(queueDesc, float64(e.Waiting))
}

func collectModel(out chan<- prometheus.Metric, m registry.ModelStatus) {
	for _, v := range m.Versions {
		role := "none"
		if len(v.Roles) > 0 {
			role = v.Roles[0]
		}
		out <- prometheus.MustNewConstMetric(modelDesc, prometheus.GaugeValue, 1, m.Name, v.Version, v.Precision, role)
		out <- prometheus.MustNewConstMetric(memoryDesc, prometheus.GaugeValue, float64(v.Memory), m.Name, v.Version)
	}
	c := m.Shadow
	if c == nil {
		return
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, append([]string{m.Name, c.Version, c.Against}, labels...)...)
	}
	for result, n := range map[string]uint64{"agreed": c.Agreed, "differed": c.Pictures - c.Agreed, "failed": c.Failed, "dropped": c.Dropped} {
		counter(shadowDesc, float64(n), result)
	}
	counter(differDesc, c.DifferenceSum())
	counter(inferDesc, c.Seconds())
}

// models is what is served; never nil.
func (t *Telemetry) models() []registry.ModelStatus {
	if s := t.source.Load(); s != nil && s.Models != nil {
		return s.Models().Models
	}
	return []registry.ModelStatus{}
}

// isReady is whether predictions are answered.
func (t *Telemetry) isReady() bool {
	e, _ := t.engine()
	return t.ready.Load() && !e.AllStuck
}

func (t *Telemetry) engine() (Engine, bool) {
	if s := t.source.Load(); s != nil && s.Engine != nil {
		return s.Engine(), true
	}
	return Engine{}, false
}

func (t *Telemetry) objects() (NativeObjects, bool) {
	if s := t.source.Load(); s != nil && s.Objects != nil {
		return s.Objects(), true
	}
	return NativeObjects{}, false
}

func (t *Telemetry) logDropped() (int64, bool) {
	if s := t.source.Load(); s != nil && s.LogDropped != nil {
		return s.LogDropped(), true
	}
	return 0, false
}

func (t *Telemetry) resident() int64 {
	if s := t.source.Load(); s != nil && s.Resident != nil {
		return s.Resident()
	}
	return 0
}
