package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// TestMain makes this test program what the real one is: when Run starts it again, it is the process that tries the model.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], Arguments) {
		if err := child(os.Stdin, saboteur(os.Getenv(sabotage))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	os.Exit(m.Run())
}

func fixture(t testing.TB, name string) string { return torchtest.File(t, "build/fixtures/"+name) }

// patient is for a machine that does other things too; what is refused must not be refused by it.
var patient = Limits{Memory: 4 << 30, Time: 2 * time.Minute}

func unknown() model.Input {
	in := model.ImageNetInput()
	in.Crop, in.Resize = model.Crop{}, model.Resize{}
	return in
}

func examined(t testing.TB, path string, in model.Input, l Limits) (*Report, error) {
	t.Helper()
	sum, _ := model.SHA256(path) // trusted: what a network may do is not what is tested here; of a file that is not there it is ""
	return Run(context.Background(), Request{Path: path, Examine: true, Input: in, Limits: l, Trust: model.Trust{SHA256: []string{sum}}}, nil)
}

func TestExamineFindsOutWhatANetworkIs(t *testing.T) {
	for _, c := range []struct {
		name             string
		crop, outputs    int
		anySize          bool
		activation, ends model.Activation
	}{
		{"bare_traced.pt", 224, 10, true, model.Softmax, ""},
		{"double.pt", 224, 3, true, model.Softmax, ""},
		{"fixed96.pt", 96, 4, false, model.Softmax, ""},
		{"softmax.pt", 224, 5, true, model.None, model.Softmax},
		{"sigmoid.pt", 224, 5, true, model.None, model.Sigmoid},
		{"one_output.pt", 224, 1, true, model.Sigmoid, ""},
		{"prints.pt", 224, 3, true, model.Softmax, ""}, // what it prints looks like a report, and is not taken for one
	} {
		r, err := examined(t, fixture(t, c.name), unknown(), patient)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r.Input.Crop != model.Square(c.crop) || r.Outputs != c.outputs || r.AnySize != c.anySize || r.Activation != c.activation || r.Probabilities != c.ends {
			t.Errorf("%s: %+v", c.name, r)
		}
		if len(r.Trial.Golden) != min(5, c.outputs) || r.Trial.Milliseconds <= 0 || r.Trial.Torch == "" || r.Constant {
			t.Errorf("%s: %+v", c.name, r.Trial)
		}
	}
}

// The photograph is what it always was, and a real model knows it.
func TestGoldenPicture(t *testing.T) {
	if got := fmt.Sprintf("%.8s", sum(t, "espresso.jpg")); got != "2f23a5d1" {
		t.Errorf("espresso.jpg has changed (%s): every card's answer is to the old one", got)
	}
	file, err := model.Inspect(torchtest.File(t, "build/models/efficientnet-lite0.pt"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := examined(t, file.Path, file.Card.Input, DefaultLimits(file.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	// Python's answer (tools/reference) to the same file is 0.8862.
	if first := r.Trial.Golden[0]; first.ClassID != 967 || first.Probability < 0.8812 || first.Probability > 0.8912 {
		t.Errorf("answered %+v", r.Trial.Golden)
	}
}

func sum(t *testing.T, path string) string {
	t.Helper()
	s, err := model.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExamineRefusesWithTheReason(t *testing.T) {
	for name, want := range map[string][2]string{
		"nan.pt":             {"NaN or infinity for a grey picture", "torch.isfinite"},
		"nan_where_flat.pt":  {"NaN or infinity for a grey picture", "divides by zero"},
		"tuple_output.pt":    {"returned a Tuple", `output["logits"]`},
		"int_output.pt":      {"int64[1×3]", "before argmax"},
		"wrong_shape.pt":     {"float32[1000]", "1 × classes"},
		"throws.pt":          {"this model always fails", "--crop"},
		"in_training.pt":     {"different answers to the same picture", "model.eval()"},
		"grey28.pt":          {"takes grey pictures (1 × 1 × 28 × 28)", "x.mean(1, keepdim=True)"},
		"colours_last.pt":    {"colours last", "permute"},
		"batch8.pt":          {"a batch of 8 images: it computes 8 × 3 × 224 × 224", "torch.rand(1, 3, 224, 224)"},
		"half.pt":            {"Half", "model.float()"},
		"hungry.pt":          {"of memory that it may take", "--memory"},
		"state_dict.pth":     {"a state_dict", "load_state_dict"},
		"card_no_such.pt":    {"no such file", ""},
		"../models/none.txt": {"no such file", ""},
	} {
		_, err := examined(t, filepath.Join(filepath.Dir(fixture(t, "tiny.pt")), name), unknown(), patient)
		if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(err.Error(), want[1]) {
			t.Errorf("%s: want %q and %q in: %v", name, want[0], want[1], err)
		}
	}
}

// What a card says and a network does not do is found out here, and the message has the number that is right.
func TestExamineRefusesASizeThatTheNetworkDoesNotTake(t *testing.T) {
	in := model.ImageNetInput()
	_, err := examined(t, fixture(t, "fixed96.pt"), in, patient)
	if err == nil || !strings.Contains(err.Error(), "cannot compute a picture of 224 × 224, but one of 96 × 96") || !strings.Contains(err.Error(), "--crop 96") {
		t.Errorf("%v", err)
	}
}

// A size that is not square is found, and asked for where another was.
func TestExamineFindsARectangle(t *testing.T) {
	r, err := examined(t, fixture(t, "fixed128x64.pt"), unknown(), patient)
	if want := (model.Crop{Height: 128, Width: 64}); err != nil || r.Input.Crop != want || r.Input.Resize != model.Squeeze(128, 64) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A process that hangs, eats memory or crashes is a refusal that says so, while this one goes on.
func TestDeathsAreRefusals(t *testing.T) {
	short := Limits{Memory: 4 << 30, Time: 6 * time.Second}
	var stages []string
	request := Request{Path: fixture(t, "hangs.pt"), Examine: true, Input: unknown(), Limits: short}
	begun := time.Now()
	_, err := Run(context.Background(), request, func(s string) { stages = append(stages, s) })
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Why, "not done in 6s") || len(stages) == 0 || time.Since(begun) > 30*time.Second {
		t.Errorf("hangs.pt: %v after %v, at %v", err, time.Since(begun), stages)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, request, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := examined(t, fixture(t, "tiny.pt"), unknown(), Limits{Memory: 60 << 20, Time: time.Minute}); err == nil {
		t.Error("60 MB were enough for libtorch")
	} else {
		t.Logf("with 60 MB: %v", err)
	}
	if _, err := examined(t, nested(t), unknown(), patient); !errors.As(err, &refusal) {
		t.Errorf("nested parentheses: %v", err)
	} else if !strings.Contains(refusal.Why, "crashed") {
		t.Logf("nested parentheses did not crash libtorch, but: %v", err)
	}
}

// A crash on a C thread, where modules are run, leaves a signal and no text.
func TestSilentCrashIsNamed(t *testing.T) {
	for signal, want := range map[string]string{"SEGV": "libtorch crashed (segmentation fault)", "ABRT": "libtorch ended the process (abort)"} {
		cmd := exec.Command("sh", "-c", "ulimit -c 0; kill -s "+signal+" $$")
		exit := cmd.Run()
		if got := death(cmd.ProcessState, exit, false, "", patient); got != want {
			t.Errorf("%s: %q, want %q", signal, got, want)
		}
	}
}

// nested is a whole archive whose code nests parentheses so deep that libtorch's parser runs out of stack.
func nested(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "nested.pt")
	rewrite(t, fixture(t, "tiny.pt"), path, func(name string, data []byte) []byte {
		if !strings.HasSuffix(name, ".py") {
			return data
		}
		return []byte(strings.Replace(string(data), "return ", "return "+strings.Repeat("(", 300_000)+"1"+strings.Repeat(")", 300_000)+" + ", 1))
	})
	return path
}

func TestEnsureRemembers(t *testing.T) {
	memory := Tried{Dir: filepath.Join(t.TempDir(), "tried"), Version: "1"}
	tries := 0
	ensure := func(path string, p engine.Precision) error {
		file, verdict, err := memory.Ensure(context.Background(), path, p, func(string) { tries++ })
		if m := verdict.Memory; err == nil && (!verdict.Engine.Valid() || !m.Known() || m.RunTensors == 0 || m.Loaded == 0 || m.Most < m.Loaded || file.Path != path) {
			t.Errorf("%s in %s: %+v", path, p, verdict)
		}
		return err
	}
	tiny := fixture(t, "tiny.pt")
	for _, c := range []struct {
		precision engine.Precision
		tries     int
	}{{engine.FP32, 1}, {engine.FP32, 1}, {"", 1}, {engine.BF16, 2}, {engine.BF16, 2}} {
		if err := ensure(tiny, c.precision); err != nil || tries != c.tries {
			t.Errorf("%s: tried %d times, %v", c.precision, tries, err)
		}
	}
	memory.Version = "2"
	if err := ensure(tiny, engine.FP32); err != nil || tries != 3 {
		t.Errorf("another version: tried %d times, %v", tries, err)
	}
	if err := ensure(fixture(t, "nan.pt"), engine.FP32); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("nan.pt: %v", err)
	}
	if err := ensure(fixture(t, "nan.pt"), engine.FP32); err == nil || tries != 5 {
		t.Errorf("a refusal was remembered: tried %d times, %v", tries, err)
	}
	if err := ensure(tiny, engine.Int8); err == nil || !strings.Contains(err.Error(), "not quantised") {
		t.Errorf("int8: %v", err)
	}
	// Where nothing can be remembered everything works.
	nowhere := Tried{Dir: "/proc/no/such", Version: "1"}
	if _, _, err := nowhere.Ensure(context.Background(), tiny, engine.FP32, nil); err != nil {
		t.Errorf("nowhere to write: %v", err)
	}
}

// The Python that a network gets which returns more than one tensor runs, for tuples and for dictionaries.
func TestLogitsRecipeRuns(t *testing.T) {
	for _, output := range []string{`(y, x)`, `{"logits": y}`} {
		var recipe strings.Builder
		for line := range strings.Lines(adviceOne) {
			if code, indented := strings.CutPrefix(line, "    "); indented {
				recipe.WriteString(code)
			}
		}
		run := exec.Command(fixture(t, "../venv/bin/python"), "-W", "ignore", "-c", `
import torch
class Net(torch.nn.Module):
    def forward(self, x):
        y = x.mean([2, 3])
        return `+output+`
model = Net()
`+recipe.String())
		run.Dir = t.TempDir()
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", output, err, recipe.String(), out)
			continue
		}
		if _, err := model.Inspect(filepath.Join(run.Dir, "model.pt")); err != nil {
			t.Errorf("%s: %v", output, err)
		}
	}
}
