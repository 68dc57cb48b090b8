package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// draftPrefix begins the names of files that are being written: no ending .pt, so they are never taken for models.
const draftPrefix = ".draft-"

// Draft is a model file that is being made in its folder, under a name that nobody looks at. Discard it in any case.
type Draft struct {
	Path   string
	folder Folder
	card   Card
	file   *os.File // open, and with it locked
}

// Draft writes the archive at from into the folder, with the card inside.
func (f Folder) Draft(from string, card Card) (*Draft, error) {
	file, err := f.DraftFile()
	if err != nil {
		return nil, err
	}
	d := &Draft{Path: file.Name(), folder: f, card: card, file: file}
	if err = WriteWithCard(file, from, card); err == nil {
		err = file.Sync()
	}
	if err != nil {
		d.Discard()
		return nil, fmt.Errorf("writing the model with its card: %w", err)
	}
	return d, nil
}

// Discard removes the draft if it was not placed.
func (d *Draft) Discard() {
	os.Remove(d.Path)
	d.file.Close()
}

// DraftFile makes a new, empty draft, which is its process's for as long as it is open. Those of processes that have ended are removed.
func (f Folder) DraftFile() (*os.File, error) {
	lock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	f.removeDrafts()
	path := filepath.Join(string(f), fmt.Sprintf("%s%d-%d.pt.part", draftPrefix, os.Getpid(), time.Now().UnixNano()))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	_ = flock(file, unix.LOCK_EX|unix.LOCK_NB) // where there are no locks, age decides
	return file, nil
}

// removeDrafts removes the drafts that no living process has open. The folder's lock must be held: then nobody is about to lock one.
func (f Folder) removeDrafts() {
	files, _ := os.ReadDir(string(f)) // not Glob: the folder's own name may have a bracket
	for _, entry := range files {
		if path := filepath.Join(string(f), entry.Name()); strings.HasPrefix(entry.Name(), draftPrefix) && abandoned(path) {
			os.Remove(path)
		}
	}
}

// abandoned reports whether the process that wrote the draft has ended.
func abandoned(path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	switch err := flock(file, unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil:
		return true
	case errors.Is(err, unix.EWOULDBLOCK):
		return false
	}
	info, err := file.Stat()
	return err == nil && time.Since(info.ModTime()) > 24*time.Hour
}

// lock has the folder made, and waits for its lock, which one process holds at a time: until the file is closed.
func (f Folder) lock() (*os.File, error) {
	if err := os.MkdirAll(string(f), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(string(f), ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(file, unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", f, err)
	}
	return file, nil
}

// flock locks the file. Go's own signals interrupt the wait.
func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
