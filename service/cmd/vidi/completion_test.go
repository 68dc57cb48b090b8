package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestCandidates(t *testing.T) {
	models := filepath.Dir(torchtest.File(t, "build/models/efficientnet-lite0.pt"))
	t.Setenv("VIDI_MODELS", models)
	for _, c := range []struct {
		words, want string
	}{
		{"cl", "classify"},
		{"models s", "show set-default status swap shadow"},
		{"help", "help"},
		{"classify --form", "--format"},
		{"classify --format j", "json jsonl"},
		{"classify --format = j", "json jsonl"}, // as bash takes it apart
		{"classify --format=j", "--format=json --format=jsonl"},
		{"classify --format csv exa", ":files"},
		{"classify --model resnet18-s", "resnet18-seeded :files"},
		{"models show efficientnet-lite0-", ":files efficientnet-lite0-int8"},
		{"models ls --form", "--format"},
		{"classify -- --form", ":files"},
		{"serve --workers ", ""},
		{"nonsense", ""},
		{"completion f", "fish"},
	} {
		words := strings.Split(c.words, " ")
		stdout, _, code := inProcess(t, append([]string{"complete", "--"}, words...)...)
		var got []string
		for line := range strings.Lines(stdout) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		if text := strings.Join(got, " "); code != 0 || text != c.want {
			t.Errorf("%q: %d, %q, want %q", c.words, code, text, c.want)
		}
	}
	if stdout, _, _ := inProcess(t, "complete", "--", ""); strings.Contains(stdout, "complete\t") || !strings.Contains(stdout, "serve\tAnswer over HTTP\n") {
		t.Errorf("all commands: %q", stdout)
	}
}

// The bash script asks the real program.
func TestBashCompletes(t *testing.T) {
	vidi := torchtest.File(t, "bin/vidi")
	script := `source <("$0" completion bash); compopt() { :; }
COMP_WORDS=("$0" classify --format "") COMP_CWORD=3; _vidi; echo "${COMPREPLY[*]}"
COMP_WORDS=("$0" mod) COMP_CWORD=1; _vidi; echo "${COMPREPLY[*]}"; complete -p vidi`
	out, err := exec.Command("bash", "--norc", "-c", script, vidi).CombinedOutput()
	if want := "text json jsonl csv\nmodels\ncomplete -F _vidi vidi\n"; err != nil || string(out) != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
}

// The other shells' scripts are at least programs, where these shells are.
func TestScriptsOfOtherShells(t *testing.T) {
	for shell, flag := range map[string]string{"zsh": "-n", "fish": "--no-execute"} {
		script, _, code := inProcess(t, "completion", shell)
		if code != 0 || !strings.Contains(script, "complete --") && !strings.Contains(script, "complete -- $words") {
			t.Errorf("%s: %d, %q", shell, code, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed: its script is not parsed", shell)
			continue
		}
		cmd := exec.Command(path, flag)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v, %s", shell, err, out)
		}
	}
}
