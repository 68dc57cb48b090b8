package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

var errNoRef = errors.New("no model was named; use NAME or NAME@VERSION")

// ErrExists is wrapped by Place where the folder has another model of that name and version.
var ErrExists = errors.New("is there already")

// Place gives the draft its name, in one step: other processes see the folder without the model or with all of it. A model of
// the same name and version is only replaced if replace says so; one that is built in stays where it is, behind the new one. Whichever
// model was the folder's default before stays it. sum is the file's SHA-256, in hexadecimal.
func (d *Draft) Place(replace bool) (path, sum string, err error) {
	if sum, err = SHA256(d.Path); err != nil {
		return "", "", err
	}
	err = d.folder.change(func(m *Manifest, save func() error) error {
		entries, err := d.folder.list(*m)
		if err != nil {
			return err
		}
		path = d.folder.freeName(d.card, sum, entries)
		for _, e := range entries {
			if e.Err != nil || e.Ref() != Ref(d.card.Name, d.card.Version) {
				continue
			}
			if !replace {
				return existsError(e)
			}
			if e.BuiltIn { // not ours to write: the new one takes its place by its name
				continue
			}
			path = e.Path
			// The old sum goes before the new file comes: at no time is there a file with a sum that is not its own.
			m.forget(path)
			if err := save(); err != nil {
				return err
			}
		}
		if err := os.Rename(d.Path, path); err != nil {
			return err
		}
		m.SHA256[filepath.Base(path)] = sum
		if m.Default == "" && len(entries) > 0 && entries[0].Err == nil {
			m.Default = entries[0].Name
		}
		return nil
	})
	return path, sum, err
}

func existsError(e Entry) error {
	return fmt.Errorf("%s %w, in %s. Give this one another --version, or replace that one with --force", e.Ref(), ErrExists, e.Path)
}

// CheckFree returns [ErrExists] if the folder has a model of that name and version: a question to ask before much is done.
func (f Folder) CheckFree(name, version string) error {
	entries, err := f.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Err == nil && e.Ref() == Ref(name, version) {
			return existsError(e)
		}
	}
	return nil
}

// freeName is NAME-VERSION.pt, or one that no other model has.
func (f Folder) freeName(card Card, sum string, entries []Entry) string {
	base := card.Name + "-" + NameOfFile(card.Version)
	path := filepath.Join(string(f), base+".pt")
	for _, e := range entries {
		if e.Path == path {
			return filepath.Join(string(f), base+"-"+sum[:8]+".pt")
		}
	}
	return path
}

// Remove deletes the model that ref means and returns what it was. A name of which there are several versions is refused, unless
// all is set; then all go.
func (f Folder) Remove(ref string, all bool) (removed []Entry, err error) {
	if ref == "" {
		return nil, errNoRef
	}
	err = f.change(func(m *Manifest, _ func() error) error {
		matches, err := f.matches(ref, *m)
		if err != nil {
			return err
		}
		if len(matches) > 1 && !all {
			refs := make([]string, len(matches))
			for i, e := range matches {
				refs[i] = e.Ref()
			}
			return fmt.Errorf("%q means several models: %s. Name one of them, or take --all", ref, strings.Join(refs, ", "))
		}
		for _, e := range matches {
			if err := os.Remove(e.Path); err != nil {
				return err
			}
			m.forget(e.Path)
			removed = append(removed, e)
		}
		if m.Default != "" {
			if _, err := f.matches(m.Default, *m); errors.Is(err, ErrNoModel) {
				m.Default = "" // it is gone; the folder's own order decides
			}
		}
		return nil
	})
	return removed, err
}

// SetDefault makes the model that ref means answer where none is named. A name without a version goes on meaning its newest.
func (f Folder) SetDefault(ref string) (Entry, error) {
	var chosen Entry
	if ref == "" {
		return chosen, errNoRef
	}
	err := f.change(func(m *Manifest, _ func() error) error {
		matches, err := f.matches(ref, *m)
		if err != nil {
			return err
		}
		chosen = matches[0]
		m.Default = chosen.Name
		if ref != chosen.Name {
			m.Default = chosen.Ref()
		}
		return nil
	})
	return chosen, err
}

// SHA256 is the digest of the file at path, in hexadecimal.
func SHA256(path string) (string, error) {
	f, _, err := userfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest(f)
}

func digest(r io.Reader) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// CheckSum compares the digest of the file at path with the one that was recorded when it was added. A file that was not added,
// but copied here, or that lies elsewhere, has none to differ from.
func CheckSum(path, sum string) error {
	manifest, err := Folder(filepath.Dir(path)).Manifest()
	if err != nil {
		return nil //nolint:nilerr // said where the folder is listed; a model named by its path needs no manifest
	}
	recorded := manifest.SHA256[filepath.Base(path)]
	if recorded == "" || recorded == sum {
		return nil
	}
	return &ChangedError{Path: path, Recorded: recorded, Found: sum}
}

// ChangedError tells that a file is not the one that was added.
type ChangedError struct{ Path, Recorded, Found string }

// Error says what to do about it.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s is not the file that was added: its SHA-256 is %.12s…, and was %.12s….\n"+
		"If the disk or a copy went wrong, add the model again from where it came. If you replaced it on purpose, run `vidi models add --force %s`.",
		e.Path, e.Found, e.Recorded, e.Path)
}
