package model

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// newestFormat is the highest "version" record that the pinned libtorch reads (kMaxSupportedFileFormatVersion).
const newestFormat = 10

// Origin is what an archive tells of the PyTorch that wrote it, and of what is in it. No archive holds PyTorch's own version.
type Origin struct {
	Format    int    // of the archive: 3 to 10 in files of PyTorch 1.6 and later
	PyTorch   string // how old the writer is, in words: "before 2.1"
	Half      bool   // weights in float16 or bfloat16
	CUDA      bool   // the code names a GPU: it was exported on one
	Quantised bool   // operators on 8-bit numbers
	Bytes     bool   // it divides its input by 255 or 127.5 itself: it takes values from 0 to 255
}

// String is for people: "PyTorch before 2.1 (archive format 3)".
func (o Origin) String() string {
	return fmt.Sprintf("PyTorch %s (archive format %d; up to %d can be read)", o.PyTorch, o.Format, newestFormat)
}

// archive is the records of a PyTorch zip file, by their path below its one top folder.
type archive struct {
	reader  io.ReaderAt
	size    int64
	files   []*zip.File // in the order of the directory
	records map[string]*zip.File
}

// bombRatio bounds what the records may unpack to. PyTorch stores weights as they are and compresses code tenfold.
const (
	bombRatio = 32
	bombSlack = 64 << 20
)

// openArchive reads the directory. trap is what is wrong with it, in words, or "".
func openArchive(r io.ReaderAt, size int64) (a archive, trap string) {
	reader, err := zip.NewReader(r, size)
	if err != nil {
		return a, "a damaged or truncated archive"
	}
	a = archive{reader: r, size: size, files: reader.File, records: make(map[string]*zip.File, len(reader.File))}
	var unpacked uint64
	for _, record := range reader.File {
		name := path.Clean(record.Name)
		switch {
		// An entry that claims more than the file holds is a trap for the loader.
		case record.CompressedSize64 > uint64(size), record.Method == zip.Store && record.UncompressedSize64 != record.CompressedSize64:
			return a, "a damaged archive: an entry claims to be larger than the file"
		case record.Method != zip.Store && record.Method != zip.Deflate:
			return a, fmt.Sprintf("an archive whose record %q is compressed in a way that PyTorch does not use", name)
		}
		if unpacked += record.UncompressedSize64; unpacked > uint64(size)*bombRatio+bombSlack {
			return a, fmt.Sprintf("an archive that claims to unpack to more than %d times its size", bombRatio)
		}
		_, below, found := strings.Cut(name, "/")
		if !found {
			below = name
		}
		if a.records[below] != nil {
			return a, fmt.Sprintf("a damaged archive: it has two records named %q", below)
		}
		a.records[below] = record
	}
	return a, ""
}

func (a archive) has(names ...string) bool {
	for _, name := range names {
		if a.records[name] != nil {
			return true
		}
	}
	return false
}

func (a archive) hasFolder(folder string) bool {
	for name := range a.records {
		if strings.HasPrefix(name, folder+"/") {
			return true
		}
	}
	return false
}

// maxCodeBytes bounds what is read of the code and of the pickles: a ResNet-152 has 300 KB.
const maxCodeBytes = 64 << 20

// program reads the records that say what the network does: its code, and the pickles of its values.
func (a archive) program() (records map[string][]byte, trap string) {
	records = map[string][]byte{}
	for name, record := range a.records {
		if !isCode(name) && name != "data.pkl" && name != "constants.pkl" {
			continue
		}
		data, err := readEntry(record, maxCodeBytes)
		if err != nil {
			return nil, fmt.Sprintf("a damaged archive: its record %q cannot be read", name)
		}
		records[name] = data
	}
	return records, ""
}

func isCode(name string) bool {
	return strings.HasPrefix(name, "code/") && strings.HasSuffix(name, ".py")
}

// origin looks at the small records, and at the program; trap is why libtorch could not read the file, or "".
func (a archive) origin(program map[string][]byte) (o Origin, trap string) {
	version := a.records["version"]
	if version == nil {
		version = a.records[".data/version"]
	}
	if version == nil {
		return o, "an incomplete archive (it has no version record)"
	}
	text, err := readEntry(version, 32)
	if err != nil {
		return o, "a damaged archive: its version cannot be read"
	}
	if o.Format, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil || o.Format < 1 {
		return o, fmt.Sprintf("a damaged archive: its version is %.20q", text)
	}
	o.PyTorch = "before 2.1"
	if a.has("byteorder", ".data/serialization_id") {
		o.PyTorch = "2.1 or later"
	}
	if o.Format > newestFormat {
		return o, fmt.Sprintf("an archive in format %d, of a PyTorch newer than this version can read (formats up to %d)", o.Format, newestFormat)
	}
	if order := a.records["byteorder"]; order != nil {
		if text, err = readEntry(order, 32); err != nil || strings.TrimSpace(string(text)) != "little" {
			return o, "an archive written on a big-endian machine"
		}
	}
	byteScale := a.holdsByteScale()
	for name, data := range program {
		code := isCode(name)
		o.CUDA = o.CUDA || code && bytes.Contains(data, []byte(`torch.device("cuda`))
		o.Bytes = o.Bytes || code && takesBytes(data, byteScale)
		o.Quantised = o.Quantised || code && bytes.Contains(data, []byte("ops.quantized."))
		o.Half = o.Half || !code && (bytes.Contains(data, []byte("\nHalfStorage\n")) || bytes.Contains(data, []byte("\nBFloat16Storage\n")))
	}
	return o, ""
}

// CheckRecords reads the whole archive at filePath and holds every record against its checksum, which libtorch does not do: a changed
// bit in the weights would show in the answers only, if at all.
// The error is a [*NotTorchScriptError].
func CheckRecords(filePath string) error {
	f, info, err := userfile.Open(filePath)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkRecords(f, info.Size(), filePath)
}

func checkRecords(r io.ReaderAt, size int64, filePath string) error {
	refuse := func(is string) error { return &NotTorchScriptError{Path: filePath, Is: is, Do: exportAgain} }
	a, trap := openArchive(r, size)
	if trap != "" {
		return refuse(trap)
	}
	if trap := a.checkDirectory(); trap != "" {
		return refuse(trap)
	}
	for _, record := range a.records {
		content, err := record.Open()
		if err == nil {
			_, err = io.Copy(io.Discard, content) // bounded by openArchive; the reader compares length and checksum
			content.Close()
		}
		if err != nil {
			return refuse(fmt.Sprintf("a damaged archive: its record %q is not what was written", record.Name))
		}
	}
	return nil
}
