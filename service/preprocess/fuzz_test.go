package preprocess

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
)

// One target per format, so that each decoder gets its own corpus; `make fuzz` runs them all, or one:
// go test -fuzz FuzzPNG ./service/preprocess

func FuzzJPEG(f *testing.F) { fuzz(f, "jpeg") }
func FuzzPNG(f *testing.F)  { fuzz(f, "png") }
func FuzzGIF(f *testing.F)  { fuzz(f, "gif") }
func FuzzWebP(f *testing.F) { fuzz(f, "webp") }
func FuzzBMP(f *testing.F)  { fuzz(f, "bmp") }
func FuzzTIFF(f *testing.F) { fuzz(f, "tiff") }

func fuzz(f *testing.F, format string) {
	addSeeds(f, format)
	limits := Limits{MaxPixels: 1 << 16, MaxScanPixels: 1 << 20, MaxCPU: time.Second, MaxMemory: 64 << 20}
	p, err := New(limits)
	if err != nil {
		f.Fatal(err)
	}
	spec := Spec{Resize: model.ShorterSide(32), Crop: model.Square(32), Filter: codec.Bilinear}
	f.Fuzz(func(t *testing.T, data []byte) {
		if format == "png" {
			data = repairChecksums(data)
		}
		first, err := p.Prepare(context.Background(), data, spec, Options{})
		var refusal *Error
		if err != nil && (!errors.As(err, &refusal) || refusal.Code == "") {
			t.Fatalf("an error without a code: %v", err)
		}
		if err != nil {
			return
		}
		second, err := p.Prepare(context.Background(), data, spec, Options{})
		if err != nil || !bytes.Equal(first.RGB, second.RGB) {
			t.Fatalf("the second answer differs: %v", err)
		}
	})
}

// FuzzHeader looks at pictures of all formats, and at what is none, as far as it takes to know their cost; nothing is decoded,
// so it gets through very many.
func FuzzHeader(f *testing.F) {
	for format := range formatNames {
		addSeeds(f, format)
	}
	for _, m := range foreign {
		f.Add([]byte(m.pattern))
	}
	f.Add([]byte("<?xml version=\"1.0\"?><svg/>"))
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(data, imagenet, Options{}, limits)
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Code == "" || refusal.Detail == "" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if h.width < 1 || h.height < 1 || int64(h.width)*int64(h.height) > limits.MaxPixels || h.memory < 1 || (h.decode == nil) == (h.stream == nil) {
			t.Fatalf("a header that promises too much: %+v", h)
		}
		if turn := readOrientation(h.format, data); turn < 1 || turn > 8 {
			t.Fatalf("orientation %d", turn)
		}
	})
}

// FuzzEXIF puts metadata into every kind of file that has some.
func FuzzEXIF(f *testing.F) {
	for turn := orientation(1); turn <= 8; turn++ {
		f.Add(exifTurn(turn))
	}
	f.Add(exifWith(binary.LittleEndian, 3, 1, 6))
	f.Add(exifWith(binary.LittleEndian, 4, 1<<31, 6))
	f.Add([]byte("\nexif\n34\n4578696600004d4d002a00000008000101120003000000010006000000000000\n"))
	f.Add([]byte(`<x:xmpmeta tiff:Orientation="6"/>`))
	f.Fuzz(func(t *testing.T, exif []byte) {
		if len(exif) > 0xffff-8 {
			return
		}
		png := func(name, head string) []byte {
			return append(pngHeader(1, 1, 8, 0, 0), pngChunkBytes(name, append([]byte(head), exif...))...)
		}
		for format, files := range map[string][][]byte{
			"jpeg": {jpegWithEXIF([]byte("\xff\xd8\xff\xda"), exif)},
			"webp": {webpOf(vp8x(8, 1, 1), riffPiece("EXIF", exif))},
			"tiff": {exif},
			"png":  {png("eXIf", ""), png("tEXt", "Raw profile type exif\x00"), png("iTXt", "XML:com.adobe.xmp\x00\x00")},
		} {
			for _, file := range files {
				if turn := readOrientation(format, file); turn < 1 || turn > 8 {
					t.Fatalf("%s: orientation %d", format, turn)
				}
			}
		}
	})
}

// addSeeds adds small pictures of the format. While it fuzzes, and only then, those of the corpus serve as well.
func addSeeds(f *testing.F, format string) {
	f.Add(encode(f, format, scene(24, 16)))
	f.Add(encode(f, format, paletted(scene(9, 7))))
	for _, seed := range oddSeeds(f)[format] {
		f.Add(seed)
	}
	folder := os.Getenv("VIDI_SHARED")
	if fuzzing := flag.Lookup("test.fuzz"); folder == "" || fuzzing == nil || fuzzing.Value.String() == "" {
		return
	}
	for _, name := range corpusFiles(f) {
		path := filepath.Join(folder, "hostile", name)
		if info, err := os.Stat(path); err != nil || info.Size() > 8<<10 {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if got, err := sniff(data); err == nil && got == format {
			f.Add(data)
		}
	}
}

// oddSeeds are files that go other ways through the code than those that Go's encoders make.
func oddSeeds(f *testing.F) map[string][][]byte {
	jpegData, gifData := encode(f, "jpeg", scene(24, 16)), encode(f, "gif", paletted(scene(9, 7)))
	bmpData, indexed := encode(f, "bmp", scene(9, 7)), encode(f, "bmp", paletted(scene(9, 7)))
	descriptor := bytes.IndexByte(gifData, 0x2c)
	lossless := losslessBits(20, 10, 1, []uint32{0, 1, 2}, [4]uint32{200, 100, 50, 128})
	frame := append([]byte{0, 0, 0, 0, 0, 0, 19, 0, 0, 9, 0, 0, 0, 0, 0, 0}, riffPiece("VP8L", lossless)...)
	adam7 := append(pngHeader(8, 8, 8, 0, 1), pngChunkBytes("IDAT", deflate(make([]byte, 79)))...) // seven passes of grey
	plte, trns := pngChunkBytes("PLTE", []byte{1, 2, 3, 4, 5, 6}), pngChunkBytes("tRNS", []byte{0, 100})
	return map[string][][]byte{
		"jpeg": {jpegWithEXIF(jpegData, exifTurn(6)), insert(jpegData, 2, jpegPiece(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")))},
		"png": {
			append(adam7, pngChunkBytes("IEND", nil)...), rawPNG(2, 1, 8, 3, []byte{0, 0, 1}, plte, trns), rawPNG(1, 1, 16, 6, make([]byte, 9)),
			insert(rawPNG(3, 1, 1, 0, []byte{0, 0xa0}), afterIHDR, pngChunkBytes("eXIf", exifTurn(8))),
		},
		"gif":  {edit(gifData, descriptor+9, gifData[descriptor+9]|0x40), edit(gifData, descriptor+1, 3, 0, 3, 0)},
		"webp": {webpOf(vp8x(2, 20, 10), riffPiece("ANMF", frame)), webpOf(vp8x(0x18, 20, 10), riffPiece("VP8L", lossless), riffPiece("EXIF", exifTurn(5)))},
		"bmp":  {edit(indexed, 30, 1), edit(bmpData, 22, 0xf9, 0xff, 0xff, 0xff), edit(bmpData, 28, 16), edit(bmpData, 28, 32, 0, 3)},
		"tiff": {
			rawTIFF(8, 8, bytes.Repeat([]byte{0xf9, 7}, 8), tiffEntry{259, 3, 1, 32773}),
			rawTIFF(16, 16, make([]byte, 256), tiffEntry{322, 3, 1, 16}, tiffEntry{323, 3, 1, 16}, tiffEntry{324, 4, 1, 8}, tiffEntry{325, 4, 1, 256}),
			rawTIFF(4, 4, make([]byte, 48), tiffEntry{262, 3, 1, 2}, tiffEntry{277, 3, 1, 3}, tiffEntry{274, 3, 1, 6}),
			edit(encode(f, "tiff", scene(9, 7)), 0, 'I', 'I', '+'),
		},
	}
}

// repairChecksums makes the checksums of a PNG right, or hardly a change would get past them; a file with an odd last byte keeps
// its own, since wrong ones are to be met with too.
func repairChecksums(data []byte) []byte {
	if len(data) == 0 || data[len(data)-1]%2 == 1 {
		return data
	}
	data = bytes.Clone(data)
	for at := 8; at+12 <= len(data); {
		end := at + 8 + int(binary.BigEndian.Uint32(data[at:]))
		if end+4 > len(data) {
			break
		}
		binary.BigEndian.PutUint32(data[end:], crc32.ChecksumIEEE(data[at+4:end]))
		at = end + 4
	}
	return data
}
