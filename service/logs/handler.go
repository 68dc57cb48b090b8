// Package logs writes the program's log. Each line is bounded, whatever clients and models put into it, and
// nobody waits until it is written.
package logs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Formats of a log's lines.
const (
	Text = "text"
	JSON = "json"
)

// What a text may take in a line, in bytes, quoting included. A line has some five texts.
const (
	mostBytes = 512
	// Messages are the program's own, but those of net/http hold stacks.
	mostLongBytes = 4 << 10
)

// long are the attributes that hold several lines by nature: stacks, libtorch's texts, and what operators must
// know of their files. None of them holds what a client sent.
var long = map[string]bool{slog.MessageKey: true, "stack": true, "native": true, "error": true}

// New is a log that writes lines in a format from a level on to w: one Write a line.
func New(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: bound}
	if format == JSON {
		return slog.New(slog.NewJSONHandler(PrintableJSON(w), options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// bound cuts what is long before it is quoted, which makes it up to ten times longer.
func bound(_ []string, a slog.Attr) slog.Attr {
	most := mostBytes
	if long[a.Key] {
		most = mostLongBytes
	}
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(cut(v, most))
	case []byte:
		a.Value = slog.StringValue(cut(string(v), most))
	case error:
		a.Value = slog.StringValue(cut(v.Error(), most))
	case fmt.Stringer: // times and levels too, which are short
		if a.Value.Kind() == slog.KindAny && a.Key != slog.LevelKey {
			a.Value = slog.StringValue(cut(v.String(), most))
		}
	default:
		if a.Value.Kind() == slog.KindAny {
			a.Value = slog.StringValue(cut(fmt.Sprintf("%+v", v), most))
		}
	}
	return a
}

// cut is as much of the beginning of text as takes at most most bytes once it is quoted, and how much was left
// out, if anything was.
func cut(text string, most int) string {
	n := len(text)
	for i, taken := 0, 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if taken += quoted(r, size); taken > most {
			n = i
			break
		}
		i += size
	}
	if n == len(text) {
		return text
	}
	return text[:n] + fmt.Sprintf("… (%d more bytes)", len(text)-n)
}

// quoted is how many bytes a rune of size bytes takes in a quoted string, at most: \n is the shortest, \U0001f600
// the longest.
func quoted(r rune, size int) int {
	switch {
	case r > 0xffff && !unicode.IsPrint(r):
		return 12
	case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
		return 6
	case r == '"' || r == '\\':
		return 2
	}
	return size
}

// PrintableJSON is a writer of JSON as a terminal may have it, which programs read as they read the original: the
// standard library leaves control characters beyond ASCII as they are, which terminals obey too. Each Write has
// whole characters.
func PrintableJSON(w io.Writer) io.Writer { return printable{w} }

type printable struct{ w io.Writer }

// Write writes a line. It claims to have written p whatever became of p's length.
func (o printable) Write(p []byte) (int, error) {
	odd := func(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
	if bytes.IndexFunc(p, odd) < 0 {
		return o.w.Write(p)
	}
	line := make([]byte, 0, 2*len(p))
	for _, r := range string(p) {
		switch {
		case !odd(r):
			line = utf8.AppendRune(line, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			line = appendEscape(appendEscape(line, high), low)
		default:
			line = appendEscape(line, r)
		}
	}
	if _, err := o.w.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}

func appendEscape(line []byte, r rune) []byte {
	return append(append(line, `\u`...), strconv.FormatInt(0x10000|int64(r), 16)[1:]...)
}
