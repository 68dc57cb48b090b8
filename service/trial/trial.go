// Package trial tries model files in a process of its own. A TorchScript file is a program: a damaged one can crash the process
// that loads it, and any can hang or eat memory. Here that is a [Refusal] with a reason, and the caller goes on.
//
// The process is this program again, run as `vidi models try` (see [Child]), with limits on memory, CPU time and time on the
// clock. It guards against mistakes and damage, not against malice: the model still runs with the rights of its user.
package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
}

// Limits are what the process may use; it is ended when it passes one.
type Limits struct {
	Memory int64         `json:"memory"` // bytes of address space, beyond what the program has before it opens libtorch
	Time   time.Duration `json:"time"`   // on the clock; of CPU twice as much
}

// DefaultLimits suit a file of that many bytes: the weights are in memory up to four times while they are being rearranged.
func DefaultLimits(fileBytes int64) Limits {
	return Limits{Memory: 4<<30 + 6*fileBytes, Time: time.Minute + time.Duration(fileBytes>>20)*50*time.Millisecond}
}

// Report is what was found out by running the network.
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
}

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

// message is one line of what the process tells: that it begins with something, or how everything ended.
type message struct {
	Stage   string  `json:"stage,omitempty"`
	Report  *Report `json:"report,omitempty"`
	Refused *answer `json:"refused,omitempty"`
}

// answer is a [Refusal], or another error in its own words.
type answer struct {
	Why   string `json:"why,omitempty"`
	Do    string `json:"do,omitempty"`
	Error string `json:"error,omitempty"`
}

// Run tries a model. stage, if it is not nil, is called with what the process is doing, as the end of a sentence about its death:
// "it was being loaded". Errors are a
// [*Refusal], those of the engine in its words, those of ctx, and those of starting a process.
func Run(ctx context.Context, request Request, stage func(string)) (*Report, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	limited, cancel := context.WithTimeout(ctx, request.Limits.Time)
	defer cancel()
	cmd := exec.CommandContext(limited, program, Arguments...)
	last := &tail{}
	// Its standard output is not listened to: TorchScript can print.
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = bytes.NewReader(input), last, []*os.File{write}
	cmd.WaitDelay = 5 * time.Second
	// Should this process be killed, the other one goes too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the kernel means this thread's death, not the process's
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	write.Close()
	if err != nil {
		return nil, fmt.Errorf("starting a process to try the model in: %w", err)
	}
	doing := "it started"
	report, refused := listen(read, func(s string) {
		doing = s
		if stage != nil {
			stage(s)
		}
	})
	exit := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case refused != nil && refused.Error != "":
		return nil, errors.New(refused.Error)
	case refused != nil:
		return nil, &Refusal{Path: request.Path, Why: refused.Why, Do: refused.Do}
	case report != nil:
		return report, nil
	}
	timeout := errors.Is(limited.Err(), context.DeadlineExceeded)
	return nil, &Refusal{Path: request.Path, Why: "was refused: " + death(cmd.ProcessState, exit, timeout, last.String(), request.Limits) + " while " + doing, Do: adviceForDeath}
}

const adviceForDeath = "It was tried in a process of its own, so nothing else was hurt. The file is damaged, or uses something that this libtorch\n" +
	"cannot do. Export it again, and see that it runs in Python: torch.jit.load(\"model.pt\")(torch.rand(1, 3, 224, 224))"

// listen reads messages to the end. What is not a message is a mistake of the program, and is ignored: its exit tells.
func listen(r io.Reader, stage func(string)) (*Report, *answer) {
	decoder := json.NewDecoder(io.LimitReader(r, 4<<20))
	for {
		var m message
		if err := decoder.Decode(&m); err != nil {
			return nil, nil
		}
		switch {
		case m.Stage != "":
			stage(m.Stage)
		case m.Report != nil || m.Refused != nil:
			return m.Report, m.Refused
		}
	}
}

// death says what ended a process that has reported nothing.
func death(state *os.ProcessState, exit error, timeout bool, stderr string, limits Limits) string {
	if timeout {
		return fmt.Sprintf("it was not done in %v, and was ended,", limits.Time)
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	used := state.UserTime() + state.SystemTime()
	if status.Signaled() {
		stderr += unix.SignalName(status.Signal()) // a crash on a C thread, where modules are run, leaves no text of Go's
	}
	for _, sign := range []struct{ text, means string }{
		{"SIGSEGV", "libtorch crashed (segmentation fault)"},
		{"SIGBUS", "libtorch crashed (bus error)"},
		{"SIGFPE", "libtorch crashed (division by zero)"},
		{"SIGILL", "libtorch crashed (illegal instruction)"},
		{"out of memory", fmt.Sprintf("it needed more than %d MB of memory", limits.Memory>>20)},
		{"bad_alloc", fmt.Sprintf("it needed more than %d MB of memory", limits.Memory>>20)},
		{"cannot allocate memory", fmt.Sprintf("it needed more than %d MB of memory", limits.Memory>>20)},
		{"SIGABRT", "libtorch ended the process (abort)"},
	} {
		if strings.Contains(stderr, sign.text) {
			return sign.means
		}
	}
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && used >= limits.cpu()-time.Second:
		return fmt.Sprintf("it used more than %v of CPU time, and was ended,", limits.cpu())
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return "its process was killed, most likely because the machine ran out of memory,"
	case status.Signaled():
		return fmt.Sprintf("its process was ended (%v)", status.Signal())
	}
	return fmt.Sprintf("its process ended (%v)", exit)
}

func (l Limits) cpu() time.Duration { return 2 * l.Time }

// tail keeps the beginning and the end of what is written, some kilobytes each.
type tail struct {
	mu         sync.Mutex
	head, back []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head = append(t.head, p[:min(len(p), tailBytes-len(t.head))]...)
	t.back = append(t.back, p...)
	t.back = t.back[max(0, len(t.back)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.head) + "\n" + string(t.back)
}
