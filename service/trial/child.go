package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// reportTo is the descriptor that [Run] listens to.
const reportTo = 3

// Child is the process that [Run] starts: it reads a [Request] from stdin, limits itself, and tries the model. The error is for
// whoever started it by hand.
func Child(stdin io.Reader) error {
	var request Request
	if err := json.NewDecoder(stdin).Decode(&request); err != nil {
		return fmt.Errorf("this command is for vidi's own use: reading what to try: %w", err)
	}
	pipe := os.NewFile(reportTo, "report")
	if _, err := pipe.Stat(); err != nil {
		return errors.New("this command is for vidi's own use: nobody listens to its report")
	}
	out := json.NewEncoder(pipe)
	tell := func(m message) { _ = out.Encode(m) }   // nobody listens any more: nothing to do about it
	if err := request.Limits.impose(); err != nil { // the file is not to blame
		tell(message{Refused: &answer{Error: err.Error()}})
		return nil
	}
	report, err := try(context.Background(), request, func(stage string) { tell(message{Stage: stage}) })
	switch refused := (*Refusal)(nil); {
	case errors.As(err, &refused):
		tell(message{Refused: &answer{Why: refused.Why, Do: refused.Do}})
	case err != nil:
		tell(message{Refused: &answer{Error: err.Error()}})
	default:
		tell(message{Report: report})
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
	// Where memory gets short all the same, this process is the one to go. The file is absent outside Linux's usual /proc.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
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

func try(ctx context.Context, request Request, stage func(string)) (*Report, error) {
	stage("it was being loaded")
	if request.Examine {
		return examine(ctx, request, stage)
	}
	e, err := engine.Load(ctx, request.Path, engine.Config{Precision: request.Precision, Workers: 1, Threads: 1, Alone: 1})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return &Report{Outputs: len(e.Card().Labels), Input: e.Card().Input, Activation: e.Card().Activation}, nil
}

func examine(ctx context.Context, request Request, stage func(string)) (*Report, error) {
	file, err := model.Inspect(request.Path)
	if err != nil {
		return nil, err
	}
	cpu, err := torchbind.Runtime()
	if err != nil {
		return nil, err
	}
	probe, err := engine.OpenProbe(ctx, request.Path)
	if err != nil {
		return nil, &Refusal{Why: "cannot be loaded: " + plain(err), Do: adviceFor(err, file.Origin)}
	}
	defer probe.Close()
	x := examination{ctx: ctx, probe: probe, origin: file.Origin, report: &Report{Input: request.Input, Activation: request.Activation}}
	x.report.Trial.Torch = cpu.TorchVersion
	stage("its input size was being looked for")
	if err := x.findSize(); err != nil {
		return nil, err
	}
	stage("it was computing pictures")
	if err := x.answers(); err != nil {
		return nil, err
	}
	stage("its speed was being measured")
	return x.report, x.measure()
}
