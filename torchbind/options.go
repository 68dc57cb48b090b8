package torchbind

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Engine is how a module is prepared for running.
type Engine int

// The engines. [EngineAuto] is right except for comparing.
const (
	EngineAuto      Engine = 0 // fused where libtorch has the fuser, else optimized
	EngineFused     Engine = 1 // frozen, fused by oneDNN Graph, with 3×3 convolutions in float32 and quantised additions of its own (cgo)
	EngineOptimized Engine = 2 // torch::jit::optimize_for_inference
	EnginePlain     Engine = 3 // as saved: the slow reference
	EngineFrozen    Engine = 4 // frozen, batch norms folded, nothing fused: between optimized and plain
)

// engineNames are indexed by Engine.
var engineNames = [...]string{"auto", "fused", "optimized", "plain", "frozen"}

// String is the engine's name in lower case, such as "fused".
func (e Engine) String() string {
	if e < 0 || int(e) >= len(engineNames) {
		return fmt.Sprintf("engine %d", int(e))
	}
	return engineNames[e]
}

// ParseEngine is the engine that [Engine.String] gives that name. Error: [InvalidArgument].
func ParseEngine(name string) (Engine, error) {
	if i := slices.Index(engineNames[:], name); i >= 0 {
		return Engine(i), nil
	}
	return 0, &Error{Package: shim.Package, Op: "choose an engine", Subject: name, Code: InvalidArgument,
		Message: "unknown engine: use " + strings.Join(engineNames[:], ", ")}
}

// Precision is the element type a module computes in.
type Precision string

// The precisions. A file that was quantised to 8 bits is loaded as FP32: its operators are 8-bit already.
const (
	FP32 Precision = "fp32"
	BF16 Precision = "bf16"
)

func (p Precision) dtype() DType {
	if p == BF16 {
		return BFloat16
	}
	return Float32
}

// Options say how a module is loaded; the zero value is a fused float32 module.
type Options struct {
	Engine    Engine
	Precision Precision // "" is FP32
	ExtraFile string    // name of a file inside the archive to keep for Module.Extra, such as "vidi.json"; "" for none
	MaxBytes  int64     // that tensors may take at one time while the module is loaded; 0 is no limit
}

// Limits are what one run of a module may cost; 0 is no limit.
type Limits struct {
	Bytes int64 // of tensors that the run makes, at one time
	// Time is on the clock. Each loop in the network asks at every turn whether it is over; one long operator nothing can end.
	Time time.Duration
}

func (o Options) validate(subject string) error {
	switch {
	case o.Precision != "" && o.Precision != FP32 && o.Precision != BF16:
		return &Error{Package: shim.Package, Op: "load", Subject: subject, Code: InvalidArgument, Message: fmt.Sprintf("unknown precision %q: use fp32 or bf16", o.Precision)}
	case o.Engine < EngineAuto || o.Engine > EngineFrozen:
		return &Error{Package: shim.Package, Op: "load", Subject: subject, Code: InvalidArgument, Message: fmt.Sprintf("unknown engine %d", int(o.Engine))}
	}
	return nil
}
