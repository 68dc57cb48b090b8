package model

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/vidi-vision/vidi/service/userfile"
)

// Identity is which file a path led to, and in which state it was: whoever replaces the file or writes into it changes that. A file that
// was looked at is opened again, by libtorch and by the process that tries it, and must be the same.
type Identity struct {
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"` // in nanoseconds
	Changed  int64  `json:"changed"`  // the same, which only the kernel sets
}

func identityOf(info fs.FileInfo) Identity {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Identity{Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
	}
	return Identity{Device: uint64(stat.Dev), Inode: stat.Ino, Bytes: stat.Size, Modified: stat.Mtim.Nano(), Changed: stat.Ctim.Nano()}
}

// Open opens the file that was looked at, or says that it is another one by now.
func (f *File) Open() (*os.File, error) {
	file, info, err := userfile.Open(f.Path)
	if err != nil {
		return nil, err
	}
	if err := f.Is(info); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Is returns an error unless info is of the file that was looked at, unchanged.
func (f *File) Is(info fs.FileInfo) error { return f.Require(identityOf(info)) }

// Require returns an error unless the file that was looked at is that one.
func (f *File) Require(id Identity) error {
	if f.Identity != id {
		return fmt.Errorf("%s was changed or replaced while it was being looked at; try again when it is complete", userfile.Printable(f.Path))
	}
	return nil
}

// SHA256 is the digest of the file that was looked at, in hexadecimal.
func (f *File) SHA256() (string, error) {
	file, err := f.Open()
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum, err := digest(file)
	if err != nil {
		return "", err
	}
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	return sum, f.Is(info)
}
