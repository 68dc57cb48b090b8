// Package sandbox takes rights away from this program, because models are programs: TorchScript can
// read and write files.
//
// Two walls of the kernel's are used, and neither needs a privilege. Landlock (Linux 5.13) holds a
// process to some files and TCP ports. A seccomp filter refuses system calls by their numbers and
// flags.
//
//   - [Start] starts a process under Landlock: the one that tries a model.
//   - [ForbidCalls] puts the seccomp filter on all threads of the process that calls it.
//   - [Enter] puts the whole process under Landlock: the server.
//
// Landlock holds the calling thread and those that it starts, but a Go program has others from its
// beginning. What survives exec makes that simple: a thread restricts itself, and then starts the
// process, or becomes it. Nothing has to reach threads that run, as go-landlock does by signals and
// a pthread_create of its own.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Variable is the environment variable that chooses a [Mode], for every command.
const Variable = "VIDI_SANDBOX"

// Mode is how much an operator wants.
type Mode string

// Auto takes what the kernel has; only a trial without seccomp is refused. Required refuses to go
// on without Landlock too. Off takes no rights away.
const (
	Auto     Mode = "auto"
	Required Mode = "required"
	Off      Mode = "off"
)

// Wanted is the mode that the environment asks for; Auto where it says nothing. The error names the
// variable.
func Wanted() (Mode, error) {
	switch mode := Mode(os.Getenv(Variable)); mode {
	case "":
		return Auto, nil
	case Auto, Required, Off:
		return mode, nil
	default:
		return Auto, fmt.Errorf("%s=%s is not known; use auto, required or off", Variable, mode)
	}
}

// ErrNoLandlock is that [Required] asks for what this kernel does not have.
var ErrNoLandlock = errors.New("this kernel has no Landlock, which " + Variable + "=required " +
	"asks for; use Linux 5.13 or later with landlock in its list of security modules " +
	"(/sys/kernel/security/lsm), or " + Variable + "=auto")

// Start starts cmd, held to the rules from its first instruction where the kernel can, and as the
// first to go where memory gets short. release must be called once the process has ended: the
// thread that has started it lives until then, so that SysProcAttr.Pdeathsig means what it says.
// Where err is not nil nothing runs, and release does nothing.
func Start(cmd *exec.Cmd, mode Mode, rules Rules) (release func(), err error) {
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := asExpendable(func() error {
			if err := restrictFor(mode, rules); err != nil {
				return err
			}
			return cmd.Start()
		})
		started <- err
		if err == nil {
			<-ended
		}
	}()
	if err := <-started; err != nil {
		return func() {}, err
	}
	return func() { close(ended) }, nil
}

// restrictFor restricts the calling thread where mode wants it and the kernel can.
func restrictFor(mode Mode, rules Rules) error {
	switch {
	case mode == Off:
		return nil
	case ABI() > 0:
		return rules.restrictThread()
	case mode == Required:
		return ErrNoLandlock
	}
	return nil
}

// marker is the variable by which Enter tells the program that it runs again, restricted: the
// number of the process, Landlock's ABI, the descriptor of [scoreFile], and those of the files that
// are kept. The first keeps a process that inherits it from believing it.
const marker = "VIDI_SANDBOX_ENTERED"

// Entered is the version of Landlock's ABI that holds this whole process, 0 for none, and the files
// that [Enter] has kept open. It must be called first at the start of the program, and only once: it
// takes the variable by which it knows out of the environment.
func Entered() (abi int, kept []*os.File) {
	told := strings.Fields(os.Getenv(marker))
	os.Unsetenv(marker)
	var numbers []int
	for _, word := range told {
		n, err := strconv.Atoi(word)
		if err != nil {
			return 0, nil
		}
		numbers = append(numbers, n)
	}
	if len(numbers) < 3 || numbers[0] != os.Getpid() {
		return 0, nil
	}
	if descriptor := numbers[2]; descriptor > 0 {
		unix.CloseOnExec(descriptor)
		score.file = os.NewFile(uintptr(descriptor), scoreFile)
	}
	for _, descriptor := range numbers[3:] {
		unix.CloseOnExec(descriptor)
		kept = append(kept, os.NewFile(uintptr(descriptor), "kept by sandbox.Enter"))
	}
	return numbers[1], kept
}

// Enter holds this process to the rules by starting the program again in its place, with the same
// process number, arguments and standard streams: of whatever else was open or running only the
// files to keep are left. It returns only where that is not so: nil where the mode is [Off] or the
// kernel has no Landlock. Who calls it must not call it again once [Entered] is not 0.
func Enter(mode Mode, rules Rules, keep ...*os.File) error {
	if mode == Off || mode != Required && ABI() == 0 {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: where exec fails, the thread ends
		descriptor, err := unix.Open(scoreFile, unix.O_RDWR, 0)
		if err != nil {
			descriptor = 0 // the process goes on without
		}
		if err := restrictFor(mode, rules); err != nil {
			failed <- err
			return
		}
		told := fmt.Sprintf("%s=%d %d %d", marker, os.Getpid(), ABI(), descriptor)
		for _, file := range keep {
			if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
				failed <- fmt.Errorf("keeping %s open: %w", file.Name(), err)
				return
			}
			told += fmt.Sprintf(" %d", file.Fd())
		}
		err = unix.Exec(program, os.Args, append(os.Environ(), told))
		runtime.KeepAlive(keep)
		failed <- fmt.Errorf("starting %s again under Landlock: %w", program, err)
	}()
	return <-failed
}
