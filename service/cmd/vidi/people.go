package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// people is a writer for text that is read on a terminal. Whatever a model, a server, or a file's name has in it, no terminal obeys it:
// characters that cannot be printed are written \x1b. All text of the commands goes through it.
type people struct{ to io.Writer }

// forPeople makes w a writer for text; raw undoes it.
func forPeople(w io.Writer) io.Writer {
	if _, is := w.(people); is {
		return w
	}
	return people{w}
}

// raw is the writer under one for people: for programs' output, and for what moves the cursor on purpose.
func raw(w io.Writer) io.Writer {
	if p, is := w.(people); is {
		return p.to
	}
	return w
}

// Write writes text; lines and tabs stay. A character that comes in two parts counts as two that cannot be printed.
func (p people) Write(text []byte) (int, error) {
	var err error
	if harmless(text) {
		_, err = p.to.Write(text)
	} else {
		_, err = io.WriteString(p.to, printableLines(string(text)))
	}
	if err != nil {
		return 0, err
	}
	return len(text), nil
}

// harmless reports whether text is ASCII that can be printed, as nearly all is.
func harmless(text []byte) bool {
	for _, b := range text {
		if (b < ' ' || b > '~') && b != '\n' && b != '\t' {
			return false
		}
	}
	return true
}

// printable is a text of one line as a terminal may have it: a file's name, a model's label.
func printable(name string) string { return userfile.Printable(name) }

// printableLines is a text of several lines, and of columns, as a terminal may have it.
func printableLines(text string) string {
	var b strings.Builder
	for {
		end := strings.IndexAny(text, "\n\t")
		if end < 0 {
			return b.String() + printable(text)
		}
		b.WriteString(printable(text[:end]) + text[end:end+1])
		text = text[end+1:]
	}
}

// shortened is a text of others' that goes into a sentence: no sentence has a megabyte.
func shortened(text string) string { return cut(text, 2000) }

// cell is a text of others' that goes into a table.
func cell(text string) string { return printable(cut(text, 200)) }

func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + fmt.Sprintf("… (%d more)", len(runes)-most)
	}
	return text
}
