package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Folder is where models lie, one .pt file each.
type Folder string

// DefaultFolder is $XDG_DATA_HOME/vidi/models, or ~/.local/share/vidi/models.
func DefaultFolder() Folder {
	data := os.Getenv("XDG_DATA_HOME")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "models"
		}
		data = filepath.Join(home, ".local", "share")
	}
	return Folder(filepath.Join(data, "vidi", "models"))
}

// Entry is one .pt file of a folder.
type Entry struct {
	Name string // the card's name, or the file's without its ending
	Path string
	// BuiltIn is true for a file of the folder of that name, which is listed with every other.
	BuiltIn bool
	File    *File // nil if the file cannot be used
	Err     error // why not
}

// rank sorts models by who answers where none is named: resnet18, then those with a card, then the quantised ones, because
// int8 is never taken unasked, then the others.
func (e Entry) rank() int {
	switch {
	case e.File != nil && e.Name == "resnet18":
		return 0
	case e.File != nil && e.File.Card != nil && e.File.Card.Precision != "int8":
		return 1
	case e.File != nil && e.File.Card != nil:
		return 2
	}
	return 3
}

// List looks at every .pt file of the folder and of BuiltIn, sorted by name, the default first. A folder that does not exist is
// empty.
func (f Folder) List() ([]Entry, error) {
	own, builtIn, err := f.files()
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for i, path := range slices.Concat(own, builtIn) {
		entry := Entry{Path: path, Name: NameOfFile(filepath.Base(path)), BuiltIn: i >= len(own)}
		entry.File, entry.Err = Inspect(entry.Path)
		if entry.File != nil && entry.File.Card != nil {
			entry.Name = entry.File.Card.Name
		}
		entries = append(entries, entry)
	}
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		if a.rank() != b.rank() {
			return a.rank() < b.rank()
		}
		return a.Name < b.Name
	})
	all := slices.Clone(entries)
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		return e.BuiltIn && slices.ContainsFunc(all, func(own Entry) bool { return !own.BuiltIn && own.Name == e.Name })
	})
	for i := 1; i < len(entries); i++ {
		if first := entries[i-1]; entries[i].Name == first.Name && entries[i].Err == nil && first.Err == nil {
			entries[i].File, entries[i].Err = nil, fmt.Errorf("%s has the same name as %s; keep one of them", entries[i].Path, first.Path)
		}
	}
	return entries, nil
}

// ErrNoModel is wrapped by Find where there is no model by that name, or none at all.
var ErrNoModel = errors.New("no such model")

// Find is the path of the model that name means: a file's path, or the name of a model in the folder; "" is the default:
// the first of List: resnet18 if it is there, else the first by name of those with a card, quantised ones last.
func (f Folder) Find(name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || filepath.Ext(name) == ".pt" {
		if _, err := os.Stat(name); err == nil {
			return name, nil
		} else if strings.ContainsRune(name, filepath.Separator) || !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%w: %w", ErrNoModel, err)
		}
	}
	entries, err := f.List()
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if e.Err != nil {
			if e.Name == name {
				return "", e.Err
			}
			continue
		}
		if name == "" || e.Name == name || filepath.Base(e.Path) == name {
			return e.Path, nil
		}
		names = append(names, e.Name)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%w: there is no model in %s. `make model` in vidi's source tree makes one; or name a TorchScript file with --model FILE.pt", ErrNoModel, f)
	}
	return "", fmt.Errorf("%w: %q is not in %s; there are: %s", ErrNoModel, name, f, strings.Join(names, ", "))
}

// FindQuantised is Find where int8 is asked for: a model's quantised twin, which by custom is named NAME-int8, is preferred to
// the model itself.
func (f Folder) FindQuantised(name string) (string, error) {
	if name == "" {
		entries, err := f.List()
		if err != nil {
			return "", err
		}
		if len(entries) > 0 {
			name = entries[0].Name
		}
	}
	if path, err := f.Find(name + "-int8"); err == nil {
		return path, nil
	}
	return f.Find(name)
}
