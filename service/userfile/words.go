package userfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/vidi-vision/vidi/service/spelling"
)

// Printable is a name as a terminal, and JSON, may have it. Bytes that are no UTF-8 are written \xe9. So are control characters,
// which could move the cursor or hide a line: \x1b, \n, \u202e.
func Printable(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(name[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, name[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// Valid is name in UTF-8, for JSON: bytes that are none are written \xe9; all else stays.
func Valid(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		if r == utf8.RuneError && !strings.HasPrefix(name[i:], string(utf8.RuneError)) {
			fmt.Fprintf(&b, `\x%02x`, name[i])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Why is why the system refuses the file or folder at path, as a sentence without the path, and what to do; for other errors their
// own text.
func Why(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if to, err := os.Readlink(path); err == nil {
			return "there is no such file or folder: this is a link to " + Printable(to)
		}
		return "there is no such file or folder" + whereItMayBe(path)
	case errors.Is(err, fs.ErrPermission):
		return "permission denied; `ls -ld` shows who may use it"
	case errors.Is(err, syscall.ENOTDIR):
		return "a part of this path is a file, not a folder"
	case errors.Is(err, syscall.EISDIR):
		return "this is a folder; name a file"
	case errors.Is(err, syscall.ELOOP):
		return "this is a link that leads back to itself"
	case errors.Is(err, syscall.ENAMETOOLONG):
		return "the name is too long for a file"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full"
	case errors.Is(err, syscall.EROFS):
		return "this file system can only be read"
	case errors.Is(err, fs.ErrExist):
		return "there is such a file already"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open; raise the limit with `ulimit -n`"
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// whereItMayBe tells which folder on the way to path is missing, which name is close to it, and where a relative path begins.
func whereItMayBe(path string) string {
	parent, name := filepath.Split(filepath.Clean(path))
	for range strings.Count(path, string(filepath.Separator)) {
		if _, err := os.Stat(orHere(parent)); err == nil {
			break
		}
		parent, name = filepath.Split(filepath.Clean(parent))
	}
	words := ""
	if missing := parent + name; missing != filepath.Clean(path) {
		words = ": " + Printable(missing) + " is missing"
	}
	if near := nearest(orHere(parent), name); near != "" {
		words += fmt.Sprintf("; did you mean %s?", strconv.Quote(parent+near))
	} else if !filepath.IsAbs(path) {
		if here, err := os.Getwd(); err == nil {
			words += "; the current folder is " + Printable(here)
		}
	}
	return words
}

func orHere(folder string) string {
	if folder == "" {
		return "."
	}
	return folder
}

// mostNames bounds the look for a name that is close.
const mostNames = 5000

// nearest is the name in the folder that is closest to name, "" where none is close.
func nearest(folder, name string) string {
	if utf8.RuneCountInString(name) < 3 { // any short name is close to any other
		return ""
	}
	f, err := os.Open(folder)
	if err != nil {
		return ""
	}
	defer f.Close()
	entries, _ := f.Readdirnames(mostNames) // a part of them is as good
	best, least := "", spelling.Tolerance(name)+1
	for _, entry := range entries {
		distance := spelling.Distance(strings.ToLower(entry), strings.ToLower(name), least)
		if distance < least {
			best, least = entry, distance
		}
	}
	return best
}

// Explain is err's text with the system's words for a path, "stat x: no such file or directory", put into a sentence:
// "x: there is no such file or folder; did you mean "y"?".
func Explain(err error) string {
	text := err.Error()
	eachCause(err, func(cause error) {
		switch e := cause.(type) {
		case *fs.PathError:
			text = strings.ReplaceAll(text, e.Error(), Printable(e.Path)+": "+Why(e.Path, e))
		case *os.LinkError:
			text = strings.ReplaceAll(text, e.Error(), Printable(e.New)+": "+Why(e.New, e.Err))
		}
	})
	return text
}

// eachCause calls f with err and all that it wraps.
func eachCause(err error, f func(error)) {
	if err == nil {
		return
	}
	f(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		eachCause(e.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			eachCause(cause, f)
		}
	}
}

// Missing is an error for a file that is not there, in words of its own. errors.Is finds fs.ErrNotExist.
func Missing(format string, args ...any) error { return missing(fmt.Sprintf(format, args...)) }

type missing string

func (m missing) Error() string { return string(m) }

// Is has errors.Is find fs.ErrNotExist.
func (m missing) Is(target error) bool { return target == fs.ErrNotExist }
