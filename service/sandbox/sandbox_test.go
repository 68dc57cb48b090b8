package sandbox_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/torchbind"
)

// deed names what this test program does when it is started again, instead of its tests.
const deed = "SANDBOX_TEST_DEED"

func TestMain(m *testing.M) {
	abi, kept := sandbox.Entered()
	name, argument, _ := strings.Cut(os.Getenv(deed), " ")
	if name == "" {
		os.Exit(m.Run())
	}
	if err := do(name, argument, abi, kept...); err != nil {
		fmt.Println(err)
	} else {
		fmt.Println("done")
	}
}

// do tries something; the error is what the kernel says to it.
func do(name, argument string, abi int, kept ...*os.File) error {
	switch name {
	case "listening": // the port is the same one, and was never anybody else's
		if len(kept) != 1 {
			return fmt.Errorf("%d files were kept", len(kept))
		}
		l, err := net.FileListener(kept[0])
		if err != nil {
			return err
		}
		if got := l.Addr().String(); got != os.Getenv("LISTENING") {
			return fmt.Errorf("%s was kept", got)
		}
		c, err := l.Accept() // who called before
		if err != nil {
			return err
		}
		return c.Close()
	case "open": // FLAGS PATH
		var flags int
		var path string
		if _, err := fmt.Sscan(argument, &flags, &path); err != nil {
			return err
		}
		fd, err := unix.Open(path, flags, 0o644)
		if err == nil {
			unix.Close(fd)
		}
		return err
	case "truncate":
		return os.Truncate(argument, 0)
	case "remove":
		return os.Remove(argument)
	case "connect":
		c, err := net.Dial("tcp", argument)
		if err == nil {
			c.Close()
		}
		return err
	case "exec":
		return unix.Exec(argument, []string{argument, "-c", "echo ran"}, nil)
	case "signal": // 0 asks only whether it may
		var pid int
		if _, err := fmt.Sscan(argument, &pid); err != nil {
			return err
		}
		return unix.Kill(pid, 0)
	case "enter": // REST is done by the process that is held
		rest, folder, _ := strings.Cut(argument, "|")
		if abi == 0 {
			programs, err := sandbox.Program()
			if err != nil {
				return err
			}
			rules := sandbox.Rules{Execute: programs,
				Read: slices.Concat([]string{folder}, sandbox.Libraries(),
					sandbox.Kernel())}
			var keep []*os.File
			if rest == "listening" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				file, err := l.(*net.TCPListener).File()
				if err != nil {
					return err
				}
				if _, err := net.Dial("tcp", l.Addr().String()); err != nil {
					return err
				}
				os.Setenv("LISTENING", l.Addr().String())
				keep = append(keep, file)
			}
			return sandbox.Enter(sandbox.Auto, rules, keep...)
		}
		name, argument, _ := strings.Cut(rest, " ")
		return do(name, argument, abi, kept...)
	case "forbidden": // NUMBER of a system call, and two arguments; or open and its flags
		torchbind.NameTrappedCalls()
		if err := sandbox.ForbidCalls(); err != nil {
			return err
		}
		var number, first, second uintptr
		if flags, isOpen := strings.CutPrefix(argument, "open "); isOpen {
			return do("open", flags+" /no/such/file", abi)
		}
		if _, err := fmt.Sscan(argument, &number, &first, &second); err != nil {
			return err
		}
		return onAllThreads(number, first, second)
	case "computing": // what is needed all the time, under the filter
		if err := sandbox.ForbidCalls(); err != nil {
			return err
		}
		return compute(argument)
	}
	return errors.New("the test does not know " + name)
}

// onAllThreads makes the call on threads that were there before the filter, and on new ones.
func onAllThreads(number, first, second uintptr) error {
	var result error
	var once sync.Once
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			if _, _, errno := unix.Syscall(number, first, second, 0); errno != 0 {
				once.Do(func() { result = errno })
			}
		})
	}
	running.Wait()
	return result
}

func compute(path string) error {
	var running sync.WaitGroup
	for range 32 {
		running.Go(func() { _ = make([]byte, 8<<20) })
	}
	running.Wait()
	if _, err := os.ReadFile(path); err != nil {
		return err
	}
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	// oneDNN makes code.
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	return unix.Kill(os.Getpid(), 0)
}

// again starts this test program to do that, and is what it says and how it ended.
func again(t *testing.T, rules *sandbox.Rules, what string) (
	said, stderr string, state *os.ProcessState,
) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, bad strings.Builder
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), deed+"="+what)
	cmd.Stdout, cmd.Stderr = &out, &bad
	release := func() {}
	if rules == nil {
		err = cmd.Start()
	} else {
		release, err = sandbox.Start(cmd, sandbox.Auto, *rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the state says it
	release()
	return strings.TrimSpace(out.String()), bad.String(), cmd.ProcessState
}

func needLandlock(t *testing.T, abi int) {
	t.Helper()
	if sandbox.ABI() < abi {
		t.Skipf("this kernel has Landlock's ABI %d, and the test needs %d", sandbox.ABI(), abi)
	}
}

func folderWith(t *testing.T, name, content string) (folder, file string) {
	t.Helper()
	folder = t.TempDir()
	file = filepath.Join(folder, name)
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder, file
}

// A process that is started under rules does what they say and nothing else.
func TestStartHoldsToTheRules(t *testing.T) {
	needLandlock(t, 4)
	programs, err := sandbox.Program()
	if err != nil {
		t.Fatal(err)
	}
	mine, readable := folderWith(t, "readable", "text")
	_, secret := folderWith(t, "secret", "text")
	writable, changed := folderWith(t, "changed", "text")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	circle := filepath.Join(mine, "circle")
	if err := os.Symlink(circle, circle); err != nil {
		t.Fatal(err)
	}
	const denied = "permission denied"
	rules := sandbox.Rules{Execute: programs, Write: []string{writable},
		Read: slices.Concat([]string{mine, circle, "/no/such/folder"}, sandbox.Libraries(),
			sandbox.Kernel())}
	open := func(flags int, path string) string { return fmt.Sprintf("open %d %s", flags, path) }
	for what, want := range map[string]string{
		open(unix.O_RDONLY, readable):                         "done",
		open(unix.O_RDONLY, secret):                           denied,
		open(unix.O_RDONLY|unix.O_TRUNC, readable):            denied,
		open(unix.O_RDWR, readable):                           denied,
		open(unix.O_CREAT|unix.O_WRONLY, mine+"/new"):         denied,
		open(unix.O_CREAT|unix.O_WRONLY, writable+"/new"):     "done",
		open(unix.O_TRUNC|unix.O_WRONLY, changed):             "done",
		open(unix.O_WRONLY, "/proc/self/comm"):                denied,
		"truncate " + readable:                                denied,
		"remove " + readable:                                  denied,
		"connect " + listener.Addr().String():                 denied,
		"exec /bin/sh":                                        denied,
		fmt.Sprintf("signal %d", os.Getppid()):                "operation not permitted",
		"enter open 0 " + readable + "|" + mine:               "done", // twice over
		"enter open 0 " + secret + "|" + filepath.Dir(secret): denied,
	} {
		if sandbox.ABI() < 6 && strings.HasPrefix(what, "signal") {
			continue
		}
		if said, stderr, _ := again(t, &rules, what); !strings.HasSuffix(said, want) {
			t.Errorf("%s: said %q, want %q; %s", what, said, want, stderr)
		}
	}
	// The same without rules, so that what was refused above was refused by them.
	for _, what := range []string{
		open(unix.O_RDONLY, secret), open(unix.O_RDWR, readable),
		open(unix.O_WRONLY, "/proc/self/comm"),
		"connect " + listener.Addr().String(),
	} {
		if said, _, _ := again(t, nil, what); said != "done" {
			t.Errorf("%s without rules: %s", what, said)
		}
	}
	allowing := rules
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	var number uint16
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	allowing.Connect = []uint16{number}
	if said, _, _ := again(t, &allowing, "connect "+listener.Addr().String()); said != "done" {
		t.Errorf("connecting to a port that is allowed: %s", said)
	}
	if said, err := os.ReadFile(readable); string(said) != "text" {
		t.Errorf("the file is %q now, %v", said, err)
	}
}

// A process that holds itself goes on as the same one, with its streams, and does not go round in
// circles.
func TestEnterHoldsTheWholeProcess(t *testing.T) {
	needLandlock(t, 1)
	mine, readable := folderWith(t, "readable", "text")
	_, secret := folderWith(t, "secret", "text")
	for path, want := range map[string]string{readable: "done", secret: "permission denied"} {
		what := fmt.Sprintf("enter open 0 %s|%s", path, mine)
		if said, stderr, _ := again(t, nil, what); said != want {
			t.Errorf("%s: %q, want %q; %s", path, said, want, stderr)
		}
	}
	if said, stderr, _ := again(t, nil, "enter listening|"+mine); said != "done" {
		t.Errorf("a port that was kept: %q; %s", said, stderr)
	}
	// What another process was told is not believed.
	t.Setenv("VIDI_SANDBOX_ENTERED", "1 7 0")
	what := fmt.Sprintf("enter open 0 %s|%s", secret, mine)
	if said, _, _ := again(t, nil, what); said != "permission denied" {
		t.Errorf("an inherited variable was believed: %s", said)
	}
}

// What tells of an attack ends the process, whichever thread does it, and is named.
func TestForbiddenCallsAreNamed(t *testing.T) {
	if !sandbox.Seccomp() {
		t.Fatal("this kernel has no seccomp: a model could not be tried here")
	}
	_, file := folderWith(t, "file", "text")
	for number, arguments := range map[uintptr][2]uintptr{
		unix.SYS_SOCKET: {unix.AF_INET, unix.SOCK_STREAM}, unix.SYS_CONNECT: {0, 0},
		unix.SYS_EXECVE: {0, 0}, unix.SYS_PTRACE: {unix.PTRACE_TRACEME, 0},
		unix.SYS_PROCESS_VM_READV: {1, 0}, unix.SYS_MOUNT: {0, 0}, unix.SYS_BPF: {0, 0},
		unix.SYS_IO_URING_SETUP: {1, 0}, unix.SYS_USERFAULTFD: {0, 0}, unix.SYS_KEYCTL: {0, 0},
		unix.SYS_TRUNCATE: {0, 0}, unix.SYS_UNLINKAT: {0, 0}, unix.SYS_MEMFD_CREATE: {0, 0},
		unix.SYS_KILL: {uintptr(os.Getpid()), 0}, unix.SYS_CLONE: {uintptr(unix.SIGCHLD), 0},
	} {
		what := fmt.Sprintf("forbidden %d %d %d", number, arguments[0], arguments[1])
		_, stderr, state := again(t, nil, what)
		status, _ := state.Sys().(syscall.WaitStatus)
		call, named := torchbind.TrappedCall(stderr)
		if !status.Signaled() || status.Signal() != unix.SIGSYS || !named || call != int(number) {
			t.Errorf("%s: ended with %v, and said %q", sandbox.CallName(int(number)), state, stderr)
		}
	}
	// What programs ask to see whether it is there is an error, and nothing more.
	for number, want := range map[uintptr]error{
		unix.SYS_CLONE3: unix.ENOSYS, unix.SYS_OPENAT2: unix.ENOSYS, unix.SYS_PRCTL: unix.EPERM,
		unix.SYS_IOCTL: unix.EPERM, unix.SYS_INOTIFY_INIT1: unix.EPERM,
		unix.SYS_GETPID: nil,
	} {
		said, _, _ := again(t, nil, fmt.Sprintf("forbidden %d 0 0", number))
		if text := fmt.Sprint(want); said != text && (want != nil || said != "done") {
			t.Errorf("%s: %s, want %v", sandbox.CallName(int(number)), said, want)
		}
	}
	if said, _, state := again(t, nil, "computing "+file); said != "done" {
		t.Errorf("ordinary work: %s, %v", said, state)
	}
}

// A file is opened to read, and in no way to write.
func TestFlagsOfOpenat(t *testing.T) {
	for flags, want := range map[int]string{
		unix.O_RDONLY: "no such file or directory",
		unix.O_RDONLY | unix.O_CLOEXEC | unix.O_DIRECTORY: "no such file or directory",
		unix.O_WRONLY:                 "",
		unix.O_RDWR:                   "",
		unix.O_RDONLY | unix.O_TRUNC:  "",
		unix.O_RDONLY | unix.O_CREAT:  "",
		unix.O_TMPFILE | unix.O_RDWR:  "",
		unix.O_RDONLY | unix.O_APPEND: "",
	} {
		said, stderr, _ := again(t, nil, fmt.Sprintf("forbidden open %d", flags))
		call, _ := torchbind.TrappedCall(stderr)
		if said != want || want == "" && call != unix.SYS_OPENAT {
			t.Errorf("openat with %#x: %q, %q", flags, said, stderr)
		}
	}
}

// A link may be switched within a folder of releases, and opens no folder that holds other things.
func TestSwitchedFolders(t *testing.T) {
	at, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"site/releases/1", "site/models-1"} {
		if err := os.MkdirAll(filepath.Join(at, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for n, c := range []struct{ to, want string }{
		{"releases/1", "site/releases"},
		{"../site/releases/1", "site/releases"},
		{at + "/site/releases/1", "site/releases"},
		{"models-1", ""}, // keys may lie there
		{"../site", ""},  // more than that
		{"/", ""},
		{"nothing", ""},
	} {
		link := filepath.Join(at, "site", fmt.Sprint("link-", n))
		if err := os.Symlink(c.to, link); err != nil {
			t.Fatal(err)
		}
		var want []string
		if c.want != "" {
			want = []string{filepath.Join(at, c.want)}
		}
		if got := sandbox.Switched(link); !slices.Equal(got, want) {
			t.Errorf("a link to %s: %q, want %q", c.to, got, want)
		}
	}
	if got := sandbox.Switched(filepath.Join(at, "site/releases")); got != nil {
		t.Errorf("no link: %q", got)
	}
}
