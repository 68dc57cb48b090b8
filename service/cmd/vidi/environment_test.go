package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func variables(t *testing.T) map[string]bool {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Vars{"models": "/models", "version": "1"}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return knownVariables(parser.Model)
}

func TestUnknownVariables(t *testing.T) {
	known := variables(t)
	for _, name := range []string{"VIDI_ADDR", "VIDI_MODELS", "VIDI_UPLOAD_TIMEOUT", "VIDI_ADMIN_KEY", "VIDI_KEY", "VIDI_TORCHBIND_LIBRARY"} {
		if !known[name] {
			t.Errorf("%s is not known", name)
		}
	}
	for variable, meant := range map[string]string{
		"VIDI_PRECISON=bf16": "VIDI_PRECISION", "VIDI_MAXBODY=1MiB": "VIDI_MAX_BODY", "VIDI_WORKER=2": "VIDI_WORKERS", "VIDI_PORT=8080": "VIDI_ADDR",
		"VIDI_log_level=debug": "VIDI_LOG_LEVEL", "VIDI_COLOUR=red": "", "VIDI_=1": "", "VIDI_DEADLINE_MS=5": "VIDI_DEADLINE",
	} {
		name, _, _ := strings.Cut(variable, "=")
		got := unknownVariables([]string{"PATH=/bin", variable, "VIDI_ADDR=127.0.0.1:0"}, known)
		if near, ok := got[name]; !ok || near != meant || len(got) != 1 {
			t.Errorf("%s: %v, want %q", variable, got, meant)
		}
	}
	quiet := []string{"HOME=/", "vidi_precision=bf16", "VIDI_PRECISION=bf16", "VIDI_PORT=tcp://10.0.0.1:5000", "VIDI_PORT_5000_TCP=tcp://10.0.0.1:5000",
		"VIDI_PORT_5000_TCP_ADDR=10.0.0.1", "VIDI_SERVICE_HOST=10.0.0.1", "VIDI_SERVICE_PORT_HTTP=5000", "VIDI_ADMIN_SERVICE_HOST=10.0.0.2", "VIDI_ADMIN_PORT=tcp://10.0.0.2:5001"}
	if got := unknownVariables(quiet, known); len(got) != 0 {
		t.Errorf("these are nobody's slips: %v", got)
	}
	var log bytes.Buffer
	warnOfVariables(slog.New(slog.NewTextHandler(&log, nil)), []string{"VIDI_WORKRES=2", "VIDI_COLOUR=red"}, known)
	for _, want := range []string{"level=WARN", "variable=VIDI_WORKRES meant=VIDI_WORKERS", "variable=VIDI_COLOUR"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q: %s", want, &log)
		}
	}
	if strings.Contains(log.String(), "red") { // a value may be a secret
		t.Errorf("the log has a value: %s", &log)
	}
}

// A slip is told of by every command that people run, and by none that scripts and probes run.
func TestCommandsTellOfUnknownVariables(t *testing.T) {
	folder, script := t.TempDir(), []string{"VIDI_PRECISON=secret", "VIDI_COLOUR=secret", "VIDI_MODELS=/models"}
	for _, c := range []struct {
		args string
		told int
	}{
		{"models list --models " + folder, 2}, {"models --models " + folder, 2}, {"keys list --keys " + folder + "/none", 2},
		{"classify --bom x.jpg", 2}, {"version", 0}, {"--version", 0}, {"help", 0}, {"completion bash", 0}, {"complete 1 vidi cl", 0},
		{"health --server http://127.0.0.1:9", 0}, {"models try", 0}, {"serve --addr nonsense", 0},
	} {
		var stdout, stderr bytes.Buffer
		run(strings.Fields(c.args), &app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environment: script})
		told := strings.Count("\n"+stderr.String(), "\nvidi: VIDI_")
		if told != c.told || c.told > 0 && !strings.Contains(stderr.String(), "VIDI_PRECISON: "+unknownSays+"is VIDI_PRECISION meant?\n") {
			t.Errorf("%s: %d, want %d: %s", c.args, told, c.told, &stderr)
		}
		if strings.Contains(stderr.String(), "secret") || strings.Contains(stdout.String(), "VIDI_PRECISON") {
			t.Errorf("%s prints %s%s", c.args, &stdout, &stderr)
		}
	}
}
