package preprocess

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pictureCPU is what any one picture may take in these tests: the limit, and what decoders do between two looks at the clock, the
// resize, the garbage collector on other threads, and a machine that is shared.
const pictureCPU = 2*time.Second + 1500*time.Millisecond

// fileBytes is as much as a request may send, by default.
const fileBytes = 20 << 20

// TestEveryDecoderKeepsTheClock has files in which the work lies where a decoder could forget to look at the clock. Measured on two
// cores of a server: 2.0 to 2.6 s where the clock ends it (small tiles: much garbage), and else 0.8 s at most.
func TestEveryDecoderKeepsTheClock(t *testing.T) {
	t.Run("PNG that goes on", testPNGGoesOn)
	t.Run("WebP of empty pieces", testWebPOfEmptyPieces)
	for name, file := range map[string]func(t *testing.T) []byte{
		"PNG, an IDAT without a byte 1.7 million times": emptyIDATs,
		"PNG, interlaced, one bit":                      func(t *testing.T) []byte { return interlacedPNG(1, 0, 7000, 7400) },
		"PNG, interlaced, one bit with tRNS": func(t *testing.T) []byte {
			return insert(interlacedPNG(1, 0, 7000, 7400), afterIHDR, pngChunkBytes("tRNS", []byte{0, 0}))
		},
		"PNG, interlaced, RGBA of 16 bits": func(t *testing.T) []byte { return interlacedPNG(16, 6, 4000, 4200) },
		"PNG, texts that inflate":          inflatingTexts,
		"JPEG, a million Huffman tables":   func(t *testing.T) []byte { return jpegFlood(t, jpegTable()) },
		"JPEG, a million empty segments":   func(t *testing.T) []byte { return jpegFlood(t, []byte{0xff, 0xe5, 0, 2}) },
		"JPEG, a million scans":            scanFlood,
		"JPEG, restarts without end":       restartFlood,
		"JPEG, no end marker":              noEndMarker,
		"GIF, a million extensions":        extensionFlood,
		"GIF, clear codes":                 clearCodes,
		"BMP, runs without end":            endlessRuns,
		"TIFF, small tiles":                smallTiles,
		"TIFF, PackBits that goes on":      endlessPackBits,
		"WebP, thousands of code groups":   codeGroups,
	} {
		t.Run(name, func(t *testing.T) {
			data := file(t)
			if len(data) > fileBytes {
				t.Fatalf("%d bytes", len(data))
			}
			start := processCPU(t)
			_, refusal := prepare(t, data, Options{})
			took := processCPU(t) - start
			t.Logf("%d bytes: %.2f s of CPU time, %v", len(data), took.Seconds(), refusal)
			if took > pictureCPU {
				t.Errorf("it took %v of CPU time, more than %v", took, pictureCPU)
			}
		})
	}
}

// processCPU is the time of all threads: a decoder may make others work.
func processCPU(t *testing.T) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// testWebPOfEmptyPieces has two million pieces before its pixels. To read the clock at each took 1.3 s.
func testWebPOfEmptyPieces(t *testing.T) {
	pieces := bytes.Repeat(riffPiece("none", nil), 2<<20)
	bits := losslessBits(64, 64, 0, nil, [4]uint32{200, 100, 50, 255})
	data := webpOf(vp8x(0, 64, 64), pieces, riffPiece("VP8L", bits))
	start := processCPU(t)
	expect(t, data, ok)
	if took := processCPU(t) - start; took > 700*time.Millisecond {
		t.Errorf("%d bytes: %v of CPU time", len(data), took)
	}
}

// testPNGGoesOn inflates to 20 GB after its last row, which takes 24 s. Pillow shows such a picture without looking at what follows.
func testPNGGoesOn(t *testing.T) {
	rows := rawPNG(64, 64, 8, 2, rowsOf(64, 3*64))
	want := expect(t, rows, ok)
	for _, size := range []int{2 << 10, 100 << 10, fileBytes - 1<<10} {
		data := pngGoesOn(rowsOf(64, 3*64), size)
		start := processCPU(t)
		got := expect(t, data, ok)
		if took := processCPU(t) - start; took > time.Second {
			t.Errorf("%d bytes: %v of CPU time", len(data), took)
		}
		if got != nil && !bytes.Equal(got.RGB, want.RGB) {
			t.Errorf("%d bytes: other pixels", len(data))
		}
		expect(t, data[:len(data)-1], CorruptImage)
		expect(t, data[:len(data)-30], CorruptImage)
	}
}

// rowsOf are rows of a PNG with unequal pixels.
func rowsOf(height, rowBytes int) []byte {
	var rows []byte
	for y := range height {
		rows = append(rows, 0)
		for x := range rowBytes {
			rows = append(rows, byte(x*y))
		}
	}
	return rows
}

// pngGoesOn is a PNG of 64 × 64 pixels whose data goes on for about so many bytes, which inflate to a thousand times as many.
func pngGoesOn(rows []byte, size int) []byte {
	idat := append([]byte{0x78, 0x01}, deflatedPart(rows)...)
	part := deflatedPart(make([]byte, 8<<20))
	for len(idat)+len(part) < size {
		idat = append(idat, part...)
	}
	idat = append(idat, deflatedPart(make([]byte, 500<<10))...)
	idat = append(idat, 3, 0, 0, 0, 0, 0) // the last block, empty, and a checksum that nobody gets to
	out := append(pngHeader(64, 64, 8, 2, 0), pngChunkBytes("IDAT", idat)...)
	return append(out, pngChunkBytes("IEND", nil)...)
}

// deflatedPart ends with a full flush, so parts can stand one behind the other.
func deflatedPart(data []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write(data)
	_ = w.Flush()
	return b.Bytes()
}

func emptyIDATs(*testing.T) []byte {
	whole := rawPNG(64, 64, 8, 2, rowsOf(64, 3*64))
	flood := bytes.Repeat(pngChunkBytes("IDAT", nil), fileBytes/12-100)
	return insert(whole, afterIHDR, flood[:len(flood)-len(whole)/12*12])
}

func interlacedPNG(depth, colorType byte, width, height int) []byte {
	channels := map[byte]int{0: 1, 6: 4}[colorType]
	var rows []byte
	for _, pass := range [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		w, h := (width-pass[0]+pass[2]-1)/pass[2], (height-pass[1]+pass[3]-1)/pass[3]
		rows = append(rows, bytes.Repeat(append([]byte{4}, make([]byte, (w*channels*int(depth)+7)/8)...), h)...)
	}
	out := append(pngHeader(uint32(width), uint32(height), depth, colorType, 1), pngChunkBytes("IDAT", deflate(rows))...)
	return append(out, pngChunkBytes("IEND", nil)...)
}

// inflatingTexts have names of EXIF data and of XMP, which are looked at; each inflates to what a text may be at most.
func inflatingTexts(*testing.T) []byte {
	whole := rawPNG(64, 64, 8, 2, rowsOf(64, 3*64))
	text := deflate(bytes.Repeat([]byte("tiff:Orientation"), 1<<16))
	chunks := append(pngChunkBytes("zTXt", append([]byte("Raw profile type exif\x00\x00"), text...)),
		pngChunkBytes("iTXt", append([]byte("XML:com.adobe.xmp\x00\x01\x00\x00\x00"), text...))...)
	return insert(whole, afterIHDR, bytes.Repeat(chunks, 1000))
}

// jpegTable is a segment with one Huffman table, of one code.
func jpegTable() []byte { return jpegPiece(0xc4, append([]byte{0x03, 1}, make([]byte, 16)...)) }

func jpegFlood(t *testing.T, segment []byte) []byte {
	photo := encode(t, "jpeg", scene(64, 48))
	return insert(photo, 2, bytes.Repeat(segment, (fileBytes-len(photo))/len(segment)))
}

// scanFlood is a progressive JPEG of one block with as many scans as fit.
func scanFlood(t *testing.T) []byte {
	out := []byte{0xff, 0xd8}
	out = append(out, jpegPiece(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...))...)
	out = append(out, jpegPiece(0xc2, []byte{8, 0, 8, 0, 8, 1, 1, 0x11, 0})...)
	table := append([]byte{0x00, 0, 1}, make([]byte, 14)...)
	out = append(out, jpegPiece(0xc4, append(table, 0))...)
	table[0] = 0x10
	out = append(out, jpegPiece(0xc4, append(table, 0))...)
	out = append(append(out, jpegPiece(0xda, []byte{1, 1, 0, 0, 0, 0})...), 0x3f)
	scan := append(jpegPiece(0xda, []byte{1, 1, 0, 1, 63, 0}), 0x3f)
	out = append(out, bytes.Repeat(scan, (fileBytes-len(out)-2)/len(scan))...)
	return append(out, 0xff, 0xd9)
}

// restartFlood has a restart marker for each block, and then twenty million more bytes of them.
func restartFlood(t *testing.T) []byte {
	photo := encode(t, "jpeg", scene(4096, 4096))
	photo = insert(photo, 2, jpegPiece(0xdd, []byte{0, 1}))
	sos := jpegSegment(t, photo, 0xda)
	head := photo[:sos+2+int(binary.BigEndian.Uint16(photo[sos+2:]))]
	var markers []byte
	for i := range 8 {
		markers = append(markers, 0, 0xff, 0xd0+byte(i))
	}
	return append(bytes.Clone(head), bytes.Repeat(markers, (fileBytes-len(head))/len(markers))...)
}

// noEndMarker makes the decoder look for one through twenty million bytes.
func noEndMarker(t *testing.T) []byte {
	photo := encode(t, "jpeg", scene(64, 48))
	photo = photo[:len(photo)-2]
	return append(photo, bytes.Repeat([]byte{0xff, 0}, (fileBytes-len(photo))/2)...)
}

func extensionFlood(t *testing.T) []byte {
	plain := encode(t, "gif", scene(64, 48))
	head := 13 + colorTableBytes(plain[10])
	return insert(plain, head, bytes.Repeat([]byte{0x21, 0xfe, 1, 0, 0}, (fileBytes-len(plain))/5))
}

// clearCodes is a picture whose codes empty the table again and again.
func clearCodes(*testing.T) []byte {
	out := []byte("GIF89a\x40\x00\x40\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x2c\x00\x00\x00\x00\x40\x00\x40\x00\x00\x02")
	block := append([]byte{255}, bytes.Repeat([]byte{0x24, 0x49, 0x92}, 85)...) // 100 100 100 …
	return append(out, bytes.Repeat(block, (fileBytes-len(out))/len(block))...)
}

// endlessRuns moves about on the picture without ever ending it.
func endlessRuns(*testing.T) []byte {
	const side = 7000
	out := append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00"), le32(14+40+8)...)
	out = append(append(append(out, le32(40)...), le32(side)...), le32(side)...)
	out = append(append(append(out, le16(1)...), le16(8)...), le32(bmpRLE8)...)
	out = append(append(out, make([]byte, 12)...), le32(2)...)
	out = append(append(out, make([]byte, 4)...), 0, 0, 0, 0, 255, 255, 255, 0)
	return append(out, bytes.Repeat([]byte{0, 2, 0, 0, 0, 2, 0, 0}, (fileBytes-len(out))/8)...)
}

// smallTiles has a tile for every 8 × 8 pixels, which all are the same packed bytes.
func smallTiles(*testing.T) []byte {
	const side = 7000
	tiles := (side / 8) * (side / 8)
	packed := deflate(make([]byte, 64))
	var strip []byte
	strip = append(strip, packed...)
	offsets := len(strip) + 8
	for range tiles {
		strip = append(strip, le32(8)...)
	}
	counts := len(strip) + 8
	for range tiles {
		strip = append(strip, le32(len(packed))...)
	}
	return rawTIFF(side, side, strip, tiffEntry{259, 3, 1, 8}, tiffEntry{322, 3, 1, 8}, tiffEntry{323, 3, 1, 8},
		tiffEntry{324, 4, tiles, offsets}, tiffEntry{325, 4, tiles, counts})
}

// endlessPackBits has strips that all unpack the whole file.
func endlessPackBits(*testing.T) []byte {
	const side, rows = 7000, 700
	strip := bytes.Repeat([]byte{0x81, 0}, (fileBytes-64<<10)/2) // 128 times the same byte
	packed := len(strip)
	offsets := len(strip) + 8
	for range side / rows {
		strip = append(strip, le32(8)...)
	}
	counts := len(strip) + 8
	for range side / rows {
		strip = append(strip, le32(packed)...)
	}
	return rawTIFF(side, side, strip, tiffEntry{259, 3, 1, 32773}, tiffEntry{278, 4, 1, rows},
		tiffEntry{273, 4, side / rows, offsets}, tiffEntry{279, 4, side / rows, counts})
}

// codeGroups is a lossless WebP of 208 × 208 pixels with as many groups of codes as the decoder takes, each with full alphabets.
func codeGroups(*testing.T) []byte {
	const side, groups = 208, 2600
	var b bitWriter
	b.put(0x2f, 8)
	b.put(side-1, 14)
	b.put(side-1, 14)
	b.put(0, 4)
	b.put(0b0, 1) // no transform
	b.put(0, 1)   // no colour cache
	b.put(1, 1)   // groups …
	b.put(0, 3)   // … for every 4 × 4 pixels
	b.put(0, 1)   // of their picture: no colour cache
	b.fullCode(8) // green
	b.fullCode(8) // red
	b.code(0)
	b.code(0)
	b.code(0)
	for i := range (side / 4) * (side / 4) {
		index := uint32(min(i, groups-1))
		b.symbol(index & 0xff)
		b.symbol(index >> 8)
	}
	for range groups {
		for _, bits := range []int{8, 8, 8, 8, 5} {
			b.fullCode(bits)
		}
	}
	return webpOf(riffPiece("VP8L", append(b.bytes, make([]byte, side*side*8)...)))
}

// TestCodeGroupsAreCharged: of a picture with few pixels the codes are nearly all that the decoder holds.
func TestCodeGroupsAreCharged(t *testing.T) {
	data := codeGroups(t)
	h, err := readHeader(data, imagenet, Options{}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if held := allocated(func() { expect(t, data, ok) }); held < 40<<20 || h.memory < held {
		t.Errorf("%d bytes were charged, %d allocated", h.memory, held)
	}
}

// fullCode writes a prefix code of 2⁸ or 2⁵ symbols that are all so many bits long.
func (w *bitWriter) fullCode(bits int) {
	order := []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8}
	w.put(0, 1) // not simple
	used := slices.Index(order, bits) + 1
	w.put(uint32(used-4), 4)
	for i := range used {
		w.put(map[bool]uint32{true: 1}[i == used-1], 3)
	}
	// So many lengths follow, without any bits, because all are the same.
	w.put(1, 1)
	w.put(3, 3)
	w.put(uint32(1)<<bits-2, 8)
}

// symbol writes a symbol of a fullCode of 8 bits, from the highest down.
func (w *bitWriter) symbol(v uint32) {
	for i := range 8 {
		w.put(v>>(7-i)&1, 1)
	}
}
