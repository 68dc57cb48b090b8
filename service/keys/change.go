package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/spelling"
)

// Append adds a line to the key file at path, and makes the file, for its owner alone, if there is none.
func Append(path string, line Line) error {
	if err := line.Check(); err != nil {
		return err
	}
	return locked(path, func() error {
		data, err := read(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		text := line.String() + "\n"
		if len(data) > 0 && data[len(data)-1] != '\n' {
			text = "\n" + text
		}
		if _, err := Parse(append(data, text...)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if _, err := f.WriteString(text); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	})
}

// Remove takes the line of the key with this name out of the file at path. Everything else in it stays as it is.
func Remove(path, name string) error {
	return locked(path, func() error {
		data, lines, err := load(path)
		if err != nil {
			return err
		}
		if near, found := nameIn(lines, name); !found {
			err := fmt.Errorf("%s has no key named %q", path, name)
			if near != "" {
				err = fmt.Errorf("%w; did you mean %q?", err, near)
			}
			return err
		}
		var kept []byte
		for _, line := range bytes.SplitAfter(data, []byte("\n")) {
			text, _, _ := strings.Cut(strings.TrimPrefix(string(line), "\ufeff"), "#")
			if fields := strings.Fields(text); len(fields) == 0 || fields[0] != name {
				kept = append(kept, line...)
			}
		}
		return replace(path, kept)
	})
}

// nameIn reports whether a line has the name; if not, near is one that is close, or "".
func nameIn(lines []Line, name string) (near string, found bool) {
	for _, line := range lines {
		if line.Name == name {
			return "", true
		}
		if most := spelling.Tolerance(name); spelling.Distance(line.Name, name, most) <= most {
			near = line.Name
		}
	}
	return near, false
}

// replace writes the file anew, in one step: a power cut, or a server that reads it meanwhile, finds the old keys or the new ones.
func replace(path string, data []byte) error {
	target, err := filepath.EvalSymlinks(path) // a link stays one
	if err != nil {
		return err
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(target), ".keys-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name()) // where it did not become the file
	_, err = draft.Write(data)
	if err == nil {
		err = errors.Join(draft.Chmod(info.Mode().Perm()), sameOwner(draft, info), draft.Sync())
	}
	if err := errors.Join(err, draft.Close()); err != nil {
		return err
	}
	return os.Rename(draft.Name(), target)
}

// sameOwner gives the draft the owner of the file, where they differ: root may change the file of the server's user.
func sameOwner(draft *os.File, old fs.FileInfo) error {
	var now unix.Stat_t
	if err := unix.Fstat(int(draft.Fd()), &now); err != nil {
		return err
	}
	was, ok := old.Sys().(*syscall.Stat_t)
	if !ok || now.Uid == was.Uid && now.Gid == was.Gid {
		return nil
	}
	return draft.Chown(int(was.Uid), int(was.Gid))
}

// locked runs change while no other process changes a key file of that folder. A folder that cannot be locked is not.
func locked(path string, change func() error) error {
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		defer dir.Close() // and with it the lock
		for unix.Flock(int(dir.Fd()), unix.LOCK_EX) == unix.EINTR {
		}
	}
	return change()
}
