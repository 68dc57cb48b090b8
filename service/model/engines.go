package model

import "fmt"

// Engine is a way in which libtorch prepares a network for running. All compute the same, but for
// rounding; which is the fastest differs from network to network, and some networks run with a simple
// engine only.
type Engine string

// The engines, from the one that does the most to the one that does the least.
const (
	// Fused freezes the network and has oneDNN Graph compile it. There is none on ARM.
	Fused Engine = "fused"
	// Optimized is PyTorch's optimize_for_inference.
	Optimized Engine = "optimized"
	// Frozen folds parameters and BatchNorm into the graph, and changes no operator.
	Frozen Engine = "frozen"
	// Plain runs the network as it was saved.
	Plain Engine = "plain"
)

// Engines are all of them, in the order in which they are preferred where they are equally fast.
func Engines() []Engine { return []Engine{Fused, Optimized, Frozen, Plain} }

// Valid reports whether e is one of the engines.
func (e Engine) Valid() bool {
	switch e {
	case Fused, Optimized, Frozen, Plain:
		return true
	}
	return false
}

// EngineTime is what came of trying one engine on a network.
type EngineTime struct {
	Engine Engine `json:"engine"`
	// Milliseconds is the shortest inference of one image on one thread; 0 if the engine failed.
	Milliseconds float64 `json:"milliseconds,omitempty"`
	// Failure is why this engine cannot run the network, "" if it can.
	Failure string `json:"failure,omitempty"`
}

// engineMargin is how much faster a simpler engine must be to be taken: timing is noisy.
const engineMargin = 0.95

// Fastest picks the engine to run the network with. It is "" if none of them can run it.
func Fastest(times []EngineTime) Engine {
	var best EngineTime
	for _, e := range Engines() { // the preferred one first
		t, tried := TimeOf(times, e)
		if tried && t.Failure == "" && (best.Engine == "" || t.Milliseconds < best.Milliseconds*engineMargin) {
			best = t
		}
	}
	return best.Engine
}

// TimeOf is what came of trying that engine.
func TimeOf(times []EngineTime, e Engine) (EngineTime, bool) {
	for _, t := range times {
		if t.Engine == e {
			return t, true
		}
	}
	return EngineTime{}, false
}

func (t *Trial) check(check func(ok bool, format string, args ...any)) {
	if t == nil {
		return
	}
	const known = "fused, optimized, frozen or plain"
	check(t.Engine == "" || t.Engine.Valid(), "trial.engine is %q; use %s", t.Engine, known)
	for i, tried := range t.Engines {
		check(tried.Engine.Valid(), "trial.engines[%d].engine is %q; use %s", i, tried.Engine, known)
	}
}

// String is for people: "fused 12.3 ms".
func (t EngineTime) String() string {
	if t.Failure != "" {
		return fmt.Sprintf("%s failed", t.Engine)
	}
	return fmt.Sprintf("%s %.1f ms", t.Engine, t.Milliseconds)
}
