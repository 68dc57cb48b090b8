package trial

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
)

// Tried remembers which files were tried, by their SHA-256: so that a server which starts with a model it knows loads it at once.
// What is remembered may be deleted at any time; the files are then tried once more.
type Tried struct {
	Dir     string // "" remembers nothing
	Version string // of the program: another one tries again
	// Trust is which files may use operators that are not on the list.
	Trust model.Trust
}

// DefaultTried is in the user's cache: $XDG_CACHE_HOME/vidi/tried, or ~/.cache/vidi/tried.
func DefaultTried(version string) Tried {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Tried{} // no home: every start tries its model
	}
	return Tried{Dir: filepath.Join(cache, "vidi", "tried"), Version: version}
}

func (t Tried) file(sum string, p engine.Precision) string {
	if p == "" {
		p = engine.FP32
	}
	return filepath.Join(t.Dir, sum+"-"+string(p))
}

// Knows is the engine to run a file of that digest with, if it was tried in that precision.
func (t Tried) Knows(sum string, p engine.Precision) (model.Engine, bool) {
	if t.Dir == "" {
		return "", false
	}
	noted, err := os.ReadFile(t.file(sum, p))
	version, prepared, _ := strings.Cut(string(noted), "\n")
	if err != nil || version != t.Version || !model.Engine(prepared).Valid() {
		return "", false
	}
	return model.Engine(prepared), true
}

// Remember notes that a file was tried, is good, and runs fastest with that engine. That it cannot be
// written (a read-only disk) only costs time.
func (t Tried) Remember(sum string, p engine.Precision, fastest model.Engine) {
	if t.Dir == "" || os.MkdirAll(t.Dir, 0o755) != nil {
		return
	}
	draft, err := os.CreateTemp(t.Dir, ".draft-")
	if err != nil {
		return
	}
	defer os.Remove(draft.Name())
	_, err = draft.WriteString(t.Version + "\n" + string(fastest))
	if closing := draft.Close(); err == nil && closing == nil {
		_ = os.Rename(draft.Name(), t.file(sum, p))
	}
}

// Ensure sees that the model file at path is the one that was added, and loads and computes in a process of
// its own; what was tried before is not tried again. It returns the engine to run it with. trying, if it is
// not nil, is called before that takes its time. Errors say what is wrong with the file in words for its
// owner.
func (t Tried) Ensure(ctx context.Context, path string, p engine.Precision, trying func(path string)) (model.Engine, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return "", err
	}
	if err := file.Permit(t.Trust); err != nil {
		return "", err
	}
	sum, err := model.SHA256(path)
	if err != nil {
		return "", err
	}
	if err := model.CheckSum(path, sum); err != nil {
		return "", err
	}
	if fastest, known := t.Knows(sum, p); known {
		return fastest, nil
	}
	if err := model.CheckRecords(path); err != nil {
		return "", err
	}
	if trying != nil {
		trying(path)
	}
	report, err := Run(ctx, Request{Path: path, Precision: p, Limits: DefaultLimits(file.Bytes), Trust: file.Trusted(sum)}, nil)
	if err != nil {
		return "", err
	}
	t.Remember(sum, p, report.Trial.Engine)
	return report.Trial.Engine, nil
}
