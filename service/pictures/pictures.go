// Package pictures finds picture files, and reads them within bounds. What is in them is for package preprocess.
package pictures

import (
	"fmt"
	"io"

	"github.com/vidi-vision/vidi/service/userfile"
)

// MaxBytes bounds one picture, as a server bounds a body.
const MaxBytes = 64 << 20

// Endings are those of the file names that are taken from a folder. A file named outright is read whatever its name.
var Endings = []string{".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

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
