package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// evilModels makes the files of tools/operators/evil.py, which write into target.
func evilModels(t *testing.T) (folder, target string) {
	t.Helper()
	folder, target = t.TempDir(), t.TempDir()
	python, script := torchtest.File(t, "build/venv/bin/python"), torchtest.File(t, "tools/operators/evil.py")
	if out, err := exec.Command(python, script, "--out", folder, "--target", target).CombinedOutput(); err != nil {
		t.Fatalf("the models were not made: %v\n%s", err, out)
	}
	return folder, target
}

// written is the files that models have written.
func written(t *testing.T, target string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(target)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names
}

// No model that does more than compute is loaded, by whichever command: it is refused before libtorch is given it, with the name of the
// operator, and has written nothing.
func TestModelsThatDoMoreThanCompute(t *testing.T) {
	folder, target := evilModels(t)
	says := map[string]string{ // by what the name begins with
		"save": "torch.save (code/", "read": "torch.from_file (code/", "map": "torch.from_file (code/", "print": "print (code/",
		"settings": "torch.manual_seed (code/", "save-by-getattr": "getattr (code/", "save-by-escapes": "getattr (code/",
		"save-by-halves": "getattr (code/", "save-by-ops": "ops.aten.save (code/", "save-by-autograd": "torch.autograd (code/",
		"save-by-alias": "torch (code/", "save-by-namespace": "ops (code/", "save-after-a-comment": "code/__torch__/plain.py, line 10",
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.pt"))
	if err != nil || len(files) != 18 {
		t.Fatalf("%d models were made (%v)", len(files), err)
	}
	picture := torchtest.File(t, "examples/cat.png")
	for _, file := range files {
		name := model.NameOfFile(file)
		kind, _, _ := strings.Cut(name, "-")
		want := says[name]
		if want == "" {
			want = says[kind]
		}
		for _, args := range [][]string{
			{"models", "add", file, "--models", t.TempDir()},
			{"classify", "-m", file, picture},
		} {
			ran := vidi(t, nil, args...)
			switch {
			case name == "plain":
				if ran.code != 0 {
					t.Errorf("%s was refused by %v:\n%s", name, args[0], ran.stderr)
				}
			case ran.code == 0 || !strings.Contains(ran.stderr, want) || !strings.Contains(ran.stderr, "--trust "):
				t.Errorf("%s by %v: code %d, without %q:\n%s", name, args[0], ran.code, want, ran.stderr)
			case strings.Contains(ran.stderr+ran.stdout, "forged"):
				t.Errorf("%s printed", name)
			}
		}
	}
	if names := written(t, target); names != nil {
		t.Errorf("models have written %v", names)
	}
}

// What is refused above does write: so the refusals are needed, and another spelling is another way. Without a process of its own.
func TestTrustedModelsDoWhatTheyDo(t *testing.T) {
	folder, target := evilModels(t)
	for _, name := range []string{"save", "save-on-load", "save-in-a-helper", "map", "save-by-getattr", "save-by-escapes", "save-by-halves",
		"save-by-ops", "save-by-autograd", "save-by-alias", "save-by-namespace", "save-after-a-comment"} {
		path := filepath.Join(folder, name+".pt")
		var refused *model.OperatorError
		if _, err := classify.Open(t.Context(), path, classify.Config{}); !errors.As(err, &refused) {
			t.Errorf("%s: refused with %v", name, err)
			continue
		}
		cfg := classify.Config{Engine: engine.Config{Workers: 1, Threads: 1, Alone: 1, Trust: model.Trust{SHA256: []string{refused.SHA256}}}}
		c, err := classify.Open(t.Context(), path, cfg)
		if err != nil {
			t.Errorf("%s, trusted: %v", name, err)
			continue
		}
		c.Close()
		if _, err := os.Stat(filepath.Join(target, name)); err != nil {
			t.Errorf("%s has not written, so that its refusal proves nothing: %v", name, err)
		}
	}
}

// Trust is given to one file, by its digest, to each command: what is in the folder adds nothing to it. It is shown, and is in the log.
func TestTrustIsGivenByDigest(t *testing.T) {
	models := t.TempDir()
	file := torchtest.File(t, "build/fixtures/prints.pt")
	sum, err := model.SHA256(file)
	if err != nil {
		t.Fatal(err)
	}
	if ran := vidi(t, nil, "models", "add", file, "--models", models); ran.code == 0 || !strings.Contains(ran.stderr, "--trust "+sum) {
		t.Fatalf("without trust: %d\n%s", ran.code, ran.stderr)
	}
	if ran := vidi(t, nil, "models", "add", file, "--models", models, "--trust", strings.Repeat("0", 64)); ran.code == 0 {
		t.Error("the trust in another file was enough")
	}
	if ran := vidi(t, nil, "models", "add", file, "--models", models, "--trust", "me"); ran.code != 2 || !strings.Contains(ran.stderr, "64 hexadecimal digits") {
		t.Errorf("no digest: %d\n%s", ran.code, ran.stderr)
	}
	ran := vidi(t, nil, "models", "add", file, "--models", models, "--trust", strings.ToUpper(sum))
	if ran.code != 0 {
		t.Fatalf("trusted: %d\n%s", ran.code, ran.stderr)
	}
	// The file that was added is another one: it has a card.
	placed := filepath.Join(models, "prints-1.pt")
	if sum, err = model.SHA256(placed); err != nil || !strings.Contains(ran.stdout+ran.stderr, "--trust "+sum) {
		t.Errorf("how to trust the file in the folder is not said (%v):\n%s%s", err, ran.stdout, ran.stderr)
	}
	manifest := fmt.Sprintf(`{"trusted": {%q: ["print"]}}`, sum)
	if err := os.WriteFile(filepath.Join(models, model.ManifestFile), []byte(manifest), 0o666); err != nil {
		t.Fatal(err)
	}
	if ran := vidi(t, nil, "classify", "-m", "prints", "--models", models, torchtest.File(t, "examples/cat.png")); ran.code == 0 {
		t.Error("what lies beside the file was believed")
	}
	if ran := vidi(t, nil, "models", "show", "prints", "--models", models, "--trust", sum); !strings.Contains(ran.stdout, "not on the list, and trusted: print") {
		t.Errorf("show says nothing of it:\n%s%s", ran.stdout, ran.stderr)
	}
	s := start(t, "--models", models, "--model", "prints", "--trust", sum).ready(t)
	s.waitFor(t, "the operators in the log", func() bool {
		log := s.stderr.String()
		return strings.Contains(log, "not on the list: somebody has trusted it") && strings.Contains(log, "operators=print")
	})
}
