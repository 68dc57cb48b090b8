package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict is what the kernel does with a system call.
type verdict uint32

const (
	allowed verdict = unix.SECCOMP_RET_ALLOW
	refused verdict = unix.SECCOMP_RET_ERRNO | verdict(unix.EPERM)
	unknown verdict = unix.SECCOMP_RET_ERRNO | verdict(unix.ENOSYS)
	ended   verdict = unix.SECCOMP_RET_TRAP // by SIGSYS
)

// ForbidCalls leaves this process, all threads of it and for ever, the system calls that computing
// a model takes. It may read files that its user may read, and start threads; it cannot open a file
// to write, change or make one, reach the network, start a program, or touch another process. A
// call that would is answered by the signal SIGSYS, others that are not known by EPERM.
func ForbidCalls() error {
	table, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("making a seccomp filter: %w", err)
	}
	raw, err := bpf.Assemble(filter(table))
	if err != nil {
		return fmt.Errorf("making a seccomp filter: %w", err)
	}
	instructions := make([]unix.SockFilter, 0, len(raw))
	for _, i := range raw {
		instructions = append(instructions, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	program := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	// The filter needs it, on every thread: the kernel gives it to the others with the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	switch {
	case errno != 0:
		return fmt.Errorf("forbidding system calls by seccomp: %w", errno)
	case thread != 0:
		return errors.New("forbidding system calls by seccomp: one thread has another filter")
	}
	return nil
}

// Where a filter finds what it looks at (struct seccomp_data); the lower half of an argument comes
// first on x86-64 and aarch64.
const (
	offsetCall, offsetArchitecture, offsetArguments = 0, 4, 16

	firstX32 = 0x40000000 // x86-64 knows most system calls by a second number
)

// filter is the program that the kernel asks. It is made here and not by go-seccomp-bpf: its
// filters (1.6.0) compare an argument with the numbers of system calls once a condition has not
// held.
func filter(table *arch.Info) []bpf.Instruction {
	ret := func(v verdict) bpf.Instruction { return bpf.RetConstant{Val: uint32(v)} }
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(table.ID), SkipTrue: 1},
		ret(ended),
		bpf.LoadAbsolute{Off: offsetCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: firstX32, SkipTrue: 1},
		ret(ended),
	}
	// A call that is found is answered, so that what is loaded stays its number for those behind
	// it.
	for _, c := range conditionals() {
		number, there := table.SyscallNames[c.name]
		if !there {
			continue
		}
		block := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetArguments + 8*c.argument, Size: 4}}
		for i, value := range c.values {
			toAllowed := uint8(len(c.values) - i)
			block = append(block, bpf.JumpIf{Cond: c.test, Val: value, SkipTrue: toAllowed})
		}
		block = append(block, ret(c.otherwise), ret(allowed))
		skip := bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: uint8(len(block))}
		program = append(append(program, skip), block...)
	}
	for _, group := range []struct {
		names  []string
		answer verdict
	}{{ordinary, allowed}, {newer, unknown}, {telling, ended}} {
		for _, name := range group.names {
			if number, there := table.SyscallNames[name]; there {
				here := bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: 1}
				program = append(program, here, ret(group.answer))
			}
		}
	}
	return append(program, ret(refused))
}

// Seccomp reports whether this kernel has filters for system calls.
func Seccomp() bool {
	// A filter at no address is looked for only where there are filters.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, 0)
	return errno == unix.EFAULT
}
