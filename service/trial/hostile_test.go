package trial

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
)

// hostile is tiny.pt with a forward that does something else, too.
func hostile(t *testing.T, name, does, answers string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".pt")
	changed := false
	rewrite(t, fixture(t, "tiny.pt"), path, func(_ string, data []byte) []byte {
		end := "    " + does + "\n    return " + answers + "\n"
		code := strings.Replace(string(data), "    return _6\n", end, 1)
		changed = changed || code != string(data)
		return []byte(code)
	})
	if !changed {
		t.Fatal("tiny.pt has another code now: change the test with it")
	}
	return path
}

// A model that does something besides computing is ended, or told that it may not, and nothing comes
// of it.
func TestTheTrialHoldsAHostileModel(t *testing.T) {
	folder := t.TempDir()
	victim := filepath.Join(folder, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o666); err != nil {
		t.Fatal(err)
	}
	const (
		writes = "it tried to open or change a file to write to it (system call openat)"
		add    = "torch.add(_6, torch.mul(torch.sum(torch.to(_7, 6)), 0.))"
	)
	saves := func(path string) string { return fmt.Sprintf("torch.save(_5, %q)", path) }
	maps := func(shared string) string {
		return fmt.Sprintf("_7 = torch.from_file(%q, %s, 4, dtype=0)", victim, shared)
	}
	models := []struct{ name, does, answers, want string }{
		{"saves", saves(filepath.Join(folder, "written")), "_6", writes},
		{"empties", saves(victim), "_6", writes},
		{"maps", maps("True"), add, writes},
		{"reads", maps("False"), add, "Permission denied"},
	}
	if sandbox.ABI() == 0 {
		models = models[:3] // seccomp alone cannot tell one file from another
	}
	for _, m := range models {
		path := hostile(t, m.name, m.does, m.answers)
		if _, err := examined(t, path, unknown(), patient); err == nil || !strings.Contains(err.Error(), m.want) {
			t.Errorf("%s: %v, want %q", m.name, err, m.want)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v in the folder, %v", entries, err)
	}
	if said, err := os.ReadFile(victim); string(said) != "untouched" {
		t.Errorf("the file is %q now, %v", said, err)
	}
	// Without the walls the same model empties the file: what held above was them, not the limits.
	t.Setenv(sandbox.Variable, string(sandbox.Off))
	_, err = examined(t, hostile(t, "empties", saves(victim), "_6"), unknown(), patient)
	if said, _ := os.ReadFile(victim); len(said) > 0 {
		t.Errorf("without the walls the file is still %q: %v", said, err)
	}
}

// What runs while libtorch reads the file has no limit of its own, so that of the process counts.
func TestATrialEndsWhileLoading(t *testing.T) {
	limits := Limits{Memory: patient.Memory, Time: 3 * time.Second}
	_, err := examined(t, fixture(t, "loops_in_setstate.pt"), unknown(), limits)
	if err == nil || !strings.Contains(err.Error(), "it was not done in 3s, and was ended, while it was being loaded") {
		t.Errorf("%v", err)
	}
}

// What is tried is the file that was looked at.
func TestATrialTriesTheFileThatWasSeen(t *testing.T) {
	seen, err := model.Inspect(fixture(t, "double.pt"))
	if err != nil {
		t.Fatal(err)
	}
	request := Request{Path: fixture(t, "tiny.pt"), Identity: seen.Identity, Limits: patient}
	if _, err := Run(t.Context(), request, nil); err == nil || !strings.Contains(err.Error(), "was changed or replaced") {
		t.Errorf("%v", err)
	}
	request.Path = seen.Path
	if _, err := Run(t.Context(), request, nil); err != nil {
		t.Error(err)
	}
}
