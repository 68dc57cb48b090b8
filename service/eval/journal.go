package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Guess is one answer for a picture.
type Guess struct {
	Class       int     `json:"class"`
	Probability float64 `json:"p"` // 0–1
}

// Record is what a model said of one picture.
type Record struct {
	File  string  `json:"file"`  // the item's name
	Class int     `json:"class"` // the right one
	Top   []Guess `json:"top,omitempty"`
	// Right is the probability that the model gave to the right class, 0–1.
	Right        float64 `json:"right"`
	Milliseconds float64 `json:"ms"`
	Error        string  `json:"error,omitempty"` // why there is no answer
	// Of the picture's file, to notice another in its place: its bytes, and when it was changed (Unix nanoseconds).
	Bytes   int64 `json:"bytes"`
	Changed int64 `json:"changed"`
}

// Correct reports whether the right class is among the k likeliest.
func (r Record) Correct(k int) bool {
	for _, guess := range r.Top[:min(k, len(r.Top))] {
		if guess.Class == r.Class {
			return true
		}
	}
	return false
}

// Subject is what was measured: records of one cannot be mixed with those of another.
type Subject struct {
	Dataset   string `json:"dataset"` // where it is
	Model     string `json:"model"`
	Version   string `json:"version"`
	SHA256    string `json:"sha256"` // of the model's file
	Precision string `json:"precision"`
	Decode    string `json:"decode"`
	NoExif    bool   `json:"no_exif"`
}

// Journal is a file of records, one JSON object a line under the subject's line. A run that was interrupted goes on where it
// ended. Its methods are safe for concurrent use.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	done   map[string]Record // by file
	failed error             // of the write that failed
}

// OpenJournal opens or begins the journal at path. Records of another subject are an error that says so; a last line that was cut
// off by a crash is dropped.
func OpenJournal(path string, subject Subject) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	j := &Journal{file: f, done: map[string]Record{}}
	if err := j.begin(path, subject); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

func (j *Journal) begin(path string, subject Subject) error {
	r := bufio.NewReader(j.file)
	whole := int64(0) // bytes of complete lines
	for first := true; ; first = false {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if first {
			var was Subject
			if err := json.Unmarshal(line, &was); err != nil || was.Model == "" {
				return fmt.Errorf("%s is no journal of an evaluation; name another folder with --out", path)
			}
			if was != subject {
				return fmt.Errorf("%s holds what %s version %s (%.8s) said of the pictures in %s, in %s and with decode=%s; "+
					"this is another model, dataset or setting: use --fresh to begin anew, or another --out", path, was.Model, was.Version, was.SHA256, was.Dataset, was.Precision, was.Decode)
			}
		} else {
			var record Record
			if err := json.Unmarshal(line, &record); err != nil || record.File == "" {
				return fmt.Errorf("%s is damaged behind byte %d: %v; use --fresh to begin anew", path, whole, err)
			}
			j.done[record.File] = record
		}
		whole += int64(len(line))
	}
	if err := j.file.Truncate(whole); err != nil {
		return err
	}
	if _, err := j.file.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	if whole == 0 {
		return j.write(subject)
	}
	return nil
}

func (j *Journal) write(v any) error {
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(v); err != nil {
		return err
	}
	_, err := j.file.Write(line.Bytes()) // in one call: a line is there whole, or cut off at the end
	return err
}

// Find is the record of an item, if there is one with an answer. Files that could not be read are tried again, and so are those
// that have changed, or whose class was corrected since: a record knows the probability of its own class alone.
func (j *Journal) Find(item Item) (Record, bool) {
	bytes, changed := stamp(item.Path)
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.done[item.Name]
	return r, ok && r.Error == "" && r.Class == item.Class && r.Bytes == bytes && r.Changed == changed
}

// stamp tells a file from another in its place; zeros where there is none.
func stamp(path string) (bytes, changed int64) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0
	}
	return info.Size(), info.ModTime().UnixNano()
}

// Add appends a record. After an error every other Add has the same one: nothing may stand behind half a line.
func (j *Journal) Add(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == nil {
		j.done[r.File] = r
		j.failed = j.write(r)
	}
	return j.failed
}

// Close closes the file. Nothing may be added any more.
func (j *Journal) Close() error { return j.file.Close() }
