package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"strings"
	"testing"

	"github.com/disintegration/imaging"
)

// inverse is the turn that undoes another one.
func (o orientation) inverse() orientation {
	switch o {
	case 6:
		return 8
	case 8:
		return 6
	}
	return o
}

// apply turns a stored picture upright, with a library that has nothing to do with the way the resize does it.
func (o orientation) apply(img *image.NRGBA) *image.NRGBA {
	switch o {
	case 2:
		return imaging.FlipH(img)
	case 3:
		return imaging.Rotate180(img)
	case 4:
		return imaging.FlipV(img)
	case 5:
		return imaging.Transpose(img)
	case 6:
		return imaging.Rotate270(img)
	case 7:
		return imaging.Transverse(img)
	case 8:
		return imaging.Rotate90(img)
	}
	return img
}

// TestC14Orientations stores one picture in the eight ways, and wants the same pixels from all of them.
func TestC14Orientations(t *testing.T) {
	upright := scene(320, 240)
	want := expect(t, encode(t, "png", upright), ok)
	for o := orientation(1); o <= 8; o++ {
		stored := o.inverse().apply(scene(320, 240))
		var gray []byte
		for i := 0; i < len(stored.Pix); i += 4 {
			gray = append(gray, stored.Pix[i])
		}
		size := stored.Rect.Size()
		jpegData := encode(t, "jpeg", stored)
		for name, c := range map[string]struct {
			data    []byte
			compare func(a, b []byte) bool
		}{
			"png":       {insert(encode(t, "png", stored), afterIHDR, pngChunkBytes("eXIf", exifTurn(o))), bytes.Equal},
			"jpeg":      {jpegWithEXIF(jpegData, exifTurn(o)), similar},
			"jpeg, II":  {jpegWithEXIF(jpegData, exifWith(binary.LittleEndian, 3, 1, uint16(o))), similar},
			"tiff":      {rawTIFF(size.X, size.Y, gray, tiffEntry{274, 3, 1, int(o)}), sameRed},
			"webp":      {webpOf(vp8x(8, size.X, size.Y), riffPiece("VP8L", losslessBits(size.X, size.Y, 0, nil, [4]uint32{})), riffPiece("EXIF", exifTurn(o))), nil},
			"webp, old": {webpOf(vp8x(8, size.X, size.Y), riffPiece("VP8L", losslessBits(size.X, size.Y, 0, nil, [4]uint32{})), riffPiece("EXIF", append([]byte("Exif\x00\x00"), exifTurn(o)...))), nil},
		} {
			p := expect(t, c.data, ok)
			if p == nil {
				continue
			}
			if p.Width != 320 || p.Height != 240 {
				t.Errorf("%s, orientation %d: %d × %d", name, o, p.Width, p.Height)
			}
			if c.compare != nil && !c.compare(p.RGB, want.RGB) {
				t.Errorf("%s, orientation %d: other pixels than those of the upright picture", name, o)
			}
			stays, _ := prepare(t, c.data, Options{IgnoreEXIF: true})
			if image.Pt(stays.Width, stays.Height) != size {
				t.Errorf("%s, orientation %d ignored: %d × %d", name, o, stays.Width, stays.Height)
			}
		}
	}
}

// similar allows what JPEG loses.
func similar(a, b []byte) bool {
	sum := 0
	for i := range a {
		sum += max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return sum < 2*len(a)
}

func sameRed(a, b []byte) bool {
	for i := 0; i < len(a); i += 3 {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestC14Upright holds the public orientation examples against their first ones.
func TestC14Upright(t *testing.T) {
	for _, name := range []string{"Landscape", "Portrait"} {
		want := expect(t, corpusFile(t, "exif/"+name+"_1.jpg"), ok)
		for _, digit := range "2345678" {
			p := expect(t, corpusFile(t, "exif/"+name+"_"+string(digit)+".jpg"), ok)
			if p != nil && (p.Width != want.Width || p.Height != want.Height || !similar(p.RGB, want.RGB)) {
				t.Errorf("%s_%c: not the same picture", name, digit)
			}
		}
	}
}

func TestC15CorruptEXIF(t *testing.T) {
	photo := encode(t, "jpeg", scene(64, 48))
	big := binary.BigEndian
	long := append(exifTurn(1)[:8], 0, 200)
	for i := range 5000 {
		long = append(long, byte(i>>8), byte(i), 0, 3, 0, 0, 0, 1, 0, 6, 0, 0)
	}
	for name, exif := range map[string][]byte{
		"orientation 0":          exifWith(big, 3, 1, 0),
		"orientation 9":          exifWith(big, 3, 1, 9),
		"orientation 65535":      exifWith(big, 3, 1, 65535),
		"text":                   exifWith(big, 2, 1, 6),
		"unknown type":           exifWith(big, 99, 1, 6),
		"2³²−1 values":           exifWith(big, 3, 1<<32-1, 6),
		"directory at 0":         edit(exifTurn(6), 4, 0, 0, 0, 0),
		"directory past the end": edit(exifTurn(6), 4, 0xff, 0xff, 0xff, 0xff),
		"directory in a loop":    append(exifTurn(1)[:22], 0, 0, 0, 8),
		"no byte order":          edit(exifTurn(6), 0, 'X', 'X'),
		"cut off":                exifTurn(6)[:15],
		"empty":                  nil,
		"60 KB":                  long,
	} {
		t.Run(name, func(t *testing.T) {
			if p := expect(t, jpegWithEXIF(photo, exif), ok); p != nil && p.Width != 64 {
				t.Error("the picture was turned")
			}
			if p := expect(t, insert(encode(t, "png", scene(64, 48)), afterIHDR, pngChunkBytes("eXIf", exif)), ok); p != nil && p.Width != 64 {
				t.Error("the PNG was turned")
			}
		})
	}
	t.Run("of two blocks the first counts", func(t *testing.T) {
		if p := expect(t, jpegWithEXIF(jpegWithEXIF(photo, exifTurn(1)), exifTurn(6)), ok); p != nil && p.Width != 48 {
			t.Error("the second block was used")
		}
	})
}

func TestPNGTextOrientation(t *testing.T) {
	data := encode(t, "png", scene(64, 48))
	for name, chunk := range map[string][]byte{
		"XMP":         pngChunkBytes("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00<rdf tiff:Orientation=\"6\"/>")),
		"ImageMagick": pngChunkBytes("tEXt", []byte("Raw profile type exif\x00\nexif\n      32\n4578696600004d4d002a000000080001\n01120003000000010006000000000000\n")),
	} {
		if p := expect(t, insert(data, afterIHDR, chunk), ok); p != nil && p.Width != 48 {
			t.Errorf("%s: the picture was not turned", name)
		}
	}
}

// exifEntries is EXIF data with these entries of 12 bytes, and values behind the directory.
func exifEntries(values string, entries ...string) []byte {
	b := append([]byte("MM\x00*\x00\x00\x00\x08\x00"), byte(len(entries)))
	for _, e := range entries {
		b = append(b, e...)
	}
	return append(append(b, 0, 0, 0, 0), values...)
}

// TestC14EXIFEntries: what stands before the orientation, and its types, with the answers of Pillow 9.4.
func TestC14EXIFEntries(t *testing.T) {
	const six = "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
	jpegData, pngData := encode(t, "jpeg", scene(64, 48)), encode(t, "png", scene(64, 48))
	for name, c := range map[string]struct {
		exif  []byte
		turns bool
	}{
		"type 0 before it":                {exifEntries("", "\x01\x0f\x00\x00\x00\x00\x00\x01abcd", six), true},
		"type 0, 2³²−1 values, before it": {exifEntries("", "\x01\x0f\x00\x00\xff\xff\xff\xffabcd", six), true},
		"type 14 before it":               {exifEntries("", "\x01\x0f\x00\x0e\x00\x00\x00\x01abcd", six), true},
		"type 65535 before it":            {exifEntries("", "\x01\x0f\xff\xff\x00\x00\x00\x01abcd", six), true},
		"zeros before it":                 {exifEntries("", strings.Repeat("\x00", 12), strings.Repeat("\x00", 12), six), true},
		"a higher tag before it":          {exifEntries("", "\x01\x31\x00\x02\x00\x00\x00\x04abc\x00", six), true},
		"values past the end before it":   {exifEntries("", "\x01\x0f\x00\x02\x00\x00\x00\x64\x00\x01\x00\x00", six), false},
		"values past the end behind it":   {exifEntries("", six, "\x01\x32\x00\x02\x00\x00\x00\x64\x00\x01\x00\x00"), true},
		"another before it":               {exifEntries("", "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03\x00\x00", six), true},
		"byte":                            {exifEntries("", "\x01\x12\x00\x01\x00\x00\x00\x01\x06\x00\x00\x00"), false},
		"text":                            {exifEntries("", "\x01\x12\x00\x02\x00\x00\x00\x026\x00\x00\x00"), false},
		"two shorts":                      {exifEntries("", "\x01\x12\x00\x03\x00\x00\x00\x02\x00\x06\x00\x03"), true},
		"no short":                        {exifEntries("", "\x01\x12\x00\x03\x00\x00\x00\x00\x00\x06\x00\x00"), false},
		"long":                            {exifEntries("", "\x01\x12\x00\x04\x00\x00\x00\x01\x00\x00\x00\x06"), true},
		"fraction":                        {exifEntries("\x00\x00\x00\x06\x00\x00\x00\x01", "\x01\x12\x00\x05\x00\x00\x00\x01\x00\x00\x00\x1a"), true},
		"6/0":                             {exifEntries("\x00\x00\x00\x06\x00\x00\x00\x00", "\x01\x12\x00\x05\x00\x00\x00\x01\x00\x00\x00\x1a"), false},
		"signed byte":                     {exifEntries("", "\x01\x12\x00\x06\x00\x00\x00\x01\x06\x00\x00\x00"), true},
		"bytes of unknown meaning":        {exifEntries("", "\x01\x12\x00\x07\x00\x00\x00\x01\x06\x00\x00\x00"), false},
		"signed short":                    {exifEntries("", "\x01\x12\x00\x08\x00\x00\x00\x01\x00\x06\x00\x00"), true},
		"signed long":                     {exifEntries("", "\x01\x12\x00\x09\x00\x00\x00\x01\x00\x00\x00\x06"), true},
		"float":                           {exifEntries("", "\x01\x12\x00\x0b\x00\x00\x00\x01\x40\xc0\x00\x00"), true},
		"offset of a directory":           {exifEntries("", "\x01\x12\x00\x0d\x00\x00\x00\x01\x00\x00\x00\x06"), true},
	} {
		for _, data := range [][]byte{
			jpegWithEXIF(jpegData, c.exif),
			jpegWithEXIF(insert(jpegData, 2, jpegPiece(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>"))), c.exif),
			insert(jpegWithEXIF(jpegData, c.exif), 2, jpegPiece(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>"))),
			insert(pngData, afterIHDR, pngChunkBytes("eXIf", c.exif)),
		} {
			if p := expect(t, data, ok); p != nil && (p.Width == 48) != c.turns {
				t.Errorf("%s: %s turned: %v", name, p.Format, !c.turns)
			}
		}
	}
}

// deflated is text as compressed chunks hold it.
func deflated(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestC15PNGCompressedText(t *testing.T) {
	data := encode(t, "png", scene(64, 48))
	const profile = "\nexif\n      32\n4578696600004d4d002a000000080001\n01120003000000010006000000000000\n"
	const upright = "\nexif\n      32\n4578696600004d4d002a000000080001\n01120003000000010001000000000000\n"
	const xmp = "<rdf tiff:Orientation=\"6\"/>"
	raw, adobe := "Raw profile type exif\x00", "XML:com.adobe.xmp\x00"
	bomb := profile + strings.Repeat("00", 50<<20)
	for name, c := range map[string]struct {
		chunk, text string
		turns       bool
	}{
		"zTXt":                     {"zTXt", raw + "\x00" + deflated(profile), true},
		"iTXt":                     {"iTXt", raw + "\x00\x00en\x00Profil\x00" + profile, true},
		"iTXt, compressed":         {"iTXt", raw + "\x01\x00\x00\x00" + deflated(profile), true},
		"iTXt, compressed XMP":     {"iTXt", adobe + "\x01\x00\x00\x00" + deflated(xmp), true},
		"tEXt, XMP":                {"tEXt", adobe + xmp, true},
		"zTXt of another name":     {"zTXt", "Raw profile type iptc\x00\x00" + deflated(profile), false},
		"zTXt that says 1":         {"zTXt", raw + "\x00" + deflated(upright), false},
		"zTXt, damaged":            {"zTXt", raw + "\x00" + deflated(profile)[:20], false},
		"zTXt without a body":      {"zTXt", raw, false},
		"iTXt without a body":      {"iTXt", raw + "\x01", false},
		"zTXt of 100 MB, inflated": {"zTXt", raw + "\x00" + deflated(bomb), false},
	} {
		file := insert(data, afterIHDR, pngChunkBytes(c.chunk, []byte(c.text)))
		var p *Picture
		if used := allocated(func() { p = expect(t, file, ok) }); used > 16<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
		if p != nil && (p.Width == 48) != c.turns {
			t.Errorf("%s turned: %v", name, !c.turns)
		}
	}
	both := insert(insert(data, afterIHDR, pngChunkBytes("iTXt", []byte(adobe+"\x00\x00\x00\x00"+xmp))), afterIHDR, pngChunkBytes("eXIf", exifTurn(1)))
	if p := expect(t, both, ok); p != nil && p.Width != 64 {
		t.Error("XMP was taken where EXIF has the orientation")
	}
}
