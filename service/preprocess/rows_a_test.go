package preprocess

import (
	"bytes"
	"encoding/binary"
	"image"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The tests of rows A, B and C are named after the project's catalogue of hostile inputs. A9 (the size of a request) and A15
// (many at once) are tests of the server.

func TestRowsA(t *testing.T) {
	photo := encode(t, "jpeg", scene(64, 48))
	t.Run("A1 nothing", func(t *testing.T) {
		expect(t, nil, EmptyImage)
		expect(t, []byte{}, EmptyImage)
	})
	t.Run("A2 a few bytes", func(t *testing.T) {
		for _, data := range []string{"x", "\xff", "\x89PNG\r\n\x1a\n", "\xff\xd8", "\xff\xd8\xff", "GIF89a", "BM", "II*\x00"} {
			expect(t, []byte(data), CorruptImage)
		}
	})
	t.Run("A3 random bytes", func(t *testing.T) {
		data := make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{3}).Read(data)
		expect(t, data, UnsupportedFormat)
	})
	t.Run("A4 a web page", func(t *testing.T) {
		_, refusal := prepare(t, []byte("<!DOCTYPE html><title>secret-word</title>"), Options{})
		if refusal == nil || refusal.Code != UnsupportedFormat || strings.Contains(refusal.Error(), "secret-word") {
			t.Errorf("got %v", refusal)
		}
	})
	t.Run("A5 SVG", func(t *testing.T) {
		expect(t, []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), UnsupportedFormat)
		expect(t, []byte("\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<svg>&x;</svg>"),
			UnsupportedFormat)
	})
	t.Run("A6 foreign formats by name", testForeign)
	t.Run("A6 bytes that became text", testBytesThatBecameText)
	t.Run("A7 polyglots and trailing data", func(t *testing.T) {
		pngData := encode(t, "png", scene(64, 48))
		trail := bytes.Repeat([]byte("PK\x03\x04<script>"), 80_000)
		for format, data := range map[string][]byte{
			"jpeg": append(bytes.Clone(photo), trail...),
			"png":  append(bytes.Clone(pngData), trail...),
			"gif":  append(encode(t, "gif", scene(64, 48)), "*/=1;alert(1)//"...),
			"webp": append(encode(t, "webp", scene(64, 48)), trail...),
			"bmp":  append(encode(t, "bmp", scene(64, 48)), trail...),
			"tiff": append(encode(t, "tiff", scene(64, 48)), trail...),
		} {
			if p := expect(t, data, ok); p != nil && p.Format != format {
				t.Errorf("a %s is called %s", format, p.Format)
			}
		}
		expect(t, append([]byte("%PDF-1.4\n"), photo...), UnsupportedFormat)
	})
	t.Run("A8 the bytes decide the format", func(t *testing.T) {
		for _, format := range allFormats {
			if p := expect(t, encode(t, format, scene(64, 48)), ok); p != nil && p.Format != format {
				t.Errorf("a %s is called %s", format, p.Format)
			}
		}
	})
	t.Run("A10 a JPEG header of 65500 × 65500", func(t *testing.T) {
		sof := jpegSegment(t, photo, 0xc0)
		quickly(t, 10*time.Millisecond, 1<<20, func() {
			expect(t, edit(photo, sof+5, 0xff, 0xdc, 0xff, 0xdc), ImageTooLarge)
		})
	})
	t.Run("A11 sizes that overflow", testOverflowingSizes)
	t.Run("A12 no pixels", testNoPixels)
	t.Run("A13 thin pictures", testThinPictures)
	t.Run("A14 exactly the limit", func(t *testing.T) {
		limits := DefaultLimits()
		limits.MaxPixels = 64 * 48
		for _, format := range allFormats {
			if _, refusal := prepareWithin(t, limits, encode(t, format, scene(64, 48)), Options{}); refusal != nil {
				t.Errorf("%s at the limit: %v", format, refusal)
			}
			_, refusal := prepareWithin(t, limits, encode(t, format, scene(439, 7)), Options{}) // 3,073 pixels
			if refusal == nil || refusal.Code != ImageTooLarge {
				t.Errorf("%s with one more pixel: %v", format, refusal)
			}
		}
	})
	t.Run("A16 2,500 megapixels in one bit each", func(t *testing.T) {
		data := append(pngHeader(50_000, 50_000, 1, 0, 0), pngChunkBytes("IDAT", deflate(make([]byte, 1<<20)))...)
		quickly(t, 10*time.Millisecond, 1<<20, func() { expect(t, data, ImageTooLarge) })
	})
	t.Run("A17 compression bombs in PNG", testPNGBombs)
}

// quickly checks what a refusal may cost, with room for a busy machine in the time.
func quickly(t *testing.T, limit time.Duration, bytes int64, f func()) {
	t.Helper()
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()
	start := threadCPU()
	used := allocated(f)
	if took := threadCPU() - start; took > 5*limit {
		t.Errorf("it took %v of CPU time, much more than %v", took, limit)
	}
	if used > bytes {
		t.Errorf("it allocated %d bytes, more than %d", used, bytes)
	}
}

func testForeign(t *testing.T) {
	for head, name := range map[string]string{
		"\x00\x00\x00\x18ftypheic\x00\x00":     "a HEIC picture",
		"\x00\x00\x00\x18ftypheim\x00\x00":     "a HEIC picture",
		"\x00\x00\x00\x18ftypheis\x00\x00":     "a HEIC picture",
		"\x00\x00\x00\x18ftyphevx\x00\x00":     "a HEIC picture",
		"\x00\x00\x00\x18ftyphevm\x00\x00":     "a HEIC picture",
		"\x00\x00\x00\x18ftyphevs\x00\x00":     "a HEIC picture",
		"\x00\x00\x00\x18ftypmif1\x00\x00":     "a HEIF picture",
		"\x00\x00\x00\x20ftypavif\x00\x00":     "an AVIF picture",
		"\x00\x00\x00\x18ftypmp42\x00\x00":     "a video",
		"\xff\x0a\xfa\x1f\x01\x90":             "a JPEG XL picture",
		"\x00\x00\x00\x0cjP  \r\n\x87\n\x00":   "a JPEG 2000 picture",
		"8BPS\x00\x01":                         "a Photoshop document",
		"\x00\x00\x01\x00\x01\x00":             "a Windows icon",
		"%PDF-1.7":                             "a PDF document",
		"II*\x00\x10\x00\x00\x00CR\x02\x00":    "a Canon raw file",
		"FUJIFILMCCD-RAW 0201":                 "a Fujifilm raw file",
		"v/1\x01\x02\x00\x00\x00\x00\x00\x00":  "an OpenEXR picture",
		"<svg xmlns='http://www.w3.org/2000/'": "an SVG drawing",
	} {
		_, refusal := prepare(t, append([]byte(head), make([]byte, 64)...), Options{})
		if refusal == nil || refusal.Code != UnsupportedFormat || !strings.Contains(refusal.Detail, name) ||
			!strings.Contains(refusal.Detail, "JPEG, PNG, GIF, WebP, BMP and TIFF") {
			t.Errorf("%q: %v, want it to say %q", head, refusal, name)
		}
	}
}

func testOverflowingSizes(t *testing.T) {
	bmpData := encode(t, "bmp", scene(8, 6))
	for name, data := range map[string][]byte{
		"PNG of 2³¹−1 squared":       pngHeader(1<<31-1, 1<<31-1, 8, 6, 0),
		"PNG of 2³²−1 squared":       pngHeader(1<<32-1, 1<<32-1, 8, 6, 0),
		"PNG of 32 × 268435488":      pngHeader(32, 268435488, 8, 6, 0),
		"BMP of 2147483647 × 6":      edit(bmpData, 18, 0xff, 0xff, 0xff, 0x7f),
		"BMP with the lowest height": edit(bmpData, 22, 0, 0, 0, 0x80),
		"GIF of 65535 squared":       append([]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), ",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02L\x01\x00;"...),
		"GIF frame reaching 131070":  append([]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00"), ",\xff\xff\xff\xff\xff\xff\xff\xff\x00\x02\x02L\x01\x00;"...),
		"TIFF of 2³²−1 squared":      rawTIFF(1<<32-1, 1<<32-1, []byte{0}),
		"WebP canvas of 2²⁴ squared": webpOf(vp8x(2, 1<<24, 1<<24), riffPiece("ANMF", make([]byte, 32))),
	} {
		t.Run(name, func(t *testing.T) {
			quickly(t, 10*time.Millisecond, 1<<20, func() { expect(t, data, ImageTooLarge, CorruptImage) })
		})
	}
}

func testNoPixels(t *testing.T) {
	photo := encode(t, "jpeg", scene(8, 6))
	sof := jpegSegment(t, photo, 0xc0)
	bmpData := encode(t, "bmp", scene(8, 6))
	gifData := encode(t, "gif", scene(8, 6))
	frame := bytes.IndexByte(gifData, 0x2c)
	lossy := append([]byte("\x10\x02\x00\x9d\x01\x2a"), make([]byte, 32)...)
	for name, data := range map[string][]byte{
		"JPEG 0 × 6": edit(photo, sof+7, 0, 0), "JPEG 8 × 0": edit(photo, sof+5, 0, 0),
		"PNG 0 × 6": pngHeader(0, 6, 8, 2, 0), "PNG 8 × 0": pngHeader(8, 0, 8, 2, 0),
		"BMP 0 × 6": edit(bmpData, 18, 0, 0, 0, 0), "BMP 8 × 0": edit(bmpData, 22, 0, 0, 0, 0),
		"GIF 0 × 6": edit(gifData, frame+5, 0, 0), "GIF 8 × 0": edit(gifData, frame+7, 0, 0),
		"TIFF 0 × 6": rawTIFF(0, 6, nil), "TIFF 8 × 0": rawTIFF(8, 0, nil),
		"WebP 0 × 0": webpOf(riffPiece("VP8 ", lossy)),
	} {
		t.Run(name, func(t *testing.T) { expect(t, data, CorruptImage) })
	}
}

func testThinPictures(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {1, 10_000}, {10_000, 1}, {1, 65_500}} {
		for _, format := range allFormats {
			if format == "webp" {
				size.Y = min(size.Y, 1<<14)
			}
			p := expect(t, encode(t, format, scene(size.X, size.Y)), ok)
			if p != nil && (image.Pt(p.Width, p.Height) != size || len(p.Warnings) != 1 || p.Warnings[0] != LowResolution) {
				t.Errorf("%s of %v: %d × %d, warnings %q", format, size, p.Width, p.Height, p.Warnings)
			}
		}
	}
}

func testPNGBombs(t *testing.T) {
	rows := make([]byte, 16*(1+3*16))
	bomb := deflate(make([]byte, 64<<20))
	t.Run("IDAT goes on after the last row", func(t *testing.T) {
		data := append(pngHeader(16, 16, 8, 2, 0), pngChunkBytes("IDAT", bomb)...)
		data = append(data, pngChunkBytes("IEND", nil)...)
		quickly(t, 100*time.Millisecond, 4<<20, func() { expect(t, data, ok, CorruptImage) })
	})
	text := func(head string) []byte { return append([]byte(head), bomb...) }
	for name, chunk := range map[string][]byte{
		"iCCP": text("profile\x00\x00"), "zTXt": text("Raw profile type exif\x00\x00"),
		"iTXt": text("XML:com.adobe.xmp\x00\x01\x00\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			data := rawPNG(16, 16, 8, 2, rows, pngChunkBytes(name, chunk))
			quickly(t, 100*time.Millisecond, 4<<20, func() { expect(t, data, ok) })
		})
	}
	t.Run("a chunk longer than the file", func(t *testing.T) {
		data := rawPNG(16, 16, 8, 2, rows)
		piece := binary.BigEndian.AppendUint32(nil, 1<<31-1)
		expect(t, insert(data, afterIHDR, append(piece, "teXt"...)), CorruptImage)
	})
}
