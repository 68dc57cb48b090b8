package sandbox

import (
	"os"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ordinary are the system calls that Go, glibc and libtorch make while a model is loaded and
// computes. Names that an architecture does not have are left out.
var ordinary = []string{
	// memory
	"brk", "madvise", "mincore", "mmap", "mprotect", "mremap", "munmap", "membarrier",
	"get_mempolicy", "mbind", "set_mempolicy", "mlock", "munlock",
	// threads and time
	"futex", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday",
	"time", "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler",
	"sched_get_priority_max", "sched_get_priority_min", "set_robust_list", "set_tid_address",
	"rseq", "gettid", "getcpu", "exit", "exit_group", "timer_create", "timer_settime",
	"timer_delete", "setitimer", "getpriority", "restart_syscall", "arch_prctl",
	// signals of its own
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending",
	"sigaltstack",
	// files that are open, or are opened to read
	"read", "readv", "pread64", "preadv", "write", "writev", "lseek", "close", "close_range",
	"dup", "dup2", "dup3", "pipe2", "fadvise64", "fstat", "newfstatat", "stat", "lstat", "statx",
	"statfs", "fstatfs", "access", "faccessat", "readlink", "readlinkat", "getcwd", "getdents64",
	"poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "eventfd2",
	// what there is
	"getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrlimit", "getrusage",
	"sysinfo", "uname", "times", "getrandom",
}

// newer are system calls whose callers know another way where a kernel does not have them. Their
// arguments lie in memory, where a filter does not see them.
var newer = []string{"clone3", "openat2", "faccessat2", "fchmodat2"}

// telling are system calls that no network needs: who makes one is ended.
var telling = []string{
	// the network
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto",
	"sendmsg", "sendmmsg",
	// programs and other processes
	"execve", "execveat", "fork", "vfork", "clone", "kill", "tkill", "tgkill", "rt_sigqueueinfo",
	"rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "ptrace",
	"process_vm_readv", "process_vm_writev", "process_madvise", "kcmp",
	// files
	"open", "openat", "creat", "truncate", "ftruncate", "fallocate", "unlink", "unlinkat",
	"rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink",
	"symlinkat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown",
	"fchownat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr",
	"fremovexattr", "copy_file_range", "sendfile", "splice", "open_by_handle_at", "memfd_create",
	"memfd_secret",
	// the kernel
	"mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "pivot_root", "chroot",
	"setns", "unshare", "bpf", "perf_event_open", "io_uring_setup", "io_uring_enter",
	"io_uring_register", "userfaultfd", "keyctl", "add_key", "request_key", "init_module",
	"finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
	"syslog", "acct", "quotactl", "iopl", "ioperm", "setuid", "setgid", "setreuid", "setregid",
	"setresuid", "setresgid", "setgroups", "capset", "personality", "shmget", "msgget", "semget",
}

// writing are the flags that open a file for more than reading it; O_TRUNC empties it whatever else
// they say.
const writing = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND |
	unix.O_TMPFILE&^unix.O_DIRECTORY

// conditional is a system call that is ordinary with some arguments only. The kernel looks at the
// lower half of these arguments, and so does the filter.
type conditional struct {
	name      string
	argument  uint32 // the number of the argument
	test      bpf.JumpTest
	values    []uint32 // it is ordinary where the test holds for one of them
	otherwise verdict
}

func conditionals() []conditional {
	const is = bpf.JumpEqual
	own := []uint32{uint32(os.Getpid())}
	return []conditional{
		{"openat", 2, bpf.JumpBitsNotSet, []uint32{writing}, ended},
		{"open", 1, bpf.JumpBitsNotSet, []uint32{writing}, ended},
		{"clone", 0, bpf.JumpBitsSet, []uint32{unix.CLONE_THREAD}, ended},
		{"tgkill", 0, is, own, ended}, // Go interrupts its threads, and abort ends the process
		{"kill", 0, is, own, ended},
		{"prlimit64", 0, is, []uint32{0}, refused}, // of this process
		{"sched_setaffinity", 0, is, []uint32{0}, refused},
		{"setpriority", 0, is, []uint32{unix.PRIO_PROCESS}, refused},
		{"ioctl", 1, is, []uint32{unix.TCGETS}, refused}, // whether a stream is a terminal
		{"fcntl", 1, is, []uint32{
			unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC,
		}, refused},
		{"prctl", 0, is, []uint32{
			unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_VMA, unix.PR_GET_DUMPABLE,
		}, refused},
	}
}

// CallName is the name of the system call of that number here, "" for none.
func CallName(number int) string {
	table, err := arch.GetInfo("")
	if err != nil {
		return ""
	}
	return table.SyscallNumbers[number]
}

// Deed is what a process tried that made the system call of that name, as the end of "it tried to
// …".
func Deed(call string) string {
	switch call {
	case "open", "openat", "creat", "truncate", "ftruncate", "fallocate", "memfd_create":
		return "open or change a file to write to it"
	case "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
		"sendto", "sendmsg", "sendmmsg":
		return "use the network"
	case "execve", "execveat", "fork", "vfork", "clone":
		return "start a process"
	}
	return "do what is kept from models"
}
