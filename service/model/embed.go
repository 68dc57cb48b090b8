package model

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/vidi-vision/vidi/service/userfile"
)

// alignment is what PyTorch's own writer gives every record, so that weights can be mapped into memory as they lie.
const alignment = 64

// WriteWithCard copies the TorchScript archive at from to w with the card inside, in place of one that may be there. All other
// records keep their bytes and checksums; they lie at multiples of 64 again.
func WriteWithCard(w io.Writer, from string, card Card) error {
	if err := card.Validate(); err != nil {
		return err
	}
	f, info, err := userfile.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	source, err := zip.NewReader(f, info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, err)
	}
	if len(source.File) == 0 {
		return fmt.Errorf("%s is an empty archive", from)
	}
	top, _, found := strings.Cut(path.Clean(source.File[0].Name), "/")
	if !found {
		return fmt.Errorf("%s has no top folder, as PyTorch's archives have", from)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // readable with unzip -p
	if err := encoder.Encode(card); err != nil {
		return err
	}
	target := &counter{w: w}
	out := zip.NewWriter(target)
	for _, record := range source.File {
		if strings.HasSuffix(path.Clean(record.Name), "/extra/"+CardFile) {
			continue
		}
		content, err := record.OpenRaw()
		if err != nil {
			return err
		}
		if err := writeRecord(out, target, record.FileHeader, content); err != nil {
			return err
		}
	}
	header := zip.FileHeader{Name: top + "/extra/" + CardFile, Method: zip.Store, CRC32: crc32.ChecksumIEEE(text.Bytes()),
		CompressedSize64: uint64(text.Len()), UncompressedSize64: uint64(text.Len())}
	if err := writeRecord(out, target, header, &text); err != nil {
		return err
	}
	return out.Close()
}

// writeRecord writes a record as it is, behind padding that puts its content at a multiple of the alignment.
func writeRecord(out *zip.Writer, target *counter, header zip.FileHeader, content io.Reader) error {
	if err := out.Flush(); err != nil {
		return err
	}
	const fixedHeader, extraHeader = 30, 4
	header.Flags &^= 0x8 // sizes stand in the header, not behind the content
	header.Modified = time.Time{}
	begins := target.n + fixedHeader + int64(len(header.Name)) + extraHeader
	padding := (alignment - begins%alignment) % alignment
	header.Extra = append([]byte{'F', 'B', byte(padding), 0}, bytes.Repeat([]byte{'Z'}, int(padding))...) // PyTorch's own mark
	w, err := out.CreateRaw(&header)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return err
}

// counter knows how much was written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// writeFile makes a new file at path by way of write, and has it on the disk when it returns. On an error nothing is left.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
		if err != nil {
			os.Remove(path)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}
