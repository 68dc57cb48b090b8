// Package pictures finds picture files, and reads them within bounds. What is in them is for package preprocess.
package pictures

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// MaxBytes bounds one picture, as a server bounds a body.
const MaxBytes = 64 << 20

// Endings are those of the file names that are taken from a folder. A file named outright is read whatever its name.
var Endings = []string{".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// Walk calls f with each picture below the folder dir, by their names in order, and with each path that cannot be looked at and
// why. An error of f ends the walk, and is Walk's. Hidden folders are left out; dir itself may be hidden, or a link to a folder.
func Walk(dir string, f func(path string, err error) error) error {
	root := dir + string(filepath.Separator) // so that a link is followed
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return f(dir, err)
		case err != nil:
			return f(path, err)
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !entry.IsDir() && slices.Contains(Endings, strings.ToLower(filepath.Ext(path))):
			return f(path, nil)
		}
		return nil
	})
}

// ReadFile is the content of the regular file at path. It never waits for a pipe or a device.
func ReadFile(path string) ([]byte, error) {
	f, _, err := userfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f)
}

// Read reads r to its end; more than MaxBytes are an error.
func Read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err == nil && len(data) > MaxBytes {
		return nil, fmt.Errorf("the file is larger than %d MiB", MaxBytes>>20)
	}
	return data, err
}
