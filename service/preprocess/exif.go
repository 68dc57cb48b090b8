package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"
	"regexp"
)

// orientation is EXIF's: how a stored picture is to be turned so that it stands upright. 1 is as it is, and so is every
// value that EXIF does not define.
type orientation int

// readOrientation finds the orientation in a picture's metadata, where Pillow's ImageOps.exif_transpose would. A picture is
// worth more than its metadata: whatever is wrong there counts as no orientation. GIF and BMP have none.
func readOrientation(format string, data []byte) orientation {
	switch format {
	case "jpeg":
		return exifOrientation(jpegEXIF(data))
	case "webp":
		return exifOrientation(webpEXIF(data))
	case "tiff":
		return exifOrientation(data) // EXIF data is a TIFF file without a picture
	case "png":
		return pngOrientation(data)
	}
	return 1
}

// exifOrientation reads the orientation from EXIF data; 1 if there is none.
func exifOrientation(data []byte) orientation {
	turn, _ := findOrientation(data)
	return turn
}

// exifSizes are the bytes of one value of each type of EXIF entry that Pillow knows. It passes over entries of other types.
var exifSizes = map[uint16]int64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}

// findOrientation looks for the orientation in the first directory of EXIF data, as Pillow does: of several entries the last
// counts, and the first entry whose values lie outside of the data ends the search.
func findOrientation(data []byte) (turn orientation, found bool) {
	turn = 1
	data = bytes.TrimPrefix(data, []byte("Exif\x00\x00"))
	if len(data) < 8 {
		return turn, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(data[:2]) {
	case "II":
	case "MM":
		order = binary.BigEndian
	default:
		return turn, false
	}
	if version := order.Uint16(data[2:]); version != 42 && version != 42<<8 {
		return turn, false
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return turn, false
	}
	entries := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(entries) < 12 {
			break
		}
		tag, kind, count := order.Uint16(entries), order.Uint16(entries[2:]), int64(order.Uint32(entries[4:]))
		value := entries[8:12]
		entries = entries[12:]
		size := count * exifSizes[kind]
		if size == 0 {
			continue
		}
		if size > 4 {
			at := int64(order.Uint32(value))
			if at+size > int64(len(data)) {
				break
			}
			value = data[at:]
		}
		if tag == 0x0112 {
			turn, found = orientationOf(exifNumber(kind, value, order)), true
		}
	}
	return turn, found
}

// exifNumber is the first value of an entry. Bytes and texts are no numbers to Pillow.
func exifNumber(kind uint16, value []byte, order binary.ByteOrder) float64 {
	switch kind {
	case 3:
		return float64(order.Uint16(value))
	case 4, 13:
		return float64(order.Uint32(value))
	case 5:
		return float64(order.Uint32(value)) / float64(order.Uint32(value[4:]))
	case 6:
		return float64(int8(value[0]))
	case 8:
		return float64(int16(order.Uint16(value)))
	case 9:
		return float64(int32(order.Uint32(value)))
	case 10:
		return float64(int32(order.Uint32(value))) / float64(int32(order.Uint32(value[4:])))
	case 11:
		return float64(math.Float32frombits(order.Uint32(value)))
	case 12:
		return math.Float64frombits(order.Uint64(value))
	case 16:
		return float64(order.Uint64(value))
	}
	return 0
}

func orientationOf(value float64) orientation {
	for o := orientation(1); o <= 8; o++ {
		if value == float64(o) {
			return o
		}
	}
	return 1
}

// jpegEXIF is the first EXIF segment before the picture itself, nil if there is none.
func jpegEXIF(data []byte) []byte {
	for at := 2; at+4 <= len(data) && data[at] == 0xff; {
		marker := data[at+1]
		if marker == 0xff { // fill byte
			at++
			continue
		}
		if marker == 0xda { // start of scan
			return nil
		}
		end := at + 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		if end < at+4 || end > len(data) {
			return nil
		}
		if body := data[at+4 : end]; marker == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00")) {
			return body
		}
		at = end
	}
	return nil
}

func webpEXIF(data []byte) []byte {
	for chunk := range riffChunks(data[12:]) {
		if chunk.name == "EXIF" {
			return chunk.body
		}
	}
	return nil
}

var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:="|>)([0-9])`)

// pngOrientation reads a PNG's EXIF chunk, or ImageMagick's text in place of it, or else its XMP text. Of several the last counts.
func pngOrientation(data []byte) orientation {
	const rawProfile, xmpText = "Raw profile type exif", "XML:com.adobe.xmp"
	var exif []byte
	var profile, xmp pngChunk
	for chunk := range pngChunks(data) {
		switch chunk.name {
		case "eXIf":
			exif = chunk.body
		case "tEXt", "zTXt", "iTXt":
			switch keyword, _, _ := bytes.Cut(chunk.body, []byte{0}); string(keyword) {
			case rawProfile:
				profile = chunk
			case xmpText:
				xmp = chunk
			}
		}
	}
	if exif == nil {
		exif = profileBytes(profile.text())
	}
	if turn, found := findOrientation(exif); found {
		return turn
	}
	if match := xmpOrientation.FindSubmatch(xmp.text()); match != nil {
		return orientationOf(float64(match[1][0] - '0'))
	}
	return 1
}

// mostText is how long a text may be, Pillow's own limit for compressed ones. EXIF data is a tenth of it at most.
const mostText = 1 << 20

// text is what follows the keyword of a chunk of text, inflated where it is compressed. Of one that is
// longer than mostText only that much, or nothing where it is compressed; nil if it is damaged.
func (c pngChunk) text() []byte {
	_, rest, _ := bytes.Cut(c.body, []byte{0})
	compressed := c.name == "zTXt"
	if c.name == "iTXt" {
		if len(rest) < 2 {
			return nil
		}
		compressed = rest[0] != 0
		_, rest, _ = bytes.Cut(rest[2:], []byte{0}) // behind the method, the language
		_, rest, _ = bytes.Cut(rest, []byte{0})     // the keyword in it
	} else if compressed {
		rest = rest[min(1, len(rest)):] // the method; there is only one
	}
	if !compressed {
		return rest[:min(len(rest), mostText)]
	}
	inflater, err := zlib.NewReader(bytes.NewReader(rest))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(inflater, mostText+1))
	if err != nil || len(text) > mostText {
		return nil
	}
	return text
}

// profileBytes undoes ImageMagick's way of writing bytes as text: an empty line, a name, a count, then lines of hexadecimal.
func profileBytes(text []byte) []byte {
	lines := bytes.SplitN(text, []byte("\n"), 4)
	if len(lines) < 4 {
		return nil
	}
	data, err := hex.DecodeString(string(bytes.ReplaceAll(lines[3], []byte("\n"), nil)))
	if err != nil {
		return nil
	}
	return data
}

// swapsSides reports whether the upright picture is as wide as the stored one is high.
func (o orientation) swapsSides() bool { return o >= 5 }

// size is that of the upright picture.
func (o orientation) size(width, height int) (int, int) {
	if o.swapsSides() {
		return height, width
	}
	return width, height
}
