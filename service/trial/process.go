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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/torchbind"
)

// process is one process that tries a model, and what it has told.
type process struct {
	order  order
	stage  func(string) // may be nil
	doing  string       // its last stage
	trying model.Engine // the engine that it was trying last, "" if none
	tried  []model.EngineTime
	found  *Report
	died   bool   // it ended without a report or a refusal
	why    string // how it died
}

// engineShare is the part of the time that one engine may take.
const engineShare = 4

// run starts the process and listens to it until it ends. limited is ctx with the time limit.
func (p *process) run(ctx, limited context.Context) (*Report, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(p.order)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	running, end := context.WithCancel(limited)
	defer end()
	cmd := exec.CommandContext(running, program, Arguments...)
	last := &tail{}
	// Its standard output is not listened to: TorchScript can print.
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = bytes.NewReader(input), last, []*os.File{write}
	cmd.WaitDelay = 5 * time.Second
	// Should this process be killed, the other one goes too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	release, err := startHeld(cmd, p.order.Path)
	defer release()
	write.Close()
	if err != nil {
		return nil, fmt.Errorf("starting a process to try the model in: %w", err)
	}
	limits := p.order.Limits
	share := limits.Time / engineShare
	var tooSlow *time.Timer
	var ended atomic.Pointer[model.Engine] // the engine that took too long
	p.doing = "it started"
	report, refused := p.listen(read, func() {
		if tooSlow != nil {
			tooSlow.Stop()
		}
		if engine := p.trying; engine != "" {
			tooSlow = time.AfterFunc(share, func() {
				ended.CompareAndSwap(nil, &engine)
				end()
			})
		}
	})
	if tooSlow != nil {
		tooSlow.Stop()
	}
	exit := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case refused != nil && refused.Error != "":
		return nil, errors.New(refused.Error)
	case refused != nil:
		return nil, &Refusal{Path: p.order.Path, Why: refused.Why, Do: refused.Do}
	case report != nil:
		return report, nil
	}
	if forbidden := forbiddenCall(cmd.ProcessState, last.String()); forbidden != "" {
		why := "was refused: " + forbidden + " while " + p.doing
		return nil, &Refusal{Path: p.order.Path, Why: why, Do: adviceForbidden}
	}
	p.died = true
	timeout := errors.Is(limited.Err(), context.DeadlineExceeded)
	p.why = death(cmd.ProcessState, exit, timeout, last.String(), limits)
	if engine := ended.Load(); !timeout && engine != nil {
		p.trying, p.why = *engine, fmt.Sprintf("it was not done in %v", share)
	}
	return nil, &Refusal{Path: p.order.Path, Why: "was refused: " + p.why + " while " + p.doing, Do: adviceForDeath}
}

const adviceForDeath = "It was tried in a process of its own, which has ended, and nothing else with it. The file is damaged, or uses something that this libtorch\n" +
	"cannot do. Export it again, and see that it runs in Python: torch.jit.load(\"model.pt\")(torch.rand(1, 3, 224, 224))"

const adviceForbidden = "It was tried in a process that may not do that, so nothing was hurt. " +
	"A classifier only computes: do not use this file\n" +
	"unless you know who made it and why, and then have it exported without that."

// startHeld starts the process that tries the file, held to it and to the libraries.
func startHeld(cmd *exec.Cmd, path string) (release func(), err error) {
	none := func() {}
	mode, err := sandbox.Wanted()
	if err != nil {
		return none, err
	}
	programs, err := sandbox.Program()
	if err != nil {
		return none, err
	}
	var libraries []string
	for _, library := range []func() (string, error){torchbind.LibraryPath, codec.LibraryPath} {
		if path, err := library(); err == nil { // the process tells where there is none
			libraries = append(libraries, path)
		}
	}
	read := slices.Concat([]string{path}, sandbox.Libraries(libraries...), sandbox.Kernel())
	return sandbox.Start(cmd, mode, sandbox.Rules{Read: read, Execute: programs})
}

// forbiddenCall says which system call ended the process, "" for none.
func forbiddenCall(state *os.ProcessState, stderr string) string {
	status, _ := state.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGSYS {
		return ""
	}
	number, found := torchbind.TrappedCall(stderr)
	call := sandbox.CallName(number)
	if !found || call == "" {
		return "it made a system call that no model needs, and was ended,"
	}
	return fmt.Sprintf("it tried to %s (system call %s), which no model needs, and was ended,",
		sandbox.Deed(call), call)
}

// listen reads messages to the end, and calls heard after each. What is not a message is a mistake of the
// program, and is ignored: its exit tells.
func (p *process) listen(r io.Reader, heard func()) (*Report, *refused) {
	decoder := json.NewDecoder(io.LimitReader(r, 4<<20))
	for {
		var m message
		if err := decoder.Decode(&m); err != nil {
			return nil, nil
		}
		p.trying = m.Trying
		heard()
		switch {
		case m.Stage != "":
			p.doing = m.Stage
			if p.stage != nil {
				p.stage(m.Stage)
			}
		case m.Tried != nil:
			// The last word on an engine is the one that counts.
			p.tried = slices.DeleteFunc(p.tried, func(t model.EngineTime) bool { return t.Engine == m.Tried.Engine })
			p.tried = append(p.tried, *m.Tried)
		case m.Found != nil:
			p.found = m.Found
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
