package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/backend/backends"
	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/torchbind"
)

// reportTo is the descriptor that [Run] listens to.
const reportTo = 3

// Child is the process that [Run] starts: it reads a [Request] from stdin, limits itself, and tries the model. The error is for
// whoever started it by hand.
func Child(stdin io.Reader) error { return child(stdin, func(message) {}) }

// child also calls watch with everything that it has told.
func child(stdin io.Reader, watch func(message)) error {
	var o order
	if err := json.NewDecoder(stdin).Decode(&o); err != nil {
		return fmt.Errorf("this command is for vidi's own use: reading what to try: %w", err)
	}
	pipe := os.NewFile(reportTo, "report")
	if _, err := pipe.Stat(); err != nil {
		return errors.New("this command is for vidi's own use: nobody listens to its report")
	}
	out := json.NewEncoder(pipe)
	tell := func(m message) {
		_ = out.Encode(m) // nobody listens any more: nothing to do about it
		watch(m)
	}
	if err := confine(o.Limits); err != nil { // the file is not to blame
		tell(message{Refused: &refused{Error: err.Error()}})
		return nil
	}
	report, err := try(context.Background(), o, tell)
	switch refusal := (*Refusal)(nil); {
	case errors.As(err, &refusal):
		tell(message{Refused: &refused{Why: refusal.Why, Do: refusal.Do}})
	case err != nil:
		tell(message{Refused: &refused{Error: err.Error()}})
	default:
		tell(message{Report: report})
	}
	return nil
}

// confine leaves this process what trying a model takes. Where it starts Landlock holds it already
// (see startHeld). Libraries are opened first: their own start may make other system calls than
// models do.
func confine(l Limits) error {
	if err := l.impose(); err != nil {
		return err
	}
	mode, err := sandbox.Wanted()
	if err != nil || mode == sandbox.Off {
		return err
	}
	if err := errors.Join(torchbind.Open(), codec.Open()); err != nil {
		return err
	}
	torchbind.NameTrappedCalls()
	if err := sandbox.ForbidCalls(); err != nil {
		return fmt.Errorf("%w: models are programs, and are not tried without that; %s=off does",
			err, sandbox.Variable)
	}
	return nil
}

// impose puts the limits on this process. Where its user has a lower one, that stays.
func (l Limits) impose() error {
	// Go reserves address space that it never uses, so what there is now does not count.
	space, err := addressSpace()
	if err != nil {
		return err
	}
	seconds := uint64(l.cpu().Seconds()) + 1
	for _, limit := range []struct {
		what  int
		value uint64
	}{
		{unix.RLIMIT_AS, space + uint64(l.Memory)}, {unix.RLIMIT_CPU, seconds}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0},
	} {
		var has unix.Rlimit
		err := unix.Getrlimit(limit.what, &has)
		if err == nil {
			least := min(limit.value, has.Max) // only root may raise it
			err = unix.Setrlimit(limit.what, &unix.Rlimit{Cur: least, Max: least})
		}
		if err != nil {
			return fmt.Errorf("limiting the process that tries the model: %w", err)
		}
	}
	return nil
}

// addressSpace is the bytes that this process has mapped.
func addressSpace() (uint64, error) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, _, _ := strings.Cut(string(data), " ")
	n, err := strconv.ParseUint(pages, 10, 64)
	return n * uint64(os.Getpagesize()), err
}

func try(ctx context.Context, o order, tell func(message)) (*Report, error) {
	file, err := model.Inspect(o.Path)
	if err != nil {
		return nil, err
	}
	if o.Identity != (model.Identity{}) {
		if err := file.Require(o.Identity); err != nil {
			return nil, err
		}
	}
	o.file = file
	if o.backend, err = backend.Pick(backends.All(), file); err != nil {
		return nil, err
	}
	if o.Examine {
		return examine(ctx, o, tell)
	}
	return vet(ctx, o, tell)
}

// vet loads a file as it would be loaded to serve, with the engine in its card. Where that has none for
// this precision, or it failed, the engines are timed first.
func vet(ctx context.Context, o order, tell func(message)) (*Report, error) {
	const loading = "it was being loaded"
	tell(message{Stage: loading})
	begun := anonymousMemory()
	card := o.file.CardOrBare(1)
	precision, err := o.Precision.Resolve(o.backend, card)
	if err != nil {
		return nil, err
	}
	report := &Report{Input: card.Input}
	if t := card.Trial; t != nil && precision == backend.FP32 {
		report.Trial.Engine = t.Engine
	}
	if _, failed := model.TimeOf(o.Failed, report.Trial.Engine); failed || report.Trial.Engine == "" {
		// What the plain engine cannot do, loading says in better words.
		report.Trial.Engine = model.Plain
		if c, err := compareForCard(ctx, o, card, precision, tell); err == nil {
			report.setEngines(c.times)
		}
	}
	tell(message{Stage: loading, Trying: report.Trial.Engine})
	measured := measure(begun)
	e, err := engine.LoadFile(ctx, o.file, engine.Config{Backends: []backend.Backend{o.backend}, Precision: o.Precision, Prepared: report.Trial.Engine, Workers: 1, Threads: 1, Alone: 1, Trust: o.Trust})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	report.Outputs, report.Activation, report.Trial.Engine = len(e.Card().Labels), e.Card().Activation, e.Prepared()
	if err := answer(ctx, e, report); err != nil {
		return nil, err
	}
	report.Memory.Loaded, report.Memory.Most = measured()
	report.Memory.LoadTensors, report.Memory.RunTensors = e.TensorPeaks()
	return report, nil
}

// answerRuns are enough for a time that one interruption does not spoil.
const answerRuns = 3

// answer puts the answer to the photograph into the report, and how long it takes at least.
func answer(ctx context.Context, e *engine.Engine, report *Report) error {
	card := e.Card()
	image, err := photograph(card.Input)
	if err != nil {
		return err
	}
	shortest := time.Duration(math.MaxInt64)
	var output []float32
	for range answerRuns {
		begun := time.Now()
		if output, err = e.Infer(ctx, image); err != nil {
			return err
		}
		shortest = min(shortest, time.Since(begun))
	}
	report.Trial.Milliseconds = rounded(shortest)
	report.Trial.Golden, err = golden(card.Activation, output)
	return err
}

func examine(ctx context.Context, o order, tell func(message)) (*Report, error) {
	cpu, err := torchbind.Runtime()
	if err != nil {
		return nil, err
	}
	tell(message{Stage: "it was being loaded"})
	probe, err := engine.OpenProbe(ctx, o.backend, o.file, o.Trust, model.Plain, backend.FP32)
	if err != nil {
		return nil, &Refusal{Why: "cannot be loaded: " + plain(err), Do: adviceFor(err, o.file.Origin)}
	}
	defer probe.Close()
	x := examination{ctx: ctx, probe: probe, origin: o.file.Origin, report: &Report{Input: o.Input, Activation: o.Activation}}
	if o.Found != nil {
		x.report = o.Found
	} else {
		x.report.Trial.Torch = cpu.TorchVersion
		tell(message{Stage: "its input size was being looked for"})
		if err := x.findSize(); err != nil {
			return nil, err
		}
		tell(message{Stage: "it was computing pictures"})
		if err := x.answers(); err != nil {
			return nil, err
		}
		tell(message{Found: x.report})
		tell(message{Stage: "other input sizes were being tried"})
		x.findOtherSizes()
		tell(message{Found: x.report})
	}
	return x.report, x.compareEngines(o, tell)
}
