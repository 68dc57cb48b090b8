package bench

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestMain(m *testing.M) {
	torchbind.OnLeak = func(kind string) { panic("a " + kind + " was garbage-collected without Close") }
	os.Exit(m.Run())
}

func quick(t *testing.T) Config {
	t.Helper()
	picture, err := os.ReadFile(torchtest.File(t, "examples/flower.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Model, cfg.Picture = torchtest.File(t, "build/fixtures/tiny.pt"), picture
	cfg.Slice, cfg.Rounds = 10*time.Millisecond, 2
	cfg.Threads, cfg.Workers, cfg.Batches = []int{1, 2}, []int{1, 2}, []int{1, 3}
	return cfg
}

func TestRunMeasuresEverythingOnce(t *testing.T) {
	torchtest.NoLeaks(t)
	cfg := quick(t)
	steps, all := 0, 0
	cfg.Progress = func(done, of int) { steps, all = done, of }
	report, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if steps != all || steps == 0 {
		t.Errorf("%d of %d steps", steps, all)
	}
	seen := map[string]int{}
	for _, i := range report.Inference {
		seen[i.Precision]++
		if i.Median <= 0 || i.P95 < i.Median {
			t.Errorf("%+v", i)
		}
	}
	if len(seen) != 2 || seen["fp32"] != 4 || seen["bf16"] != 4 {
		t.Errorf("inferences measured: %v", seen)
	}
	for i, x := range report.Throughputs {
		if x.Rate <= 0 || x.CPU <= 0 || x.Decode <= 0 || x.Inference <= 0 || x.Latency < x.Inference || x.P95 < x.Latency || x.Speedup <= 0 {
			t.Errorf("%+v", x)
		}
		if first := i == 0 || report.Throughputs[i-1].Precision != x.Precision; first && (x.Workers != 1 || x.Threads != 1 || x.Speedup != 1) {
			t.Errorf("the first of a precision is %+v", x)
		}
	}
	if report.Model != "tiny" || report.Width == 0 || report.Height == 0 {
		t.Errorf("%+v", report)
	}
	for _, name := range []string{"VIDI_PRECISION=fp32\n", "VIDI_WORKERS=", "VIDI_THREADS=", "VIDI_THREADS_ALONE="} {
		if !strings.Contains(report.Best().Environment(), name) {
			t.Errorf("%q is missing in %s", name, report.Best().Environment())
		}
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	torchtest.NoLeaks(t)
	cfg := quick(t)
	cfg.Picture = []byte("no picture")
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "the picture") {
		t.Errorf("a file that is no picture: %v", err)
	}
	cfg = quick(t)
	cfg.Precisions = []engine.Precision{engine.Int8}
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "not quantised") {
		t.Errorf("int8 of another model: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, quick(t)); err == nil {
		t.Error("a cancelled run succeeded")
	}
}

func TestBestPrefersSimplerPlansUnlessOthersAreFaster(t *testing.T) {
	r := &Report{
		Model: "m",
		Inference: []Inference{
			{Precision: "fp32", Threads: 1, Batch: 1, Median: 20}, {Precision: "fp32", Threads: 2, Batch: 1, Median: 19.5},
			{Precision: "fp32", Threads: 4, Batch: 1, Median: 6}, {Precision: "fp32", Threads: 4, Batch: 8, Median: 5},
		},
		Throughputs: []Throughput{
			{Precision: "fp32", Workers: 1, Threads: 4, Rate: 100}, {Precision: "fp32", Workers: 2, Threads: 2, Rate: 103},
			{Precision: "fp32", Workers: 4, Threads: 1, Rate: 120}, {Precision: "bf16", Workers: 4, Threads: 1, Rate: 240},
		},
	}
	best := r.Best()
	if best.Workers != 4 || best.Threads != 1 || best.ThreadsAlone != 4 || best.Precision != "fp32" || best.Other != "bf16" {
		t.Errorf("%+v", best)
	}
	if text := best.String(); !strings.Contains(text, "bf16 would give 2.0 times") {
		t.Error(text)
	}
	r.Throughputs = r.Throughputs[:2]
	if best := r.Best(); best.Workers != 1 || best.OtherRate != 0 {
		t.Errorf("%+v", best)
	}
}
