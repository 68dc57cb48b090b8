package torchbind_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The networks of tools/export/idioms.py: idiomNetworks in all, idiomPart in one run of the tests, and idiomAfter is the variable
// that has the test binary look at some of them.
const (
	idiomNetworks = 300
	idiomPart     = 30
	idiomAfter    = "VIDI_IDIOMS_AFTER"
)

// No picture ends the process, whichever engine runs the network: 300 small networks, scripted and traced, each with an operator that
// throws for a red picture, in forward, in a helper method, a submodule, a branch, a loop. Each must report it and then answer a grey
// picture. A tenth of them runs each day; VIDI_IDIOMS=all runs them all.
func TestNoPictureEndsTheProcess(t *testing.T) {
	first, count := int(time.Now().Unix()/86400)%(idiomNetworks/idiomPart)*idiomPart, idiomPart
	if os.Getenv("VIDI_IDIOMS") == "all" {
		first, count = 0, idiomNetworks
	}
	folder := t.TempDir()
	python := torchtest.File(t, "build/venv/bin/python")
	script := torchtest.File(t, "tools/export/idioms.py")
	out, err := exec.Command(python, script, "--out", folder, "--first", strconv.Itoa(first), "--count", strconv.Itoa(count)).CombinedOutput()
	if err != nil {
		t.Fatalf("the networks were not made: %v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.pt"))
	if err != nil || len(files) != count {
		t.Fatalf("%d networks were made, want %d (%v)", len(files), count, err)
	}
	var refused []string
	for after := 0; after < len(files); {
		reached := lookAtIdioms(t, folder, after, &refused)
		if reached <= after { // it died: at the network that it had begun
			reached = after + 1
		}
		after = reached
	}
	t.Logf("networks %d to %d of %d, the rest left out; %d refusals by an engine:\n%s", first, first+count-1, idiomNetworks,
		len(refused), strings.Join(refused, "\n"))
	if len(refused) > count { // of 4 or 8 for each network
		t.Error("so many refusals would hide what this test is for")
	}
}

// lookAtIdioms has a child look at the networks of a folder from number after on, and returns up to which it came. A line of the child is
// "begin NUMBER NAME", "refused TEXT" or "wrong TEXT".
func lookAtIdioms(t *testing.T, folder string, after int, refused *[]string) (reached int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), idiomAfter+"="+strconv.Itoa(after), "VIDI_IDIOMS_FOLDER="+folder)
	lines, err := child.StdoutPipe()
	must(t, err)
	var crash strings.Builder
	child.Stderr = &crash
	must(t, child.Start())
	current, reached := "nothing yet", after
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		kind, text, _ := strings.Cut(scanner.Text(), " ")
		switch kind {
		case "begin":
			number, name, _ := strings.Cut(text, " ")
			current = name
			if n, err := strconv.Atoi(number); err == nil {
				reached = n + 1
			}
		case "refused":
			*refused = append(*refused, text)
		case "wrong":
			t.Error(text)
		}
	}
	if err := child.Wait(); err != nil {
		text := crash.String()
		t.Errorf("%s ended the process: %v\n%s", current, err, text[:min(len(text), 1000)])
	}
	return reached
}

// idiomChild is the child of lookAtIdioms.
func idiomChild(after string) int {
	skip, err := strconv.Atoi(after)
	if err != nil {
		return 2
	}
	files, err := filepath.Glob(filepath.Join(os.Getenv("VIDI_IDIOMS_FOLDER"), "*.pt"))
	if err != nil || len(files) == 0 {
		return 2
	}
	worker, err := torchbind.NewWorker(1)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer worker.Close()
	for i, file := range files[skip:] {
		look := idiomLook{worker: worker, file: file, out: os.Stdout, number: skip + i}
		look.all()
	}
	return 0
}

// idiomLook is one network, looked at with every engine.
type idiomLook struct {
	worker *torchbind.Worker
	file   string
	number int
	out    io.Writer
	want   []float32 // what the plain engine answers a grey picture in float32
}

func (l *idiomLook) all() {
	l.want = nil
	engines := []torchbind.Engine{torchbind.EnginePlain, torchbind.EngineFrozen, torchbind.EngineOptimized, torchbind.EngineAuto}
	for _, precision := range []torchbind.Precision{torchbind.FP32, torchbind.BF16} {
		if precision == torchbind.BF16 && l.number%3 != 0 {
			continue
		}
		for _, engine := range engines {
			name := fmt.Sprintf("%s, %v, %s", filepath.Base(l.file), engine, precision)
			fmt.Fprintf(l.out, "begin %d %s\n", l.number, name)
			l.one(name, torchbind.Options{Engine: engine, Precision: precision})
		}
	}
}

func (l *idiomLook) one(name string, o torchbind.Options) {
	module, err := torchbind.Load(l.file, o)
	if err != nil {
		l.refuse(name, o, err)
		return
	}
	defer module.Close()
	l.fails(name, module, o) // before it is compiled
	grey, err := l.run(module, false, l.worker.Warm)
	if err != nil {
		l.refuse(name, o, err)
		l.fails(name, module, o)
		return
	}
	l.answers(name, grey, o)
	for range 3 {
		l.fails(name, module, o)
	}
	fork, err := module.Fork()
	if err != nil {
		fmt.Fprintf(l.out, "wrong %s: no fork: %v\n", name, err)
		return
	}
	defer fork.Close()
	l.fails(name+", fork", fork, o)
	if grey, err = l.run(fork, false, l.worker.Warm); err != nil {
		fmt.Fprintf(l.out, "wrong %s: the fork fails: %v\n", name, err)
	} else {
		l.answers(name+", fork", grey, o)
	}
	l.fails(name+", fork", fork, o)
	if grey, err = l.run(module, false, l.worker.Run); err != nil {
		fmt.Fprintf(l.out, "wrong %s: no answer after an error: %v\n", name, err)
	} else {
		l.answers(name, grey, o)
	}
}

// refuse reports that an engine cannot run the network, which others are there for. Plain runs all of them.
func (l *idiomLook) refuse(name string, o torchbind.Options, err error) {
	kind := "refused"
	if o.Engine == torchbind.EnginePlain && o.Precision == torchbind.FP32 {
		kind = "wrong"
	}
	fmt.Fprintf(l.out, "%s %s: %v\n", kind, name, err)
}

// fails shows it a red picture.
func (l *idiomLook) fails(name string, m *torchbind.Module, o torchbind.Options) {
	_, err := l.run(m, true, l.worker.Run)
	if err == nil || !errors.Is(err, torchbind.ForwardFailed) && !errors.Is(err, torchbind.OutOfMemory) {
		fmt.Fprintf(l.out, "wrong %s: at a red picture: %v\n", name, err)
	}
}

// answers compares with the plain engine: 1e-4 is for other orders of addition, 0.2 for bfloat16's rounding of outputs of order 1.
func (l *idiomLook) answers(name string, grey []float32, o torchbind.Options) {
	if l.want == nil {
		l.want = slices.Clone(grey)
	}
	tolerance := 1e-4
	if o.Precision == torchbind.BF16 {
		tolerance = 0.2
	}
	if len(grey) != len(l.want) || distance(grey, l.want) > tolerance {
		fmt.Fprintf(l.out, "wrong %s: it answers %v, plainly %v\n", name, grey, l.want)
	}
}

func (l *idiomLook) run(m *torchbind.Module, red bool, run func(*torchbind.Module, *torchbind.Tensor) (*torchbind.Tensor, error)) ([]float32, error) {
	rgb := make([]byte, 32*32*3)
	for i := range rgb {
		rgb[i] = byte(i/3*31 + i/3*(i/3)/7) // grey, and not of one brightness
		if red {
			rgb[i] = [3]byte{255, 0, 0}[i%3]
		}
	}
	x, err := torchbind.NewInput(rgb, 1, 32, 32, [3]float32{0.5, 0.5, 0.5}, [3]float32{0.25, 0.25, 0.25}, m.InputDType())
	if err != nil {
		return nil, err
	}
	defer x.Close()
	y, err := run(m, x)
	if err != nil {
		return nil, err
	}
	defer y.Close()
	return y.Float32s()
}
