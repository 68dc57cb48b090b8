package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/pictures"
	"github.com/vidi-vision/vidi/service/userfile"
)

// input is one picture that the command line named. A file is read when its turn comes.
type input struct {
	name string // as the person typed or would type it
	err  error  // why there is nothing to read; nil otherwise
}

// expand turns the arguments into inputs, in their order: a folder into the pictures below it, a pattern that the shell
// left alone into its matches. What cannot be found becomes an input with an error, so that the rest goes on. So do files of folders
// that are pictures in a form that vidi does not read, where withUnread is set. looking hears of each file of a folder.
func expand(ctx context.Context, args []string, withUnread bool, looking func() func(path string)) ([]input, *pictures.LeftOut) {
	e := &expansion{ctx: ctx, withUnread: withUnread, looking: looking()}
	for _, arg := range args {
		e.add(arg)
	}
	return e.inputs, &e.leftOut
}

type expansion struct {
	ctx        context.Context
	withUnread bool
	looking    func(path string)
	inputs     []input
	leftOut    pictures.LeftOut
}

func (e *expansion) add(arg string) {
	info, err := os.Stat(arg)
	switch {
	case arg == "-" && slices.ContainsFunc(e.inputs, func(i input) bool { return i.name == "-" }):
		e.inputs = append(e.inputs, input{name: arg, err: errors.New("standard input can be read only once")})
	case arg == "-":
		e.inputs = append(e.inputs, input{name: arg})
	case err == nil && info.IsDir():
		e.folder(arg)
	case err == nil:
		e.inputs = append(e.inputs, input{name: arg})
	default:
		e.pattern(arg, err)
	}
}

// pattern adds what arg matches; notThere is why there is no file of that name.
func (e *expansion) pattern(arg string, notThere error) {
	matches, err := filepath.Glob(arg)
	if err != nil || len(matches) == 0 {
		if strings.ContainsAny(arg, "*?[") {
			notThere = errors.New("no file matches this pattern")
		}
		e.inputs = append(e.inputs, input{name: arg, err: inWords(arg, notThere)})
		return
	}
	for _, match := range matches {
		if info, err := os.Stat(match); err == nil && info.IsDir() {
			e.folder(match)
		} else {
			e.inputs = append(e.inputs, input{name: match})
		}
	}
}

// inWords is why the file at path cannot be read, without its name, which stands before the error.
func inWords(path string, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(userfile.Why(path, err))
}

// folder adds the pictures below dir by their names, in order; hidden folders are left out.
func (e *expansion) folder(dir string) {
	taken := 0
	_ = pictures.WalkAll(dir, func(path string, kind pictures.Kind, err error) error { // its error is ours
		e.looking(path)
		switch {
		case err != nil:
			taken++ // its own error says enough
			e.inputs = append(e.inputs, input{name: path, err: inWords(path, err)})
		case kind == pictures.Picture:
			taken++
			e.inputs = append(e.inputs, input{name: path})
		case kind.Unread() && e.withUnread:
			e.leftOut.Add(path, kind)
			e.inputs = append(e.inputs, input{name: path, err: unreadError{kind}})
		default:
			e.leftOut.Add(path, kind)
		}
		return e.ctx.Err()
	})
	if taken == 0 && e.ctx.Err() == nil {
		err := fmt.Errorf("this folder has no pictures (looked for %s)", strings.Join(pictures.Endings, " "))
		e.inputs = append(e.inputs, input{name: dir, err: err})
	}
}

// countToRead is how many of inputs are to be classified: all but the files that vidi does not read.
func countToRead(inputs []input) (count int) {
	for _, in := range inputs {
		if !errors.As(in.err, new(unreadError)) {
			count++
		}
	}
	return count
}

// read is the file's content, or standard input's.
func (i input) read(stdin io.Reader) ([]byte, error) {
	switch {
	case i.err != nil:
		return nil, i.err
	case i.name == "-":
		return pictures.Read(stdin)
	}
	data, err := pictures.ReadFile(i.name)
	return data, inWords(i.name, err)
}
