package pictures

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// Walk calls f with each picture below the folder dir, by their names in order, and with each path that cannot be looked at and
// why. An error of f ends the walk, and is Walk's. Hidden folders are left out; dir itself may be hidden, or a link to a folder.
func Walk(dir string, f func(path string, err error) error) error {
	return WalkAll(dir, func(path string, kind Kind, err error) error {
		if err == nil && kind != Picture {
			return nil
		}
		return f(path, err)
	})
}

// Kind is what a file of a folder seems to be, by its name.
type Kind string

// The kinds of files that are no pictures for vidi, besides those of unread.
const (
	Picture    Kind = ""
	Other      Kind = "other"                     // the name does not end like a picture's
	MacOS      Kind = "macOS metadata file (._*)" // beside each file that macOS copied to a foreign disk
	Special    Kind = "pipe or device"            // reading one could wait for ever
	FolderLink Kind = "link to a folder"          // they could lead round in circles
)

// unread are the kinds of pictures, or of what people keep beside pictures, that vidi does not read.
var unread = map[Kind][]string{
	"HEIC":       {".heic", ".heif", ".hif"},
	"AVIF":       {".avif"},
	"JPEG XL":    {".jxl"},
	"JPEG 2000":  {".jp2", ".j2k", ".jpf", ".jpx"},
	"camera raw": {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"},
	"SVG":        {".svg", ".svgz"},
	"PDF":        {".pdf"},
	"Photoshop":  {".psd", ".psb"},
	"icon":       {".ico", ".icns"},
	"video":      {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mts", ".3gp", ".wmv", ".mpg", ".mpeg"},
}

// kinds is the kind by the ending.
var kinds = func() map[string]Kind {
	of := map[string]Kind{}
	for kind, endings := range unread {
		for _, ending := range endings {
			of[ending] = kind
		}
	}
	return of
}()

// KindOf is the kind of a file by its name alone.
func KindOf(name string) Kind {
	ending := strings.ToLower(filepath.Ext(name))
	switch kind, known := kinds[ending]; {
	case strings.HasPrefix(filepath.Base(name), "._"):
		return MacOS
	case slices.Contains(Endings, ending):
		return Picture
	case known:
		return kind
	}
	return Other
}

// Unread reports whether files of this kind hold pictures that vidi does not read.
func (k Kind) Unread() bool { return unread[k] != nil }

// WalkAll is [Walk] for all files, those that are left out too, with what each seems to be. Hidden folders are left out without a word.
func WalkAll(dir string, f func(path string, kind Kind, err error) error) error {
	root := dir + string(filepath.Separator) // so that a link is followed
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return f(dir, Other, err)
		case err != nil:
			return f(path, Other, err)
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		kind := KindOf(entry.Name())
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := os.Stat(path)
			switch {
			case err != nil: // whoever reads it says why
				return f(path, kind, nil)
			case info.IsDir():
				return f(path, FolderLink, nil)
			}
			mode = info.Mode()
		}
		if userfile.CheckRegular(mode) != nil {
			kind = Special
		}
		return f(path, kind, nil)
	})
}
