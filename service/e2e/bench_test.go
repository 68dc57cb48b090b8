package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/bench"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestBenchMeasuresAndWritesAPlanThatServeTakes(t *testing.T) {
	tiny, photo := torchtest.File(t, "build/fixtures/tiny.pt"), torchtest.File(t, "examples/flower.jpg")
	plan := filepath.Join(t.TempDir(), "plan.env")
	r := vidi(t, nil, "bench", photo, "--model", tiny, "--slice", "5ms", "--rounds", "2", "--format", "json", "--find-plan", plan)
	var report bench.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != 0 || report.Model != "tiny" || len(report.Throughputs) == 0 {
		t.Fatalf("code %d: %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	settings, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(settings)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(name, "VIDI_") {
			t.Setenv(name, value)
		}
	}
	start(t, "--model", tiny).ready(t)

	r = vidi(t, nil, "bench", "--model", tiny, "--slice", "5ms", "--rounds", "1")
	for _, want := range []string{"One inference", "pictures/s", "Best here in fp32", "█"} {
		if !strings.Contains(r.stdout, want) || r.code != 0 {
			t.Errorf("code %d, %q is missing:\n%s%s", r.code, want, r.stdout, r.stderr)
		}
	}
}

func TestBenchSaysWhatIsWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"use bf16":          {"bench", "--precision", "fp16"},
		"--threads: 0":      {"bench", "--threads", "0"},
		"no such file":      {"bench", "no-such-picture.jpg"},
		"no such model":     {"bench", "--model", "nothing"},
		"--slice":           {"bench", "--slice", "0s"},
		"is not quantised;": {"bench", "--precision", "int8"},
	} {
		if r := vidi(t, nil, args...); r.code != 2 && r.code != 3 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: code %d, want %q in %s", args, r.code, want, r.stderr)
		}
	}
}
