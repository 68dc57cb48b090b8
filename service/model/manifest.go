package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vidi-vision/vidi/service/userfile"
)

// ManifestFile is the name of the [Manifest] in a folder of models.
const ManifestFile = "models.json"

// maxManifest bounds it: the checksums of 100,000 models.
const maxManifest = 16 << 20

// Manifest is what a folder knows of its models beyond their files: a folder without one works too.
type Manifest struct {
	// Default is who answers where no model is named: NAME, or NAME@VERSION; "" leaves it to the folder's own order.
	Default string `json:"default,omitempty"`
	// SHA256 is the digest of each file that `vidi models add` placed, by file name. A file that no longer has it is refused.
	SHA256 map[string]string `json:"sha256,omitempty"`
}

// Manifest reads the folder's manifest; without one it is empty.
func (f Folder) Manifest() (Manifest, error) {
	path := filepath.Join(string(f), ManifestFile)
	data, err := userfile.Read(path, "a list of models", maxManifest)
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, nil
	}
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("%s is damaged: %w; delete it: only the choice of the default and the files' checksums are in it", path, err)
	}
	return m, nil
}

// forget drops what is known of a file that goes.
func (m *Manifest) forget(path string) {
	name := filepath.Base(path)
	delete(m.SHA256, name)
}

// change lets edit change the manifest, under the folder's lock, which one process holds at a time. The new manifest is on the
// disk when it returns without an error; edit may call save to have it there earlier.
func (f Folder) change(edit func(m *Manifest, save func() error) error) error {
	lock, err := f.lock()
	if err != nil {
		return err
	}
	defer lock.Close() // and with it the lock
	m, err := f.Manifest()
	if err != nil {
		return err
	}
	if m.SHA256 == nil {
		m.SHA256 = map[string]string{}
	}
	save := func() error { return f.write(m) }
	if err := edit(&m, save); err != nil {
		return err
	}
	return save()
}

// write replaces the manifest in one step.
func (f Folder) write(m Manifest) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	draft := filepath.Join(string(f), draftPrefix+ManifestFile)
	os.Remove(draft) // of a process that was ended here; the lock is ours
	write := func(w io.Writer) error { _, err := w.Write(append(data, '\n')); return err }
	if err := writeFile(draft, write); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(string(f), ManifestFile)); err != nil {
		os.Remove(draft)
		return err
	}
	return f.sync()
}

// sync has the folder's names on the disk, so that a rename survives a power cut.
func (f Folder) sync() error {
	dir, err := os.Open(string(f))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
