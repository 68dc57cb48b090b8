package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The unit is one that systemd understands, and a stop has longer than vidi takes for it.
func TestUnit(t *testing.T) {
	text := read(t, "deploy/systemd/vidi.service")
	help := run(t, "bin/vidi", "serve", "--help")
	usual := func(flag string) time.Duration {
		match := regexp.MustCompile(`--` + flag + `=(\S+)`).FindStringSubmatch(help)
		if match == nil {
			t.Fatalf("the help has no default of --%s", flag)
		}
		return duration(t, match[1])
	}
	match := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(text)
	if match == nil || duration(t, match[1]+"s") < usual("drain-delay")+usual("grace") {
		t.Errorf("a stop may take %v, and gets %v", usual("drain-delay")+usual("grace"), match)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("there is no systemd-analyze, so that nobody has read the unit")
		return
	}
	// The program that the unit starts is not there; another one is as good for a look at the rest.
	file := filepath.Join(t.TempDir(), "vidi.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "/opt/vidi/vidi", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
