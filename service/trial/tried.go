package trial

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

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

// Verdict is what is remembered of a file that is good: how to run it, and what it takes. The zero value leaves both open.
type Verdict struct {
	Engine model.Engine  `json:"engine"`
	Memory engine.Memory `json:"memory"`
}

// noted is a verdict as it is written down.
type noted struct {
	Version string `json:"version"`
	Verdict
}

// Knows is the verdict on a file of that digest, if it was tried in that precision.
func (t Tried) Knows(sum string, p engine.Precision) (Verdict, bool) {
	if t.Dir == "" {
		return Verdict{}, false
	}
	data, err := os.ReadFile(t.file(sum, p))
	var n noted
	if err != nil || json.Unmarshal(data, &n) != nil || n.Version != t.Version || !n.Engine.Valid() {
		return Verdict{}, false
	}
	return n.Verdict, true
}

// Remember notes the verdict on a file that was tried, and is good. That it cannot be
// written (a read-only disk) only costs time.
func (t Tried) Remember(sum string, p engine.Precision, verdict Verdict) {
	if t.Dir == "" || os.MkdirAll(t.Dir, 0o755) != nil {
		return
	}
	draft, err := os.CreateTemp(t.Dir, ".draft-")
	if err != nil {
		return
	}
	defer os.Remove(draft.Name())
	err = json.NewEncoder(draft).Encode(noted{t.Version, verdict})
	if closing := draft.Close(); err == nil && closing == nil {
		_ = os.Rename(draft.Name(), t.file(sum, p))
	}
}

// Ensure sees that the model file at path is the one that was added, and loads and computes in a process of
// its own; what was tried before is not tried again. It returns the file that it saw, to be loaded and no other one. trying, if it is
// not nil, is called before that takes its time. Errors say what is wrong with the file in words for its
// owner.
func (t Tried) Ensure(ctx context.Context, path string, p engine.Precision, trying func(path string)) (*model.File, Verdict, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, Verdict{}, err
	}
	if err := file.Permit(t.Trust); err != nil {
		return nil, Verdict{}, err
	}
	sum, err := file.SHA256()
	if err != nil {
		return nil, Verdict{}, err
	}
	if err := model.CheckSum(path, sum); err != nil {
		return nil, Verdict{}, err
	}
	if verdict, known := t.Knows(sum, p); known {
		return file, verdict, nil
	}
	if err := model.CheckRecords(path); err != nil {
		return nil, Verdict{}, err
	}
	if trying != nil {
		trying(path)
	}
	request := Request{Path: path, Identity: file.Identity, Precision: p, Limits: DefaultLimits(file.Bytes), Trust: file.Trusted(sum)}
	report, err := Run(ctx, request, nil)
	if err != nil {
		return nil, Verdict{}, err
	}
	t.Remember(sum, p, report.Verdict())
	return file, report.Verdict(), nil
}
