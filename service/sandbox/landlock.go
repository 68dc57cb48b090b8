package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rules are all that a process may do with files and TCP ports. Everything below a folder is meant;
// what does not exist is left out. A symbolic link stands for what it points to.
type Rules struct {
	Read    []string // files and folders to read
	Write   []string // folders to make, change and delete files in, and files to write; to read too
	Execute []string // programs to start
	// Connect is the TCP ports to connect to, from ABI 4 (Linux 6.7). Listening is left alone: Go
	// listens by multipath TCP, which Landlock does not see.
	Connect []uint16
}

// The rights to files in the order of ABIs that brought them.
const (
	readRights  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeRights = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG
	executeRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
	// ofFiles are those that a rule for a file may have; the others are for folders.
	ofFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	firstRights = 1<<13 - 1 // all of ABI 1

	rulePort = 2 // LANDLOCK_RULE_NET_PORT
)

// ABI is the version of Landlock that this kernel has; 0 is none. Each holds more: 3 (Linux 6.2)
// emptying a file, 4 (6.7) TCP, 6 (6.12) signals and abstract sockets.
var ABI = sync.OnceValue(func() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0,
		unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
})

// handled is what a ruleset of that ABI refuses unless a rule allows it.
func handled(abi int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: firstRights}
	if abi >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// restrictThread holds the calling thread, and whatever it starts, to the rules, for ever.
func (r Rules) restrictThread() error {
	attr := handled(ABI()) // a kernel that knows less of it takes the rest as long as that is 0
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("making a Landlock ruleset: %w", errno)
	}
	defer unix.Close(int(set))
	for _, allowed := range []struct {
		paths  []string
		rights uint64
	}{
		{r.Read, readRights}, {r.Write, readRights | writeRights}, {r.Execute, executeRights},
		{[]string{os.DevNull}, readRights | writeRights}, // os/exec opens it for streams
	} {
		for _, path := range allowed.paths {
			if err := allowPath(int(set), path, allowed.rights&attr.Handled_access_fs); err != nil {
				return err
			}
		}
	}
	if attr.Handled_access_net != 0 {
		for _, port := range r.Connect {
			rule := struct{ access, port uint64 }{attr.Handled_access_net, uint64(port)}
			if err := addRule(int(set), rulePort, unsafe.Pointer(&rule)); err != nil {
				return fmt.Errorf("allowing port %d by Landlock: %w", port, err)
			}
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return fmt.Errorf("restricting this process by Landlock: %w", errno)
	}
	return nil
}

func allowPath(set int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission),
		errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil // there is nothing that could be reached
	case err != nil:
		return &os.PathError{Op: "allowing by Landlock", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &os.PathError{Op: "allowing by Landlock", Path: path, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if err := addRule(set, unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule)); err != nil {
		return &os.PathError{Op: "allowing by Landlock", Path: path, Err: err}
	}
	return nil
}

func addRule(set, kind int, rule unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE,
		uintptr(set), uintptr(kind), uintptr(rule), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
