// Package eval measures how often a model is right: on pictures whose classes are known it counts right answers, per class and
// in all, looks whether its percentages mean what they say, and shows the worst mistakes. `vidi eval` is built on it.
package eval

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/pictures"
	"github.com/vidi-vision/vidi/service/userfile"
)

// Item is a picture whose class is known.
type Item struct {
	Path  string // to open it
	Name  string // relative to the dataset, with slashes: what reports and journals call it
	Class int    // index into the model's labels
}

// Dataset is pictures whose classes are known, ordered by Name.
type Dataset struct {
	Path    string // of the folder or the CSV file
	Items   []Item
	LeftOut pictures.LeftOut // files in its folders that are no pictures, or not in a form that vidi reads
}

// Sample is the dataset, or most of its items, spread evenly over all of them.
func (d *Dataset) Sample(most int) *Dataset {
	if len(d.Items) <= most {
		return d
	}
	sample := &Dataset{Path: d.Path, LeftOut: d.LeftOut, Items: make([]Item, most)}
	for i := range sample.Items {
		sample.Items[i] = d.Items[i*len(d.Items)/most]
	}
	return sample
}

// UnknownLabels are names in a dataset that the model has no class for.
type UnknownLabels struct {
	Names []UnknownLabel
	Where string // "folder" or "label": what the names are in the dataset
}

// UnknownLabel is a name that no class has, with the class it may have been meant for.
type UnknownLabel struct{ Name, Near string }

// Error lists the names and says what to do.
func (e *UnknownLabels) Error() string {
	const most = 10
	lines := []string{fmt.Sprintf("the model has no class for %d of the %ss:", len(e.Names), e.Where)}
	for _, unknown := range e.Names[:min(most, len(e.Names))] {
		line := fmt.Sprintf("  %q", unknown.Name)
		if unknown.Near != "" {
			line += fmt.Sprintf(" (did you mean %q?)", unknown.Near)
		}
		lines = append(lines, line)
	}
	if more := len(e.Names) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	lines = append(lines, "a "+e.Where+" is named like a class: its label, its English or Chinese name, its WordNet id, or class_N; "+
		"`vidi models show NAME` lists them. --skip-unknown leaves these pictures out")
	return strings.Join(lines, "\n")
}

// Open reads which pictures there are: below a folder with a sub-folder for each class, hidden folders left out, or in a CSV file
// with the columns "file" and "label", whose files are relative to it. Names of classes that labels do not have are an
// [*UnknownLabels], unless skipUnknown leaves their pictures out; a dataset without any picture is an error.
func Open(path string, labels []model.Label, skipUnknown bool) (*Dataset, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	d := &Dataset{Path: path}
	names := newClassNames(labels)
	where := "label"
	if info.IsDir() {
		where = "folder"
		err = d.readFolder(names)
	} else {
		err = d.readCSV(names)
	}
	if err != nil {
		return nil, err
	}
	if unknown := names.unknown(); len(unknown) > 0 && !skipUnknown {
		return nil, &UnknownLabels{Names: unknown, Where: where}
	}
	if len(d.Items) == 0 {
		return nil, fmt.Errorf("%s has no picture of a class that the model knows; expected are sub-folders named like classes, or a CSV file with the columns file and label", path)
	}
	slices.SortFunc(d.Items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return d, nil
}

func (d *Dataset) readFolder(names *classNames) error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		folder := filepath.Join(d.Path, entry.Name())
		// Links to folders count: data sets are often put together from them.
		if info, err := os.Stat(folder); err != nil || !info.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		class, known := names.find(entry.Name())
		if !known {
			continue
		}
		err := pictures.WalkAll(folder, func(path string, kind pictures.Kind, err error) error {
			if err != nil {
				return err
			}
			if kind != pictures.Picture {
				d.LeftOut.Add(path, kind)
				return nil
			}
			name, err := filepath.Rel(d.Path, path)
			d.Items = append(d.Items, Item{Path: path, Name: filepath.ToSlash(name), Class: class})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Dataset) readCSV(names *classNames) error {
	f, _, err := userfile.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	text := bufio.NewReader(f)
	begins, _ := text.Peek(4096) // a file may be shorter
	if _, err := userfile.Unmarked(begins); err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	r := csv.NewReader(text)
	if first, _, _ := bytes.Cut(begins, []byte("\n")); !bytes.Contains(first, []byte(",")) && bytes.Contains(first, []byte(";")) {
		r.Comma = ';' // as spreadsheets write it where the comma is in numbers
	}
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("%s is neither a folder nor a CSV file: %w", d.Path, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // spreadsheets write it
	file, label := slices.Index(header, "file"), slices.Index(header, "label")
	if file < 0 || label < 0 {
		return fmt.Errorf("%s has the columns %s; it needs file and label", d.Path, strings.Join(header, ", "))
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.Path, err)
		}
		class, known := names.find(row[label])
		if !known {
			continue
		}
		path := filepath.FromSlash(row[file])
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(d.Path), path)
		}
		d.Items = append(d.Items, Item{Path: path, Name: row[file], Class: class})
	}
}
