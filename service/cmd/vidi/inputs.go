package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// input is one picture that the command line named. A file is read when its turn comes.
type input struct {
	name string // as the person typed or would type it
	err  error  // why there is nothing to read; nil otherwise
}

// maxInputBytes bounds one picture read from a file or from standard input, as the server bounds a body.
const maxInputBytes = 64 << 20

// pictureEndings are the file names taken from a folder. A file named outright is read whatever its name.
var pictureEndings = []string{".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// expand turns the arguments into inputs, in their order: a folder into the pictures below it, a pattern that the shell
// left alone into its matches. What cannot be found becomes an input with an error, so that the rest goes on.
func expand(args []string) []input {
	var inputs []input
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case arg == "-":
			inputs = append(inputs, input{name: arg})
		case err == nil && info.IsDir():
			inputs = append(inputs, folder(arg)...)
		case err == nil:
			inputs = append(inputs, input{name: arg})
		default:
			matches, globErr := filepath.Glob(arg)
			if globErr != nil || len(matches) == 0 {
				inputs = append(inputs, input{name: arg, err: notFound(arg, err)})
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

func notFound(arg string, err error) error {
	switch {
	case strings.ContainsAny(arg, "*?["):
		return fmt.Errorf("no file matches this pattern")
	case os.IsNotExist(err):
		return fmt.Errorf("there is no such file or folder")
	case os.IsPermission(err):
		return fmt.Errorf("permission denied")
	}
	return err
}

// folder is the pictures below dir by their names, in order; hidden folders are left out.
func folder(dir string) []input {
	var inputs []input
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			inputs = append(inputs, input{name: path, err: notFound(path, err)})
			return nil
		case entry.IsDir() && path != dir && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !entry.IsDir() && slices.Contains(pictureEndings, strings.ToLower(filepath.Ext(path))):
			inputs = append(inputs, input{name: path})
		}
		return nil
	})
	if err != nil {
		return []input{{name: dir, err: err}}
	}
	if len(inputs) == 0 {
		return []input{{name: dir, err: fmt.Errorf("this folder has no pictures (looked for %s)", strings.Join(pictureEndings, " "))}}
	}
	return inputs
}

// read is the file's content, or standard input's.
func (i input) read(stdin io.Reader) ([]byte, error) {
	if i.err != nil {
		return nil, i.err
	}
	source := stdin
	if i.name != "-" {
		f, err := os.Open(i.name)
		if err != nil {
			return nil, notFound(i.name, err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0 {
			return nil, fmt.Errorf("this is not a regular file")
		}
		source = f
	}
	data, err := io.ReadAll(io.LimitReader(source, maxInputBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxInputBytes {
		return nil, fmt.Errorf("the file is larger than %d MiB", maxInputBytes>>20)
	}
	return data, nil
}
