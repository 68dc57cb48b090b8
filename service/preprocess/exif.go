package preprocess

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"regexp"

	"github.com/bep/imagemeta"
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

// exifOrientation reads the orientation from EXIF data.
func exifOrientation(data []byte) (turn orientation) {
	turn = 1
	data = bytes.TrimPrefix(data, []byte("Exif\x00\x00"))
	if len(data) == 0 {
		return 1
	}
	defer func() {
		if recover() != nil { // a bug in the parser must not cost the picture, let alone the process
			turn = 1
		}
	}()
	_, _ = imagemeta.Decode(imagemeta.Options{
		R:           bytes.NewReader(data),
		ImageFormat: imagemeta.TIFF,
		Sources:     imagemeta.EXIF,
		ShouldHandleTag: func(tag imagemeta.TagInfo) bool {
			return tag.Tag == "Orientation" && tag.Namespace == "IFD0"
		},
		HandleTag: func(tag imagemeta.TagInfo) error {
			turn = orientationOf(tag.Value)
			return imagemeta.ErrStopWalking
		},
		// The orientation is among the first tags of the first directory; what is beyond these is not worth the time.
		LimitNumTags: 1000,
		LimitTagSize: 1000,
	})
	return turn
}

func orientationOf(value any) orientation {
	n := 0
	switch v := value.(type) {
	case uint16:
		n = int(v)
	case uint32:
		n = int(v)
	case uint8:
		n = int(v)
	}
	if n < 1 || n > 8 {
		return 1
	}
	return orientation(n)
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

// pngOrientation reads a PNG's EXIF chunk, or ImageMagick's text in place of it, or else its XMP text. Compressed text is left
// alone: what it inflates to is anyone's guess.
func pngOrientation(data []byte) orientation {
	const rawProfile, xmpText = "Raw profile type exif\x00", "XML:com.adobe.xmp\x00\x00"
	var exif, profile, xmp []byte
	for chunk := range pngChunks(data) {
		switch {
		case chunk.name == "eXIf" && exif == nil:
			exif = chunk.body
		case chunk.name == "tEXt" && bytes.HasPrefix(chunk.body, []byte(rawProfile)):
			profile = chunk.body[len(rawProfile):]
		case chunk.name == "iTXt" && bytes.HasPrefix(chunk.body, []byte(xmpText)):
			xmp = chunk.body
		}
	}
	if exif == nil {
		exif = profileBytes(profile)
	}
	if turn := exifOrientation(exif); turn != 1 {
		return turn
	}
	if match := xmpOrientation.FindSubmatch(xmp); match != nil {
		return orientationOf(match[1][0] - '0')
	}
	return 1
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
