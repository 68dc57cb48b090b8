package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// scene is a picture without any symmetry, so that a wrong turn or order of colours shows.
func scene(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), uint8(255 * x * y / (w * h)), 255})
		}
	}
	draw.Draw(img, image.Rect(w/8, h/8, w/3, h/4+1), image.NewUniform(color.NRGBA{250, 20, 30, 255}), image.Point{}, draw.Src)
	return img
}

func encode(t testing.TB, format string, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "jpeg":
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 95})
	case "png":
		err = png.Encode(&b, img)
	case "gif":
		err = gif.Encode(&b, img, nil)
	case "bmp":
		err = bmp.Encode(&b, img)
	case "tiff":
		err = tiff.Encode(&b, img, &tiff.Options{Compression: tiff.Deflate})
	case "webp":
		return solidWebP(img.Bounds().Dx(), img.Bounds().Dy(), 1, nil)
	}
	if err != nil {
		t.Fatalf("encode %s: %v", format, err)
	}
	return b.Bytes()
}

var allFormats = []string{"jpeg", "png", "gif", "webp", "bmp", "tiff"}

func paletted(img image.Image) *image.Paletted {
	out := image.NewPaletted(img.Bounds(), palette.Plan9)
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}

// edit returns a copy of data with some bytes replaced.
func edit(data []byte, at int, replacement ...byte) []byte {
	out := bytes.Clone(data)
	copy(out[at:], replacement)
	return out
}

func insert(data []byte, at int, piece []byte) []byte {
	return bytes.Join([][]byte{data[:at], piece, data[at:]}, nil)
}

func le16(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
func le32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

// ---- PNG

func pngChunkBytes(name string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngHeader(w, h uint32, depth, colorType, interlace byte) []byte {
	body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return append([]byte("\x89PNG\r\n\x1a\n"), pngChunkBytes("IHDR", append(body, depth, colorType, 0, 0, interlace))...)
}

// rawPNG is a PNG of the given rows, each with its filter byte.
func rawPNG(w, h uint32, depth, colorType byte, rows []byte, chunks ...[]byte) []byte {
	out := pngHeader(w, h, depth, colorType, 0)
	for _, c := range chunks {
		out = append(out, c...)
	}
	out = append(out, pngChunkBytes("IDAT", deflate(rows))...)
	return append(out, pngChunkBytes("IEND", nil)...)
}

func deflate(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

// afterIHDR is where a PNG's second chunk begins.
const afterIHDR = 8 + 25

// ---- WebP

// bitWriter writes bits from the lowest up, as lossless WebP has them.
type bitWriter struct {
	bytes []byte
	n     int
}

func (w *bitWriter) put(v uint32, bits int) {
	for i := range bits {
		if w.n%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// code writes a prefix code of a single symbol, which then takes no bits at all.
func (w *bitWriter) code(symbol uint32) {
	w.put(0b101, 3) // simple, one symbol, of 8 bits
	w.put(symbol, 8)
}

// losslessBits is a lossless WebP stream of one colour: some 30 bytes for any size. Each transform that is given (0 predictor,
// 1 colour, 2 subtract green) makes the decoder touch every pixel once more.
func losslessBits(w, h int, alphaUsed uint32, transforms []uint32, rgba [4]uint32) []byte {
	var b bitWriter
	b.put(0x2f, 8)
	b.put(uint32(w-1), 14)
	b.put(uint32(h-1), 14)
	b.put(alphaUsed, 1)
	b.put(0, 3)
	for _, kind := range transforms {
		b.put(1|kind<<1, 3)
		if kind == 2 {
			continue
		}
		b.put(7, 3) // tiles of 512 pixels
		b.put(0, 1)
		for _, symbol := range []uint32{5, 17, 33, 3, 0} {
			b.code(symbol)
		}
	}
	b.put(0, 3) // no more transforms, no colour cache, one group of codes
	for _, symbol := range []uint32{rgba[1], rgba[0], rgba[2], rgba[3], 0} {
		b.code(symbol)
	}
	return b.bytes
}

func riffPiece(name string, body []byte) []byte {
	b := append([]byte(name), le32(len(body))...)
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func webpOf(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), bytes.Join(chunks, nil)...)
	return append(append([]byte("RIFF"), le32(len(body))...), body...)
}

func solidWebP(w, h int, alphaUsed uint32, transforms []uint32) []byte {
	return webpOf(riffPiece("VP8L", losslessBits(w, h, alphaUsed, transforms, [4]uint32{200, 100, 50, 255})))
}

func vp8x(flags byte, w, h int) []byte {
	body := append([]byte{flags, 0, 0, 0}, le32(w - 1)[:3]...)
	return riffPiece("VP8X", append(body, le32(h - 1)[:3]...))
}

// ---- TIFF

type tiffEntry struct {
	tag, kind, count, value int
}

// rawTIFF is a little-endian TIFF with one strip; the entries may replace or add to the usual ones, which come first.
func rawTIFF(w, h int, strip []byte, entries ...tiffEntry) []byte {
	const stripAt = 8
	values := map[int]tiffEntry{
		256: {256, 4, 1, w}, 257: {257, 4, 1, h}, 258: {258, 3, 1, 8}, 259: {259, 3, 1, 1}, 262: {262, 3, 1, 1},
		273: {273, 4, 1, stripAt}, 277: {277, 3, 1, 1}, 278: {278, 4, 1, h}, 279: {279, 4, 1, len(strip)},
	}
	for _, e := range entries {
		values[e.tag] = e
	}
	out := append([]byte("II*\x00"), le32(stripAt+len(strip))...)
	out = append(out, strip...)
	out = append(out, le16(len(values))...)
	for tag := range 0x10000 {
		if e, found := values[tag]; found {
			out = append(append(append(append(out, le16(e.tag)...), le16(e.kind)...), le32(e.count)...), le32(e.value)...)
		}
	}
	return append(out, 0, 0, 0, 0)
}

// ---- JPEG

// jpegSegment is where the first segment with this marker begins, at its 0xff.
func jpegSegment(t testing.TB, data []byte, marker byte) int {
	t.Helper()
	at := 2
	for at+4 < len(data) && data[at] == 0xff {
		if data[at+1] == marker {
			return at
		}
		at += 2 + int(binary.BigEndian.Uint16(data[at+2:]))
	}
	t.Fatalf("no segment %#x", marker)
	return 0
}

func jpegPiece(marker byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// pipe runs a tool of libjpeg-turbo on data.
func pipe(t testing.TB, data []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name+" is not installed (libjpeg-turbo-progs)")
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}

// ---- EXIF

// exifWith is EXIF data with one tag; count and kind are those of a well-formed orientation unless a test says otherwise.
func exifWith(order binary.AppendByteOrder, kind uint16, count uint32, value uint16) []byte {
	b := []byte("II")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM")
	}
	b = order.AppendUint32(order.AppendUint16(b, 42), 8)
	b = order.AppendUint16(order.AppendUint16(order.AppendUint16(b, 1), 0x0112), kind)
	b = order.AppendUint16(order.AppendUint16(order.AppendUint32(b, count), value), 0)
	return order.AppendUint32(b, 0)
}

func exifTurn(o orientation) []byte { return exifWith(binary.BigEndian, 3, 1, uint16(o)) }

func jpegWithEXIF(data, exif []byte) []byte {
	return insert(data, 2, jpegPiece(0xe1, append([]byte("Exif\x00\x00"), exif...)))
}

// allocated is how many bytes Go allocated while f ran.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}
