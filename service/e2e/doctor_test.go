package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestDoctorFindsAHealthyMachineHealthy(t *testing.T) {
	r := vidi(t, nil, "doctor", lite0, "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0")
	if r.code != 0 || !strings.Contains(r.stderr, "will work") {
		t.Errorf("%+v", r)
	}
	for _, check := range []string{"libtorch", "cpu", "sandbox", "model", "memory", "files", "port", "admin", "keys"} {
		if n := len(regexp.MustCompile(`(?m)^(ok|warn) +`+check+` +\S`).FindAllString(r.stdout, -1)); n != 1 {
			t.Errorf("%s has %d lines in:\n%s", check, n, r.stdout)
		}
	}
	if strings.Count(r.stdout, "\n") != 9 {
		t.Errorf("not one line a check:\n%s", r.stdout)
	}
}

func TestDoctorSaysWhatToChange(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args, env []string
		code      int
		says      string
	}{
		"a taken port":         {[]string{lite0, "--addr", taken.Addr().String()}, nil, 1, `(?m)^fail +port .*already in use by .*\(pid ` + fmt.Sprint(os.Getpid()) + `\).*--addr`},
		"a taken admin port":   {[]string{lite0, "--admin-addr", taken.Addr().String()}, nil, 1, `(?m)^fail +admin .*--admin-addr`},
		"no model":             {[]string{"--models", dir}, nil, 1, `(?m)^fail +model .*make model`},
		"no TorchScript":       {[]string{"--model", torchtest.File(t, "build/fixtures/state_dict.pth")}, nil, 1, `(?m)^fail +model .*torch\.jit\.trace`},
		"no libtorch":          {[]string{lite0}, []string{"VIDI_TORCHBIND_LIBRARY=/none/libtorchbind.so"}, 1, `(?m)^fail +libtorch .*make shim`},
		"no key file":          {[]string{lite0, "--keys", filepath.Join(dir, "none")}, nil, 1, `(?m)^fail +keys .*vidi keys new`},
		"open to all":          {[]string{lite0, "--addr=0.0.0.0:0"}, nil, 0, `(?m)^warn +keys +anyone who reaches .*--keys FILE`},
		"too little memory":    {[]string{lite0, "--decode-memory=900TiB"}, nil, 0, `(?m)^warn +memory .*--decode-memory \d+MiB`},
		"a sandbox off":        {[]string{lite0}, []string{"VIDI_SANDBOX=off"}, 0, `(?m)^warn +sandbox .*VIDI_SANDBOX`},
		"a sandbox misspelt":   {[]string{lite0}, []string{"VIDI_SANDBOX=no"}, 1, `(?m)^fail +sandbox .*auto, required or off`},
		"a model with no card": {[]string{"--model", torchtest.File(t, "build/fixtures/bare_traced.pt")}, nil, 0, `(?m)^warn +model .*has no card`},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := command(t, append([]string{"doctor", "--addr=127.0.0.1:0"}, c.args...)...)
			cmd.Env = append(cmd.Env, c.env...)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != c.code || !regexp.MustCompile(c.says).MatchString(stdout.String()) {
				t.Errorf("exit %d:\n%s%s", code, stdout.String(), stderr.String())
			}
		})
	}
}

// A server that runs already is no fault of the machine.
func TestDoctorKnowsARunningServer(t *testing.T) {
	s := start(t, lite0).ready(t)
	r := vidi(t, nil, "doctor", lite0, "--addr", strings.TrimPrefix(s.url, "http://"))
	if r.code != 0 || !regexp.MustCompile(`(?m)^warn +port .* in use by vidi \(pid `+fmt.Sprint(s.cmd.Process.Pid)+`\)`).MatchString(r.stdout) {
		t.Errorf("%+v", r)
	}
}

func TestDoctorInJSON(t *testing.T) {
	r := vidi(t, nil, "doctor", "--addr=127.0.0.1:0", "--models", t.TempDir(), "--format=json")
	var report struct {
		Healthy  bool
		Findings []struct{ Check, Verdict, Says, Advice string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != 1 || report.Healthy || len(report.Findings) != 8 {
		t.Errorf("%v: %+v", err, r)
	}
	for _, f := range report.Findings {
		if f.Check == "" || f.Says == "" || f.Verdict != "ok" && f.Verdict != "warn" && f.Verdict != "fail" {
			t.Errorf("%+v", f)
		}
	}
}
