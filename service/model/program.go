package model

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/vidi-vision/vidi/service/operators"
)

// readByName are the records that libtorch looks for by these names, in any case: its zip reader takes DATA.PKL for data.pkl.
var readByName = map[string]bool{"version": true, "data.pkl": true, "constants.pkl": true, "byteorder": true}

// unlisted finds what the program, of the archive's code and pickles, does beyond computing. trap is what keeps libtorch from being
// given the file at all: that its reader might find other code than was looked at here.
func (a archive) unlisted(program map[string][]byte, format int) (found []operators.Finding, trap string) {
	if trap = a.checkDirectory(); trap != "" {
		return nil, trap
	}
	for name := range a.records {
		lower := strings.ToLower(name)
		inCode := strings.HasPrefix(lower, "code/")
		switch {
		case lower == "model.json", lower == "attributes.pkl":
			return nil, fmt.Sprintf("an archive with the record %q, as PyTorch before 1.4 wrote it", name)
		case readByName[lower] && name != lower, inCode && !strings.HasPrefix(name, "code/"):
			return nil, fmt.Sprintf("a damaged archive: its record %q has capital letters where PyTorch writes none", name)
		case inCode && !isCode(name) && !strings.HasSuffix(name, ".py.debug_pkl") && a.records[name].UncompressedSize64 > 0:
			return nil, fmt.Sprintf("an archive with the record %q among its code, which PyTorch does not write", name)
		}
	}
	code := operators.Code{Sources: map[string][]byte{}, Classes: map[string][]string{}}
	pickles := map[string]any{}
	for name, data := range program {
		if isCode(name) {
			code.Sources[name] = data
		} else if pickles[name], code.Classes[name], trap = a.unpickle(name, data); trap != "" {
			return nil, trap
		}
	}
	if trap = a.checkDebugRecords(); trap != "" {
		return nil, trap
	}
	found, classes, unread := operators.Examine(code)
	switch {
	case unread == nil:
		return found, checkNetwork(pickles, classes, format)
	case found == nil:
		return nil, "an archive whose record " + unread.String()
	}
	return found, ""
}

// checkDirectory holds the archive's directory against how libtorch reads it (miniz, in caffe2/serialize/inline_container.cc). Wherever
// two readers could find different records the file is refused; PyTorch and `zip` write no such files.
func (a archive) checkDirectory() string {
	const odd = "an archive that can be read in two ways: "
	entries, problem := readDirectory(a.reader, a.size)
	if problem != "" {
		return odd + problem
	}
	if len(entries) != len(a.files) {
		return odd + "its directory has another number of records than it says"
	}
	folder, seen := "", map[string]bool{}
	for i, entry := range entries {
		file := a.files[i]
		if entry.name != file.Name || entry.size != file.UncompressedSize64 || entry.packed != file.CompressedSize64 || entry.method != file.Method {
			return odd + fmt.Sprintf("its record %q", file.Name)
		}
		const utf8Name, sizesFollow = 0x800, 8
		if entry.flags&^(utf8Name|sizesFollow) != 0 {
			return fmt.Sprintf("an archive whose record %q is encrypted, or changed in another way that PyTorch does not know", entry.name)
		}
		top, below, found := strings.Cut(entry.name, "/")
		if !found || i > 0 && top != folder {
			return fmt.Sprintf("an archive whose record %q is outside of the folder of the others, where libtorch does not look", entry.name)
		}
		folder = top
		lower := strings.ToLower(entry.name)
		switch {
		case seen[lower]:
			return fmt.Sprintf("an archive with two records named %q, but for capital letters", entry.name)
		case (below == "" || strings.HasSuffix(below, "/")) && entry.size == 0: // a folder, as `zip -r` writes it
		case path.Clean(entry.name) != entry.name, strings.ContainsFunc(entry.name, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }):
			return odd + fmt.Sprintf("its record is called %q", entry.name)
		}
		seen[lower] = true
		if !a.sameLocalHeader(entry) {
			return odd + fmt.Sprintf("its record %q is another one where it lies", entry.name)
		}
	}
	return ""
}

// sameLocalHeader reports whether the header before the content names the record and its method as the directory does.
func (a archive) sameLocalHeader(entry directoryEntry) bool {
	header := make([]byte, localHeader+len(entry.name))
	if _, err := a.reader.ReadAt(header, int64(entry.offset)); err != nil && err != io.EOF {
		return false
	}
	le := littleEndian(header)
	return le.u32(0) == 0x04034b50 && le.u16(8) == entry.method && int(le.u16(26)) == len(entry.name) && string(header[localHeader:]) == entry.name
}
