package preprocess

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestRowsC(t *testing.T) {
	t.Run("C1 PngSuite's fourteen damaged files", testPngSuiteDamage)
	t.Run("C2 depths, interlacing and transparency", testPNGKinds)
	t.Run("C3 damaged PNG", testDamagedPNG)
	t.Run("C4 APNG", func(t *testing.T) {
		files, _ := filepath.Glob(filepath.Join(corpus(t), "pillow/Tests/images/apng/*.png"))
		if len(files) < 50 {
			t.Fatalf("only %d files", len(files))
		}
		for _, file := range files {
			data, _ := os.ReadFile(file)
			twice(t, data, ok, CorruptImage)
		}
	})
	t.Run("C5 an animation of 10,000 frames", func(t *testing.T) {
		data := encode(t, "gif", paletted(scene(1000, 1000)))
		frame := data[bytes.IndexByte(data, 0x2c) : len(data)-1]
		data = slices.Concat(data[:len(data)-1], bytes.Repeat(frame[:2000], 10_000))
		quickly(t, 200*time.Millisecond, 20<<20, func() { expect(t, data, ok) })
	})
	t.Run("C6 odd GIF frames", testGIFFrames)
	t.Run("C7 BMP index beyond the palette", func(t *testing.T) {
		data := encode(t, "bmp", paletted(scene(64, 64)))
		data = edit(data, 46, le32(1)...)                    // one colour …
		data = edit(data, 10, le32(14+40+4)...)              // … and the pixels after it
		expect(t, edit(data, 14+40+4, 70, 70), CorruptImage) // of which one is 70
		t.Run("of the corpus", func(t *testing.T) {
			expect(t, corpusFile(t, "bombs/bmp_index_past_palette.bmp"), CorruptImage)
			expect(t, corpusFile(t, "pillow/Tests/images/bmp/b/pal8badindex.bmp"), CorruptImage)
		})
	})
	t.Run("C8 odd BMP", testOddBMP)
	t.Run("C9 TIFF index beyond the palette", func(t *testing.T) {
		pixels := bytes.Repeat([]byte{70}, 64)
		expect(t, rawTIFF(8, 8, pixels, tiffEntry{262, 3, 1, 3}), CorruptImage)
		expect(t, rawTIFF(8, 8, pixels, tiffEntry{262, 3, 1, 3}, tiffEntry{320, 3, 6, 8}), CorruptImage)
		expect(t, rawTIFF(8, 8, pixels, tiffEntry{262, 3, 1, 3}, tiffEntry{320, 3, 0, 8}), CorruptImage)
		t.Run("of the corpus", func(t *testing.T) {
			expect(t, corpusFile(t, "goimage/testdata/invalid-palette-ref.tiff"), CorruptImage)
		})
	})
	t.Run("C10 hostile TIFF", testHostileTIFF)
	t.Run("C11 kinds of TIFF that are not read", func(t *testing.T) {
		pixels := make([]byte, 8*8*4)
		for name, entries := range map[string][]tiffEntry{
			"JPEG":          {{259, 3, 1, 7}},
			"CMYK":          {{262, 3, 1, 5}, {277, 3, 1, 4}},
			"Lab":           {{262, 3, 1, 8}, {277, 3, 1, 3}},
			"floats":        {{258, 3, 1, 16}, {339, 3, 1, 3}},
			"4 bits":        {{258, 3, 1, 4}},
			"planes":        {{262, 3, 1, 2}, {277, 3, 1, 3}, {284, 3, 1, 2}},
			"reversed bits": {{266, 3, 1, 2}},
			"five channels": {{262, 3, 1, 2}, {277, 3, 1, 5}},
		} {
			t.Run(name, func(t *testing.T) { expect(t, rawTIFF(8, 8, pixels, entries...), UnsupportedVariant) })
		}
		expect(t, append([]byte("II+\x00\x08\x00\x00\x00"), make([]byte, 64)...), UnsupportedVariant)
	})
	t.Run("C12 odd WebP", testOddWebP)
	t.Run("C13 colours that are not there", func(t *testing.T) {
		for name, img := range map[string]image.Image{
			"nil colours":       &image.Paletted{Pix: []byte{0, 1, 255}, Stride: 3, Rect: image.Rect(0, 0, 3, 1), Palette: make(color.Palette, 2)},
			"no palette":        &image.Paletted{Pix: []byte{0, 1, 255}, Stride: 3, Rect: image.Rect(5, 5, 8, 6)},
			"an offset picture": image.NewNRGBA(image.Rect(-3, 7, 0, 8)),
		} {
			got, err := overWhite(img)
			if err != nil || got.Rect != image.Rect(0, 0, 3, 1) || !got.Opaque() {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		if _, err := overWhite(image.NewNRGBA(image.Rect(5, 5, 5, 9))); err == nil {
			t.Error("an empty picture was accepted")
		}
	})
	// C14 and C15 are in exif_test.go.
	t.Run("C16 colour profiles are ignored", func(t *testing.T) {
		photo := encode(t, "jpeg", scene(64, 48))
		plain := expect(t, photo, ok)
		part := jpegPiece(0xe2, []byte("ICC_PROFILE\x00\x01\x02a profile that is none"))
		for name, data := range map[string][]byte{
			"damaged": insert(photo, 2, part), "the same part twice": insert(photo, 2, append(bytes.Clone(part), part...)),
		} {
			if p := expect(t, data, ok); p != nil && !bytes.Equal(p.RGB, plain.RGB) {
				t.Errorf("%s: the pixels changed", name)
			}
		}
	})
}

// testPngSuiteDamage makes what PngSuite's files x*.png are. Its valid files are in the corpus: see TestPillow.
func testPngSuiteDamage(t *testing.T) {
	gray := encode(t, "png", image.NewGray(image.Rect(0, 0, 32, 32)))
	idat := bytes.Index(gray, []byte("IDAT")) - 4
	length := int(binary.BigEndian.Uint32(gray[idat:]))
	header := func(at int, value byte) []byte { // with a checksum that is right
		return slices.Concat(gray[:8], pngChunkBytes("IHDR", edit(gray[16:29], at, value)), gray[afterIHDR:])
	}
	for name, data := range map[string][]byte{
		"xs1 signature without its high bit": edit(gray, 0, 0x09),
		"xs2 signature of QNG":               edit(gray, 1, 'Q'),
		"xs4 signature in lower case":        edit(gray, 3, 'g'),
		"xs7 signature with a space":         edit(gray, 6, ' '),
		"xcr carriage return added":          insert(gray, 5, []byte{'\r'}),
		"xlf carriage return lost":           slices.Concat(gray[:4], gray[5:]),
		"xhd wrong checksum of the header":   edit(gray, 29, gray[29]^1),
		"xc1 colour type 1":                  header(9, 1),
		"xc9 colour type 9":                  header(9, 9),
		"xd0 depth 0":                        header(8, 0),
		"xd3 depth 3":                        header(8, 3),
		"xd9 depth 99":                       header(8, 99),
		"xdt no pixels":                      slices.Concat(gray[:idat], gray[idat+12+length:]),
		"xcs wrong checksum of the pixels":   edit(gray, idat+8+length, gray[idat+8+length]^1),
	} {
		t.Run(name, func(t *testing.T) { twice(t, data, CorruptImage, UnsupportedVariant) })
	}
}

func testPNGKinds(t *testing.T) {
	trns := func(b ...byte) []byte { return pngChunkBytes("tRNS", b) }
	for name, c := range map[string]struct {
		data []byte
		want [3]byte
	}{
		"grey of 16 bits":              {rawPNG(1, 1, 16, 0, []byte{0, 0x12, 0xff}), [3]byte{0x12, 0x12, 0x12}},
		"RGB of 16 bits":               {rawPNG(1, 1, 16, 2, []byte{0, 0x12, 0xff, 0x34, 0xff, 0x56, 0xff}), [3]byte{0x12, 0x34, 0x56}},
		"RGBA of 16 bits":              {rawPNG(1, 1, 16, 6, []byte{0, 0x12, 0, 0x34, 0, 0x56, 0, 0x80, 0}), [3]byte{136, 153, 170}},
		"RGBA":                         {rawPNG(1, 1, 8, 6, []byte{0, 0x12, 0x34, 0x56, 0x80}), [3]byte{136, 153, 170}},
		"invisible red":                {rawPNG(1, 1, 8, 6, []byte{0, 255, 0, 0, 0}), [3]byte{255, 255, 255}},
		"grey with alpha":              {rawPNG(1, 1, 8, 4, []byte{0, 100, 0x80}), [3]byte{177, 177, 177}},
		"grey, transparent":            {rawPNG(1, 1, 8, 0, []byte{0, 100}, trns(0, 100)), [3]byte{255, 255, 255}},
		"RGB, transparent":             {rawPNG(1, 1, 8, 2, []byte{0, 1, 2, 3}, trns(0, 1, 0, 2, 0, 3)), [3]byte{255, 255, 255}},
		"RGB, another transparent":     {rawPNG(1, 1, 8, 2, []byte{0, 1, 2, 3}, trns(0, 1, 0, 2, 0, 4)), [3]byte{1, 2, 3}},
		"palette, half transparent":    {rawPNG(1, 1, 8, 3, []byte{0, 1}, pngChunkBytes("PLTE", []byte{0, 0, 0, 0x12, 0x34, 0x56}), trns(0, 0x80)), [3]byte{136, 153, 170}},
		"one bit":                      {rawPNG(1, 1, 1, 0, []byte{0, 0x80}), [3]byte{255, 255, 255}},
		"gamma and significant bits":   {rawPNG(1, 1, 8, 0, []byte{0, 100}, pngChunkBytes("gAMA", []byte{0, 0, 0, 1}), pngChunkBytes("sBIT", []byte{1})), [3]byte{100, 100, 100}},
		"index beyond a short palette": {rawPNG(1, 1, 8, 3, []byte{0, 9}, pngChunkBytes("PLTE", []byte{7, 7, 7})), [3]byte{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if p := expect(t, c.data, ok); p != nil && [3]byte(p.RGB[:3]) != c.want {
				t.Errorf("got %v, want %v", p.RGB[:3], c.want)
			}
		})
	}
}

func testDamagedPNG(t *testing.T) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, scene(64, 48)); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	idat := bytes.Index(data, []byte("IDAT"))
	plte := pngChunkBytes("PLTE", []byte{1, 2, 3})
	for name, damaged := range map[string][]byte{
		"wrong checksum":      edit(data, len(data)-16, data[len(data)-16]^1),
		"broken compression":  edit(data, idat+20, 0xff, 0xff, 0xff, 0xff),
		"no palette":          rawPNG(1, 1, 8, 3, []byte{0, 0}),
		"two palettes":        rawPNG(1, 1, 8, 3, []byte{0, 0}, plte, plte),
		"unknown filter":      rawPNG(1, 1, 8, 0, []byte{9, 0}),
		"too few rows":        rawPNG(4, 4, 8, 0, []byte{0, 1, 2, 3, 4}),
		"cut in half":         data[:len(data)/2],
		"depth 3":             edit(data, 24, 3),
		"colour type 5":       edit(data, 25, 5),
		"unknown compression": edit(data, 26, 9),
	} {
		t.Run(name, func(t *testing.T) { twice(t, damaged, CorruptImage, UnsupportedVariant) })
	}
	t.Run("no IEND", func(t *testing.T) { twice(t, data[:len(data)-12], ok, CorruptImage) })
	t.Run("an IDAT for every byte", func(t *testing.T) {
		plain := pngHeader(64, 48, 8, 0, 0)
		rows := bytes.Repeat([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 48*5)
		for _, c := range deflate(rows) {
			plain = append(plain, pngChunkBytes("IDAT", []byte{c})...)
		}
		expect(t, append(plain, pngChunkBytes("IEND", nil)...), ok)
	})
}

func testGIFFrames(t *testing.T) {
	data := encode(t, "gif", paletted(scene(64, 48)))
	at := bytes.IndexByte(data, 0x2c) // the image descriptor: left, top, width, height
	for name, c := range map[string]struct {
		data []byte
		code Code
	}{
		"no area":                      {edit(data, at+5, 0, 0), CorruptImage},
		"no frames":                    {append(bytes.Clone(data[:at]), ';'), CorruptImage},
		"broken compression":           {edit(data, at+12, 0xff, 0xff, 0xff, 0xff), CorruptImage},
		"unknown block":                {edit(data, at, 0x99), CorruptImage},
		"larger than its data":         {edit(data, at+5, 255, 3), CorruptImage},
		"cut off":                      {data[:at+40], CorruptImage},
		"small on a huge canvas":       {edit(data, 6, 0x90, 0x1a, 0x90, 0x1a), ok}, // 6800 × 6800
		"on too large a canvas":        {edit(data, 6, 0xff, 0xff, 0xff, 0xff), ImageTooLarge},
		"outside the canvas":           {edit(data, at+1, 100, 0, 100, 0), ok},
		"an extension without its end": {insert(data, at, append([]byte{0x21, 0xfe}, bytes.Repeat([]byte{255}, 100)...)), CorruptImage},
	} {
		t.Run(name, func(t *testing.T) { twice(t, c.data, c.code) })
	}
	outside := expect(t, edit(data, at+1, 100, 0, 100, 0), ok)
	if outside != nil && (outside.Width != 164 || outside.Height != 148) {
		t.Errorf("the canvas did not grow: %d × %d", outside.Width, outside.Height)
	}
	t.Run("of the corpus", func(t *testing.T) {
		expect(t, corpusFile(t, "pillow/Tests/images/zero_width.gif"), CorruptImage)
		expect(t, corpusFile(t, "pillow/Tests/images/decompression_bomb_extents.gif"), ok)
	})
	t.Run("transparent", func(t *testing.T) {
		img := image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.NRGBA{}, color.Black})
		var b bytes.Buffer
		if err := gif.Encode(&b, img, nil); err != nil {
			t.Fatal(err)
		}
		if p := expect(t, b.Bytes(), ok); p != nil && [3]byte(p.RGB[:3]) != [3]byte{255, 255, 255} {
			t.Errorf("what is transparent became %v", p.RGB[:3])
		}
	})
}

func testOddBMP(t *testing.T) {
	rgb := encode(t, "bmp", scene(16, 8))
	indexed := encode(t, "bmp", paletted(scene(16, 8)))
	for name, c := range map[string]struct {
		data  []byte
		codes []Code
	}{
		"40 bits":             {edit(rgb, 28, 40), []Code{UnsupportedVariant}},
		"JPEG inside":         {edit(rgb, 30, 4), []Code{UnsupportedVariant}},
		"RLE in 24 bits":      {edit(rgb, 30, 1), []Code{UnsupportedVariant}},
		"2³¹ colours":         {edit(indexed, 46, 0, 0, 0, 0x80), []Code{CorruptImage}},
		"pixels past the end": {edit(rgb, 10, 0xff, 0xff, 0xff, 0x7f), []Code{CorruptImage}},
		"a header of 41":      {edit(rgb, 14, 41), []Code{UnsupportedVariant}},
		"a header of 2³²−1":   {edit(rgb, 14, 0xff, 0xff, 0xff, 0xff), []Code{UnsupportedVariant}},
		"negative width":      {edit(rgb, 18, 0xf0, 0xff, 0xff, 0xff), []Code{CorruptImage}},
		"cut off":             {rgb[:len(rgb)-1], []Code{CorruptImage}},
		"RLE without an end":  {edit(indexed, 30, 1), []Code{ok, CorruptImage}},
	} {
		t.Run(name, func(t *testing.T) { twice(t, c.data, c.codes...) })
	}
	t.Run("top down", func(t *testing.T) {
		up := expect(t, rgb, ok)
		down := expect(t, edit(rgb, 22, 0xf8, 0xff, 0xff, 0xff), ok)
		if up != nil && down != nil && (down.Height != 8 || bytes.Equal(up.RGB, down.RGB)) {
			t.Error("a negative height turns the rows round")
		}
	})
	t.Run("run lengths say the same as plain pixels", func(t *testing.T) {
		for _, pair := range [][2]string{{"pal8rle.bmp", "pal8.bmp"}, {"pal4rle.bmp", "pal4.bmp"}} {
			a := expect(t, corpusFile(t, "pillow/Tests/images/bmp/g/"+pair[0]), ok)
			b := expect(t, corpusFile(t, "pillow/Tests/images/bmp/g/"+pair[1]), ok)
			if a != nil && b != nil && !bytes.Equal(a.RGB, b.RGB) {
				t.Errorf("%s and %s differ", pair[0], pair[1])
			}
		}
	})
}

func testHostileTIFF(t *testing.T) {
	entries := make([]byte, 0xffff*12)
	for i := range 0xffff {
		binary.LittleEndian.PutUint16(entries[12*i:], uint16(i))
	}
	many := slices.Concat([]byte("II*\x00\x08\x00\x00\x00\xff\xff"), entries, make([]byte, 4))
	packed := bytes.Repeat([]byte{0x81, 0}, 5000)
	inputs := map[string][]byte{
		"tiles much larger than the picture": rawTIFF(4, 4, []byte{1}, tiffEntry{322, 4, 1, 60000}, tiffEntry{323, 4, 1, 60000}, tiffEntry{324, 4, 1, 8}, tiffEntry{325, 4, 1, 1}),
		"tiles of 2³²−1":                     rawTIFF(4, 4, []byte{1}, tiffEntry{322, 4, 1, 1<<32 - 1}, tiffEntry{323, 4, 1, 1<<32 - 1}),
		"tiles of 1 × 1":                     rawTIFF(4, 4, []byte{1}, tiffEntry{322, 4, 1, 1}, tiffEntry{323, 4, 1, 1}),
		"a strip beyond the end":             rawTIFF(4, 4, []byte{1}, tiffEntry{273, 4, 1, 1 << 30}),
		"2³² strips":                         rawTIFF(4, 4, []byte{1}, tiffEntry{273, 4, 1<<32 - 1, 8}),
		"a directory that is itself":         edit(rawTIFF(4, 4, []byte{1}), 4, 8),
		"a directory beyond the end":         []byte("II*\x00\xff\xff\xff\x7f    "),
		"65,535 entries":                     many,
		"PackBits of ever more":              rawTIFF(4, 4, packed, tiffEntry{259, 3, 1, 32773}, tiffEntry{279, 4, 1, len(packed) * 100}),
		"rows of strips are 0":               rawTIFF(4, 4, []byte{1}, tiffEntry{278, 4, 1, 0}),
		"65535 × 900 without data":           rawTIFF(65535, 900, []byte{1}),
	}
	cheaply := func(t *testing.T, data []byte, codes ...Code) {
		quickly(t, 100*time.Millisecond, 50<<20, func() { expect(t, data, codes...) })
	}
	for name, data := range inputs {
		t.Run(name, func(t *testing.T) { cheaply(t, data, CorruptImage, UnsupportedVariant, ImageTooLarge) })
	}
	t.Run("of the corpus", func(t *testing.T) {
		for _, pattern := range []string{"crash*.tif", "oom*.tif", "libtiff_segfault.tif", "timeout*.tif"} {
			files, _ := filepath.Glob(filepath.Join(corpus(t), "pillow/Tests/images", pattern))
			for _, file := range files {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				// Some crash other decoders and are whole.
				cheaply(t, data, ok, CorruptImage, UnsupportedVariant, ImageTooLarge)
			}
		}
	})
}

func testOddWebP(t *testing.T) {
	bits := losslessBits(20, 10, 0, nil, [4]uint32{200, 100, 50, 255})
	frame := func(x, y, w, h int) []byte {
		body := slices.Concat(le32(x / 2)[:3], le32(y / 2)[:3], le32(w - 1)[:3], le32(h - 1)[:3], []byte{0, 0, 0, 0})
		return riffPiece("ANMF", append(body, riffPiece("VP8L", bits)...))
	}
	lossless := riffPiece("VP8L", bits)
	for name, c := range map[string]struct {
		data []byte
		code Code
	}{
		"animated":                   {webpOf(vp8x(2, 20, 10), frame(0, 0, 20, 10), frame(0, 0, 20, 10)), ok},
		"animated, small frame":      {webpOf(vp8x(2, 200, 100), frame(40, 20, 20, 10)), ok},
		"frame outside the canvas":   {webpOf(vp8x(2, 20, 10), frame(10, 0, 20, 10)), CorruptImage},
		"frame of another size":      {webpOf(vp8x(2, 200, 100), frame(0, 0, 40, 10)), CorruptImage},
		"canvas of another size":     {webpOf(vp8x(0, 21, 10), lossless), CorruptImage},
		"no picture":                 {webpOf(vp8x(0, 20, 10)), CorruptImage},
		"an empty frame":             {webpOf(vp8x(2, 20, 10), riffPiece("ANMF", nil)), CorruptImage},
		"a chunk beyond the end":     {edit(webpOf(lossless), 16, 0xff, 0xff, 0xff, 0xff), CorruptImage},
		"cut off":                    {webpOf(lossless)[:25], CorruptImage},
		"7000 × 7000 in 34 bytes":    {solidWebP(7000, 7000, 0, nil), ImageTooComplex},
		"33 megapixels, transformed": {solidWebP(5740, 5740, 0, []uint32{0, 1, 2}), ok},
	} {
		t.Run(name, func(t *testing.T) { quickly(t, 2*time.Second, 512<<20, func() { expect(t, c.data, c.code) }) })
	}
	t.Run("alpha counts only where the header says so", func(t *testing.T) {
		for alphaUsed, want := range map[uint32][3]byte{0: {200, 100, 50}, 1: {255, 255, 255}} {
			data := webpOf(riffPiece("VP8L", losslessBits(20, 10, alphaUsed, nil, [4]uint32{200, 100, 50, 0})))
			if p := expect(t, data, ok); p != nil && [3]byte(p.RGB[:3]) != want {
				t.Errorf("alpha used %d: %v", alphaUsed, p.RGB[:3])
			}
		}
	})
}
