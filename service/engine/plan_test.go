package engine

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vidi-vision/vidi/service/backend/backends"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestPlanNeverUsesMoreThreadsThanCores(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	for _, c := range []Config{{}, {Workers: 1}, {Threads: 1}, {Threads: cores}, {Workers: cores}, {Alone: 1}} {
		if p := c.plan(); p.Workers*p.Threads > cores || p.Alone > cores || p.Workers < 1 || p.Threads < 1 || p.Alone < p.Threads {
			t.Errorf("%+v: %v", c, p)
		}
	}
}

func TestPlanReadsWell(t *testing.T) {
	for want, plan := range map[string]Plan{
		"2 cores: 2 workers × 1 thread, a picture alone gets 2 threads": {Cores: 2, Workers: 2, Threads: 1, Alone: 2},
		"1 core: 1 worker × 1 thread":                                   {Cores: 1, Workers: 1, Threads: 1, Alone: 1},
		"8 cores: 2 workers × 4 threads":                                {Cores: 8, Workers: 2, Threads: 4, Alone: 4},
	} {
		if got := plan.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func mustBegin(t *testing.T, e *Engine) *Turn {
	t.Helper()
	turn, err := e.Begin(context.Background(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// The second module is used by a picture that is alone, and only then; both give the same answer.
func TestAPictureThatIsAloneGetsTheSecondModule(t *testing.T) {
	torchtest.NoLeaks(t)
	e := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 3, Threads: 1, Alone: 2})
	if outcome, err := e.WaitAlone(context.Background()); err != nil || outcome != (AloneOutcome{Used: true}) { // asked for, so nothing is measured
		t.Fatal(outcome, err)
	}
	if e.alone.loaded() == nil {
		t.Fatal("the second module is missing")
	}
	one := mustBegin(t, e)
	want, err := one.Infer(context.Background(), picture(32, 1))
	if err != nil {
		t.Fatal(err)
	}
	if e.pool.turns.Free() != 3 || len(e.pool.free) != 3 {
		t.Errorf("%d turns and %d workers are free after an inference alone; want 3 and 3", e.pool.turns.Free(), len(e.pool.free))
	}
	// With its worker gone, a picture that is alone fails, and one among others does not notice.
	e.workers.alone.Close()
	if _, err := one.Infer(context.Background(), picture(32, 1)); err == nil {
		t.Error("a picture that was alone did not use the second module")
	}
	two := mustBegin(t, e)
	if e.pool.turns.TakeFree(e.pool.plan.Images-1) || e.pool.turns.Free() != 2 {
		t.Errorf("beside another turn all others were taken, or %d are left; want 2", e.pool.turns.Free())
	}
	for _, turn := range []*Turn{one, two} {
		got, err := turn.Infer(context.Background(), picture(32, 1))
		if err != nil {
			t.Fatalf("a picture among others: %v", err)
		}
		for i := range want {
			if diff := got[i] - want[i]; diff > 1e-5 || diff < -1e-5 { // other thread counts add in another order
				t.Fatalf("alone %v, among others %v", want, got)
			}
		}
	}
	one.End()
	two.End()
	if e.pool.turns.Free() != 4 || len(e.pool.free) != 3 {
		t.Errorf("%d turns and %d workers are free at the end; want 4 and 3", e.pool.turns.Free(), len(e.pool.free))
	}
}

func TestOneThreadAloneNeedsNoSecondModule(t *testing.T) {
	torchtest.NoLeaks(t)
	e := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 2, Threads: 1, Alone: 1})
	if _, err := e.WaitAlone(context.Background()); err != nil || e.alone.loaded() != nil {
		t.Errorf("error %v, second module %v", err, e.alone.loaded())
	}
}

// Where nobody asked for them, all threads are only used if the model is faster with them; whichever it is, it was measured, and no
// module is left that nobody uses.
func TestAllThreadsHaveToBeWorthIt(t *testing.T) {
	torchtest.NoLeaks(t)
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("a single core has no plan for pictures that are alone")
	}
	e := mustLoad(t, "fixtures/tiny.pt", Config{})
	outcome, err := e.WaitAlone(context.Background())
	if err != nil || outcome.Among <= 0 || outcome.Alone <= 0 {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if worth := outcome.Ratio*100 <= worthwhilePercent; outcome.Used != worth || (e.alone.loaded() != nil) != worth {
		t.Errorf("%+v, and the second module is %v", outcome, e.alone.loaded())
	}
	if len(e.pool.free) != e.pool.plan.Workers || e.pool.turns.Free() != e.pool.plan.Images {
		t.Errorf("%d workers and %d turns are free", len(e.pool.free), e.pool.turns.Free())
	}
}

// A yes takes two looks, a no four with pauses, a look that was disturbed decides nothing, and nobody waits for
// the pauses of an engine that is closed.
func TestJudge(t *testing.T) {
	look := func(among, alone time.Duration) []pair { return slices.Repeat([]pair{{among, alone}}, comparisons) }
	yes, no, disturbed := look(100, 95), look(100, 96), look(268, 33)
	for _, c := range []struct {
		looks [][]pair
		used  bool
		takes time.Duration
	}{
		{[][]pair{yes, yes}, true, time.Second},
		{[][]pair{disturbed, no, no, no}, false, 7 * time.Second},
		{[][]pair{disturbed, yes}, true, time.Second},
		{[][]pair{no, yes, yes}, true, 3 * time.Second},
		{[][]pair{no, no, no, no}, false, 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked, begun := 0, time.Now()
			outcome, err := judge(t.Context(), func() ([]pair, error) { asked++; return c.looks[asked-1], nil })
			if err != nil || outcome.Used != c.used || asked != len(c.looks) || time.Since(begun) != c.takes {
				t.Errorf("%v: %+v, %v after %d looks and %v", c.looks, outcome, err, asked, time.Since(begun))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		if outcome, err := judge(ctx, func() ([]pair, error) { return no, nil }); err != context.Canceled || outcome != (AloneOutcome{}) {
			t.Errorf("closed in the first pause: %+v, %v", outcome, err)
		}
	})
}

// While the machine is never idle nothing is found out and no picture gets all threads; closing the engine does not wait for the end of that.
func TestABusyMachineIsNotCompared(t *testing.T) {
	torchtest.NoLeaks(t)
	pool, err := NewPool(Config{Backends: backends.All(), Workers: 2, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if pool.plan.Alone < 2 {
		t.Skip("a single core has no plan for pictures that are alone")
	}
	turn, err := pool.turns.Take(context.Background(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	e, err := pool.Load(context.Background(), inspected(t, torchtest.File(t, "build/fixtures/tiny.pt")), FP32, "", Memory{})
	if err != nil {
		t.Fatal(err)
	}
	e.WaitCompiled(context.Background())
	waiting, stop := context.WithTimeout(context.Background(), 5*busyPause)
	defer stop()
	if outcome, err := e.WaitAlone(waiting); err != context.DeadlineExceeded || e.alone.loaded() != nil {
		t.Errorf("with a worker in use: %+v, %v, second module %v", outcome, err, e.alone.loaded())
	}
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for a worker to be free")
	}
	pool.turns.Give(turn)
}

// The gain is asked for only where the CPU has bf16; elsewhere oneDNN may know no way to compute it at all, which is an error.
func TestBF16GainIsMeasured(t *testing.T) {
	torchtest.NoLeaks(t)
	cpu, err := torchbind.Runtime()
	if err != nil {
		t.Fatal(err)
	}
	gain, err := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 1}).BF16Gain(context.Background())
	if (err != nil && cpu.HasNativeBF16) || (err == nil) != (gain > 0.01 && gain < 100) {
		t.Errorf("gain %g, %v; native bf16: %v", gain, err, cpu.HasNativeBF16)
	}
	t.Logf("bf16 gain here: %.1f (%v)", gain, err)
}
