// Package trial tries model files in a process of its own. A TorchScript file is a program: a damaged one can crash the process
// that loads it, and any can hang or eat memory. Here that is a [Refusal] with a reason, and the caller goes on.
//
// The process is this program again, run as `vidi models try` (see [Child]), with limits on memory, CPU
// time and time on the clock, and with what package sandbox leaves it: it reads the file and the
// libraries, writes nothing, and reaches neither the network nor other processes.
package trial

import (
	"cmp"
	"context"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
)

// Arguments is how this program is told to be the process that tries a model; what to try comes on its standard input.
var Arguments = []string{"models", "try"}

// Request is what to try.
type Request struct {
	Path string `json:"path"`
	// Examine means to find out everything that [Report] holds. Else the file is only loaded and warmed as it would be to serve.
	Examine   bool             `json:"examine"`
	Precision engine.Precision `json:"precision"` // to load in; a file is always examined in fp32
	// Input is how a picture becomes the network's input, to examine. Crop 0 means to find the size; Resize is then in proportion.
	Input model.Input `json:"input"`
	// Activation is what to make probabilities with; "" means to find out.
	Activation model.Activation `json:"activation"`
	Limits     Limits           `json:"limits"`
	// Identity is the file that Path led to when it was looked at; the zero value is any.
	Identity model.Identity `json:"identity"`
	// Trust is which files may use operators that are not on the list.
	Trust model.Trust `json:"trust"`
}

// Limits are what the process may use; it is ended when it passes one.
type Limits struct {
	Memory int64         `json:"memory"` // bytes of address space, beyond what the program has before it opens libtorch
	Time   time.Duration `json:"time"`   // on the clock; of CPU twice as much
}

// DefaultLimits suit a file of that many bytes: the weights are in memory up to four times while they are being rearranged.
func DefaultLimits(fileBytes int64) Limits {
	return Limits{Memory: 4<<30 + 6*fileBytes, Time: 2*time.Minute + time.Duration(fileBytes>>20)*50*time.Millisecond}
}

// order is what the process is told to do: a request, and what processes before this one found out.
type order struct {
	Request
	// Found is what an examination knows already; it goes on with the engines.
	Found *Report `json:"found,omitempty"`
	// Failed are engines that ended a process, or took too long.
	Failed []model.EngineTime `json:"failed,omitempty"`

	file    *model.File     // in the process: what Path led to
	backend backend.Backend // in the process: which reads the file
}

// Report is what was found out by running the network. Trial.Engine is the engine to run it with, in the
// precision that was asked for.
type Report struct {
	Outputs int         `json:"outputs"`
	Input   model.Input `json:"input"`
	// AnySize is true if the network computes on other sizes too: then the one in Input is a convention or what was asked for.
	AnySize    bool             `json:"any_size"`
	Activation model.Activation `json:"activation"`
	// Probabilities says that the outputs are probabilities already: model.Softmax where they sum to 1, model.Sigmoid where each is
	// from 0 to 1, "" where they are neither.
	Probabilities model.Activation `json:"probabilities"`
	Constant      bool             `json:"constant"` // the answer is the same whatever the picture
	Trial         model.Trial      `json:"trial"`    // without the version of vidi
	Memory        engine.Memory    `json:"memory"`   // what loading it to serve took; not of an examination
}

// Verdict is what to remember of a file that was loaded to serve.
func (r *Report) Verdict() Verdict { return Verdict{Engine: r.Trial.Engine, Memory: r.Memory} }

// Refusal is why a model cannot be used.
type Refusal struct {
	Path string
	Why  string // the end of "this file …": "crashed while it was being loaded"
	Do   string // what its owner can do; may have several lines
}

// Error is both.
func (r *Refusal) Error() string {
	text := r.Path + " " + r.Why
	if r.Do != "" {
		text += ".\n" + r.Do
	}
	return text
}

// message is one line of what the process tells.
type message struct {
	Stage string `json:"stage,omitempty"` // it begins with something, as the end of "while …"
	// Trying is the engine that it tries from now on, until the next message.
	Trying model.Engine      `json:"trying,omitempty"`
	Tried  *model.EngineTime `json:"tried,omitempty"` // what came of an engine
	// Found is what an examination knows before it looks for what it can do without.
	Found   *Report  `json:"found,omitempty"`
	Report  *Report  `json:"report,omitempty"`  // everything; the last message
	Refused *refused `json:"refused,omitempty"` // so is this
}

// refused is a [Refusal], or another error in its own words.
type refused struct {
	Why   string `json:"why,omitempty"`
	Do    string `json:"do,omitempty"`
	Error string `json:"error,omitempty"`
}

// Run tries a model. stage, if it is not nil, is called with what the process is doing, as the end of a
// sentence about its death: "it was being loaded". An engine that ends the process, or takes more than its
// share of the time, is noted in the report, and a new process goes on without it. Errors are a
// [*Refusal], those of the engine in its words, those of ctx, and those of starting a process.
func Run(ctx context.Context, request Request, stage func(string)) (*Report, error) {
	limited, cancel := context.WithTimeout(ctx, request.Limits.Time)
	defer cancel()
	o := order{Request: request}
	for {
		p := process{order: o, stage: stage}
		report, err := p.run(ctx, limited)
		known := cmp.Or(p.found, o.Found)
		_, again := model.TimeOf(o.Failed, p.trying)
		died, late := p.died && limited.Err() == nil, p.died && limited.Err() != nil && ctx.Err() == nil
		switch {
		case err == nil:
			return report, nil
		case died && p.trying != "" && !again:
			o.Failed = append(o.Failed, model.EngineTime{Engine: p.trying, Failure: p.why})
		case died && p.found != nil && o.Found == nil: // at a size that nobody asked for
		case late && known != nil && model.Fastest(p.tried) != "":
			return outOfTime(known, append(p.tried, o.Failed...)), nil
		default:
			return nil, err
		}
		o.Found = known
	}
}

// outOfTime is the report where the time was up before all engines were tried. The plain engine was.
func outOfTime(found *Report, tried []model.EngineTime) *Report {
	report := *found
	for _, e := range model.Engines() {
		if _, known := model.TimeOf(tried, e); !known {
			tried = append(tried, model.EngineTime{Engine: e, Failure: "there was no time left to try it"})
		}
	}
	report.setEngines(tried)
	return &report
}

// setEngines puts what came of the engines into the report, and the fastest one.
func (r *Report) setEngines(tried []model.EngineTime) {
	sorted := make([]model.EngineTime, 0, len(tried))
	for _, e := range model.Engines() {
		if t, known := model.TimeOf(tried, e); known {
			sorted = append(sorted, t)
		}
	}
	r.Trial.Engines, r.Trial.Engine = sorted, model.Fastest(sorted)
	if t, known := model.TimeOf(sorted, r.Trial.Engine); known {
		r.Trial.Milliseconds = t.Milliseconds
	}
}
