package model

import (
	"errors"
	"os"
	"path/filepath"
)

// BuiltIn is models/ beside the running program: images and tarballs have there what they bring along. What lies in it counts as
// lying in every other folder too, so that it does not vanish where a folder of one's own is used; a model of that folder with
// the same name takes its place.
func BuiltIn() Folder {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return ""
	}
	return Folder(filepath.Join(filepath.Dir(program), "models"))
}

// Has reports whether path names a file that lies in the folder itself.
func (f Folder) Has(path string) bool {
	return f != "" && filepath.Dir(path) == filepath.Clean(string(f))
}

// files is the paths of the .pt files: the folder's own, and those of BuiltIn. A folder that does not exist is empty.
func (f Folder) files() (own, builtIn []string, err error) {
	if own, err = f.ownFiles(); err == nil && f != BuiltIn() {
		builtIn, err = BuiltIn().ownFiles()
	}
	return own, builtIn, err
}

func (f Folder) ownFiles() ([]string, error) {
	files, err := os.ReadDir(string(f))
	if f == "" || errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var paths []string
	for _, file := range files {
		if !file.IsDir() && IsModelFile(file.Name()) {
			paths = append(paths, filepath.Join(string(f), file.Name()))
		}
	}
	return paths, err
}
