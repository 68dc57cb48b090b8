package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/operators"
)

// Trust is which files may use operators that are not on the list of package operators: those whose SHA-256 somebody has named, who
// knows their author. Nothing in a model file, or beside it, can say so. The zero value trusts none.
type Trust struct {
	// SHA256 are digests in hexadecimal, of small letters.
	SHA256 []string `json:"sha256,omitempty"`
}

// Permit returns an [*OperatorError] if the file uses what is not on the list, and is not trusted. Nothing may be given to libtorch before.
func (f *File) Permit(t Trust) error {
	if len(f.Unlisted) == 0 {
		return nil
	}
	sum, err := f.SHA256()
	if err != nil {
		return err
	}
	if slices.Contains(t.SHA256, sum) {
		return nil
	}
	return &OperatorError{Path: f.Path, SHA256: sum, Found: f.Unlisted}
}

// Trusted is a trust in the file of that digest alone, for a process that tries it; none where the file needs none.
func (f *File) Trusted(sum string) Trust {
	if len(f.Unlisted) == 0 {
		return Trust{}
	}
	return Trust{SHA256: []string{sum}}
}

// UnlistedNames are what [File.Unlisted] names, each once.
func (f *File) UnlistedNames() []string {
	var names []string
	for _, found := range f.Unlisted {
		name := found.Name
		if name == "" {
			name = found.Where
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// OperatorError tells that a model's code uses what is not known to compute and nothing else.
type OperatorError struct {
	Path, SHA256 string
	Found        []operators.Finding // at least one
}

// Error says what it found, and how to use the file all the same.
func (e *OperatorError) Error() string {
	const most = 5
	var b strings.Builder
	fmt.Fprintf(&b, "%s uses operators that a network does not need to classify pictures:", e.Path)
	for _, found := range e.Found[:min(most, len(e.Found))] {
		fmt.Fprintf(&b, "\n    %s", found)
	}
	if more := len(e.Found) - most; more > 0 {
		fmt.Fprintf(&b, "\n    and %d more", more)
	}
	fmt.Fprintf(&b, "\nA model is a program: it could do that with the rights of this process. Export the network without it. If you trust whoever made"+
		" this file\nas you would trust a program of theirs, add:  --trust %s", e.SHA256)
	return b.String()
}
