package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/pictures"
)

// input is one picture that the command line named. A file is read when its turn comes.
type input struct {
	name string // as the person typed or would type it
	err  error  // why there is nothing to read; nil otherwise
}

// expand turns the arguments into inputs, in their order: a folder into the pictures below it, a pattern that the shell
// left alone into its matches. What cannot be found becomes an input with an error, so that the rest goes on.
func expand(args []string) []input {
	var inputs []input
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case arg == "-" && slices.ContainsFunc(inputs, func(i input) bool { return i.name == "-" }):
			inputs = append(inputs, input{name: arg, err: errors.New("standard input can be read only once")})
		case arg == "-":
			inputs = append(inputs, input{name: arg})
		case err == nil && info.IsDir():
			inputs = append(inputs, folder(arg)...)
		case err == nil:
			inputs = append(inputs, input{name: arg})
		default:
			matches, globErr := filepath.Glob(arg)
			if globErr != nil || len(matches) == 0 {
				if strings.ContainsAny(arg, "*?[") {
					err = errors.New("no file matches this pattern")
				}
				inputs = append(inputs, input{name: arg, err: inWords(err)})
				continue
			}
			for _, match := range matches {
				if info, err := os.Stat(match); err == nil && info.IsDir() {
					inputs = append(inputs, folder(match)...)
				} else {
					inputs = append(inputs, input{name: match})
				}
			}
		}
	}
	return inputs
}

// inWords is why a file cannot be read, without its name, which stands before the error.
func inWords(err error) error {
	switch {
	case os.IsNotExist(err):
		return errors.New("there is no such file or folder")
	case os.IsPermission(err):
		return errors.New("permission denied")
	}
	return err
}

// folder is the pictures below dir by their names, in order; hidden folders are left out.
func folder(dir string) []input {
	var inputs []input
	_ = pictures.Walk(dir, func(path string, err error) error { // its error would be ours, and we have none
		inputs = append(inputs, input{name: path, err: inWords(err)})
		return nil
	})
	if len(inputs) == 0 {
		return []input{{name: dir, err: fmt.Errorf("this folder has no pictures (looked for %s)", strings.Join(pictures.Endings, " "))}}
	}
	return inputs
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
	return data, inWords(err)
}
