// Package userfile opens the files that people name, and says in words what is wrong with them.
package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"unicode/utf8"
)

// notRegular is what a path leads to instead of a regular file.
type notRegular struct{ is string }

func (e notRegular) Error() string { return "this is " + e.is + ", not a regular file" }

// Is has errors.Is find [ErrNotRegular].
func (e notRegular) Is(target error) bool { return target == ErrNotRegular }

// ErrNotRegular is wrapped by the errors for folders, pipes, devices and sockets.
var ErrNotRegular = errors.New("not a regular file")

// CheckRegular is nil for the mode of a regular file; otherwise the error names what it is.
func CheckRegular(mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return notRegular{"a folder"}
	case mode&fs.ModeNamedPipe != 0:
		return notRegular{"a pipe"}
	case mode&fs.ModeSocket != 0:
		return notRegular{"a socket"}
	}
	return notRegular{"a device"}
}

// Stat is os.Stat for a path that must lead to a regular file. It opens nothing, so it never waits.
func Stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := CheckRegular(info.Mode()); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return info, nil
}

// Open opens a regular file for reading. A pipe that nobody writes to would be waited for, for ever, and to open a device can do
// something: both are refused before they are opened.
func Open(path string) (*os.File, fs.FileInfo, error) {
	if _, err := Stat(path); err != nil {
		return nil, nil, err
	}
	// Another file may have taken the name since: without waiting, look at what was opened.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = CheckRegular(info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, info, nil
}

// Read is the content of a regular file of at most most bytes; what names such files in the error: "a key file".
func Read(path, what string, most int64) ([]byte, error) {
	f, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %s can be (%s)", path, what, sizeText(most))
	}
	return data, err
}

func sizeText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

const utf8Mark = "\xef\xbb\xbf"

// Unmarked is data without the byte-order mark that Windows' editors put before UTF-8. Text in UTF-16 is refused.
func Unmarked(data []byte) ([]byte, error) {
	data = bytes.TrimPrefix(data, []byte(utf8Mark))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || looksUTF16(data) {
		return nil, errors.New("the file is text in UTF-16, not UTF-8, as Windows' \"Unicode\" and PowerShell write it: save it as UTF-8")
	}
	return data, nil
}

// Text is [Unmarked] for files that must be UTF-8 throughout.
func Text(data []byte) ([]byte, error) {
	data, err := Unmarked(data)
	if err == nil && !utf8.Valid(data) {
		return nil, errors.New("the file is not text in UTF-8; save it as UTF-8")
	}
	return data, err
}

// looksUTF16 reports whether every other of the first bytes is zero: Latin text in UTF-16 without its mark.
func looksUTF16(data []byte) bool {
	head := data[:min(len(data), 64)]
	var zeros [2]int
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	half := len(head) / 2
	return half >= 2 && max(zeros[0], zeros[1]) >= half-half/8 && min(zeros[0], zeros[1]) == 0
}
