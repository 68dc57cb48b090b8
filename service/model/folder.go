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

// Entry is one .pt file of a folder. The file's own name says nothing: name and version are the card's.
type Entry struct {
	Name    string // the card's, or that of the file without its ending
	Version string // the card's; "0" for a file without a card; "" if the file cannot be used
	Path    string
	// BuiltIn is true for a file of the folder of that name, which is listed with every other.
	BuiltIn bool
	File    *File // nil if the file cannot be used
	Err     error // why not
	// Chosen is true for the model that the manifest names as default, and for the other versions of that name.
	Chosen bool
}

// Ref is how the model is named with its version.
func (e Entry) Ref() string { return Ref(e.Name, e.Version) }

// Ref is NAME@VERSION, which means one model exactly. No name has an @ in it.
func Ref(name, version string) string { return name + "@" + version }

// rank sorts models by who answers where none is named: the manifest's choice, resnet18, then those with a card, then the
// quantised ones, because int8 is never taken unasked, then the others.
func (e Entry) rank() int {
	switch {
	case e.File == nil:
		return 4
	case e.Chosen:
		return -1
	case e.Name == "resnet18":
		return 0
	case e.File.Card != nil && e.File.Card.Precision != "int8":
		return 1
	case e.File.Card != nil:
		return 2
	}
	return 3
}

// List looks at every .pt and .torchscript file of the folder and of BuiltIn, sorted by name, the newest version of a name first, and the default
// before all. A folder that does not exist is empty.
func (f Folder) List() ([]Entry, error) {
	return f.ListWatched(func(int, int) {})
}

// ListWatched is [Folder.List] for large folders: looked hears after each file how many of all were looked at, some milliseconds each.
func (f Folder) ListWatched(looked func(done, total int)) ([]Entry, error) {
	manifest, err := f.Manifest()
	if err != nil {
		return nil, err
	}
	return f.listWatched(manifest, looked)
}

func (f Folder) list(manifest Manifest) ([]Entry, error) {
	return f.listWatched(manifest, func(int, int) {})
}

func (f Folder) listWatched(manifest Manifest, looked func(done, total int)) ([]Entry, error) {
	own, builtIn, err := f.files()
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for i, path := range slices.Concat(own, builtIn) {
		entry := Entry{Path: path, Name: NameOfFile(filepath.Base(path)), BuiltIn: i >= len(own)}
		if entry.File, entry.Err = Inspect(entry.Path); entry.File != nil {
			entry.Version = bareVersion
			if card := entry.File.Card; card != nil {
				entry.Name, entry.Version = card.Name, card.Version
			}
			entry.Chosen = manifest.Default != "" && (entry.Name == manifest.Default || entry.Ref() == manifest.Default)
		}
		entries = append(entries, entry)
		looked(i+1, len(own)+len(builtIn))
	}
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		if a.rank() != b.rank() {
			return a.rank() < b.rank()
		}
		if a.Name != b.Name {
			return a.Name < b.Name
		}
		return CompareVersions(a.Version, b.Version) > 0
	})
	all := slices.Clone(entries)
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		return e.BuiltIn && slices.ContainsFunc(all, func(own Entry) bool { return !own.BuiltIn && own.Name == e.Name })
	})
	first := map[string]string{} // paths, by ref
	for i := range entries {
		e := &entries[i]
		if e.Err != nil {
			continue
		}
		if path, taken := first[e.Ref()]; taken {
			e.File, e.Err = nil, fmt.Errorf("%s has the same name and version as %s; keep one of them", e.Path, path)
			continue
		}
		first[e.Ref()] = e.Path
	}
	return entries, nil
}

// ErrNoModel is wrapped by Find where there is no model by that name, or none at all.
var ErrNoModel = errors.New("no such model")

// Find is the path of the model that ref means: a file's path, the name of a model in the folder (its newest version), or
// NAME@VERSION; "" is the default: the first of List.
func (f Folder) Find(ref string) (string, error) {
	if strings.ContainsRune(ref, filepath.Separator) || IsModelFile(ref) {
		if _, err := os.Stat(ref); err == nil {
			return ref, nil
		} else if strings.ContainsRune(ref, filepath.Separator) || !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%w: %w", ErrNoModel, err)
		}
	}
	manifest, err := f.Manifest()
	if err != nil {
		return "", err
	}
	matches, err := f.matches(ref, manifest)
	if err != nil {
		return "", err
	}
	return matches[0].Path, nil
}

// matches is the usable models that ref means, the newest version first, and at least one where there is no error.
func (f Folder) matches(ref string, manifest Manifest) (matches []Entry, err error) {
	entries, err := f.list(manifest)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Err != nil {
			if e.Name == ref {
				err = e.Err
			}
			continue
		}
		if ref == "" || e.Name == ref || e.Ref() == ref || filepath.Base(e.Path) == ref {
			matches = append(matches, e)
		}
		if !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	switch {
	case len(matches) > 0:
		return matches, nil
	case err != nil:
		return nil, err
	case len(names) == 0:
		return nil, fmt.Errorf("%w: there is no model in %s. `make model` in vidi's source tree makes one; `vidi models add FILE` adds yours; or name a TorchScript file with --model FILE.pt", ErrNoModel, f)
	}
	if name, _, found := strings.Cut(ref, "@"); found && slices.Contains(names, name) {
		var versions []string
		for _, e := range entries {
			if e.Name == name && e.Err == nil {
				versions = append(versions, e.Version)
			}
		}
		return nil, fmt.Errorf("%w: %s has no such version; there are: %s", ErrNoModel, ref, strings.Join(versions, ", "))
	}
	return nil, fmt.Errorf("%w: %q is not in %s; there are: %s", ErrNoModel, ref, f, strings.Join(names, ", "))
}

// FindQuantised is Find where int8 is asked for: a model's quantised twin, which by custom is named NAME-int8, is preferred to
// the model itself.
func (f Folder) FindQuantised(ref string) (string, error) {
	if ref == "" {
		entries, err := f.List()
		if err != nil {
			return "", err
		}
		if len(entries) > 0 {
			ref = entries[0].Name
		}
	}
	if path, err := f.Find(ref + "-int8"); err == nil {
		return path, nil
	}
	return f.Find(ref)
}

// CompareVersions orders versions as people count them: runs of digits by their value, so 1.10 comes after 1.9. The result is
// negative, zero or positive.
func CompareVersions(a, b string) int {
	for a != "" && b != "" {
		left, right := firstRun(a), firstRun(b)
		a, b = a[len(left):], b[len(right):]
		if isDigit(left[0]) && isDigit(right[0]) {
			left, right = strings.TrimLeft(left, "0"), strings.TrimLeft(right, "0")
			if len(left) != len(right) {
				return len(left) - len(right)
			}
		}
		if order := strings.Compare(left, right); order != 0 {
			return order
		}
	}
	return len(a) - len(b)
}

// firstRun is the digits, or the other characters, that s begins with. s is not empty.
func firstRun(s string) string {
	end := 1
	for end < len(s) && isDigit(s[end]) == isDigit(s[0]) {
		end++
	}
	return s[:end]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
