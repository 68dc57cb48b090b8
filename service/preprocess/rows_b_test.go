package preprocess

import (
	"bytes"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRowsB(t *testing.T) {
	photo := encode(t, "jpeg", scene(160, 120))
	t.Run("B1 cut off at every percent", func(t *testing.T) {
		for percent := 10; percent <= 99; percent++ {
			cut := photo[:len(photo)*percent/100]
			expect(t, cut, CorruptImage)
			expect(t, cut, CorruptImage)
		}
	})
	t.Run("B2 thousands of scans", func(t *testing.T) {
		bomb := scanBomb(t, 3000)
		quickly(t, time.Second, 1<<30, func() { expect(t, bomb, ImageTooComplex) })
	})
	t.Run("B3 progressive, 33 megapixels", func(t *testing.T) {
		data := pipe(t, encode(t, "jpeg", image.NewGray(image.Rect(0, 0, 7000, 4715))), "jpegtran", "-progressive")
		expect(t, data, ok)
	})
	t.Run("B4 CMYK and its marker", func(t *testing.T) {
		t.Run("of the corpus", func(t *testing.T) {
			expect(t, corpusFile(t, "pillow/Tests/images/pil_sample_cmyk.jpg"), ok) // its colours: TestPillow
			expect(t, corpusFile(t, "pillow/Tests/images/truncated_app14.jpg"), ok, CorruptImage)
		})
		for _, body := range []string{"Adobe", "Adobe\x00\x64\x00\x00\x00\x00\x02"} {
			expect(t, insert(photo, 2, jpegPiece(0xee, []byte(body))), ok)
		}
		expect(t, insert(photo, 2, []byte("\xff\xee\xff\xffAdobe")), CorruptImage) // reaches beyond the end
	})
	t.Run("B5 arithmetic coding", func(t *testing.T) {
		plain := expect(t, photo, ok)
		arithmetic := expect(t, pipe(t, photo, "jpegtran", "-arithmetic"), ok)
		if plain != nil && arithmetic != nil && !bytes.Equal(plain.RGB, arithmetic.RGB) {
			t.Error("the pixels are not those of the same picture in Huffman coding")
		}
	})
	t.Run("B6 12 bits, lossless, JPEG-LS", func(t *testing.T) {
		sof := jpegSegment(t, photo, 0xc0)
		expect(t, edit(photo, sof+4, 12), UnsupportedVariant)
		expect(t, edit(photo, sof+4, 16), UnsupportedVariant)
		expect(t, edit(photo, sof+1, 0xc3), UnsupportedVariant)
		expect(t, edit(photo, sof+1, 0xf7), UnsupportedVariant, CorruptImage)
	})
	t.Run("B7 odd components", func(t *testing.T) { testOddComponents(t, photo) })
	t.Run("B8 odd markers", func(t *testing.T) { testOddMarkers(t, photo) })
	t.Run("B9 restarts, garbage, two pictures", func(t *testing.T) { testRestarts(t, photo) })
	t.Run("B10 a thousand mutants", func(t *testing.T) { testMutants(t, photo) })
	t.Run("B11 no end marker", func(t *testing.T) {
		for _, tail := range []string{"", "\xff", "\x00\x00", strings.Repeat("\x00", 5000)} {
			p := expect(t, append(bytes.Clone(photo[:len(photo)-2]), tail...), ok)
			if p != nil && !slices.Contains(p.Warnings, DamagedImage) {
				t.Errorf("ending with %q: warnings %v", tail, p.Warnings)
			}
		}
	})
	t.Run("B11 damaged but whole", func(t *testing.T) {
		damaged := 0
		for seed := range uint64(50) {
			data := bytes.Clone(photo)
			r := rand.New(rand.NewPCG(seed, 11))
			data[jpegSegment(t, photo, 0xda)+200+r.IntN(1000)] ^= byte(1 + r.IntN(255))
			p := expect(t, data, ok, CorruptImage)
			if p != nil && slices.Contains(p.Warnings, DamagedImage) {
				damaged++
			}
		}
		if damaged < 5 {
			t.Errorf("only %d of 50 damaged pictures came with a warning", damaged)
		}
	})
}

// scanBomb repeats the last scan of a progressive picture of 36 megapixels.
func scanBomb(t *testing.T, scans int) []byte {
	data := pipe(t, encode(t, "jpeg", image.NewGray(image.Rect(0, 0, 6000, 6000))), "jpegtran", "-progressive")
	last := bytes.LastIndex(data, []byte{0xff, 0xda})
	scan := data[last : len(data)-2]
	return slices.Concat(data[:last], bytes.Repeat(scan, scans), []byte{0xff, 0xd9})
}

func testOddComponents(t *testing.T, photo []byte) {
	sof, sos := jpegSegment(t, photo, 0xc0), jpegSegment(t, photo, 0xda)
	ids := func(a, b, c byte) []byte {
		data := edit(photo, sof+10, a)
		data = edit(edit(data, sof+13, b), sof+16, c)
		return edit(edit(edit(data, sos+5, a), sos+7, b), sos+9, c)
	}
	sampling := func(a, b, c byte) []byte {
		return edit(edit(edit(photo, sof+11, a), sof+14, b), sof+17, c)
	}
	for name, data := range map[string][]byte{
		"ids R, G, B":       ids('R', 'G', 'B'),
		"equal ids":         ids(1, 1, 1),
		"two components":    edit(photo, sof+9, 2),
		"five components":   edit(photo, sof+9, 5),
		"sampling 4:1:0":    sampling(0x42, 0x11, 0x11),
		"sampling 3 × 1":    sampling(0x31, 0x11, 0x11),
		"chroma is finer":   sampling(0x11, 0x22, 0x22),
		"sampling 0 × 0":    sampling(0, 0x11, 0x11),
		"fractional chroma": sampling(0x32, 0x21, 0x21),
	} {
		t.Run(name, func(t *testing.T) { twice(t, data, ok, CorruptImage, UnsupportedVariant) })
	}
}

func testOddMarkers(t *testing.T, photo []byte) {
	sof, dht, sos := jpegSegment(t, photo, 0xc0), jpegSegment(t, photo, 0xc4), jpegSegment(t, photo, 0xda)
	huffman := photo[dht:sos]
	for name, data := range map[string][]byte{
		"height in a DNL marker":  edit(photo, sof+5, 0, 0),
		"scan before frame":       slices.Concat(photo[:2], photo[sos:], photo[2:sos]),
		"six tables":              insert(photo, dht, bytes.Repeat(huffman, 6)),
		"segment of length 0":     insert(photo, 2, []byte{0xff, 0xe5, 0, 0}),
		"segment beyond the end":  insert(photo, sos, []byte{0xff, 0xe5, 0xff, 0xff}),
		"100 MB of APPn declared": slices.Concat(photo[:2], bytes.Repeat([]byte{0xff, 0xe5, 0xff, 0xff}, 1600), photo[2:]),
		"fill bytes":              insert(photo, 2, bytes.Repeat([]byte{0xff}, 1000)),
	} {
		t.Run(name, func(t *testing.T) { twice(t, data, ok, CorruptImage) })
	}
	expect(t, edit(photo, sof+5, 0, 0), CorruptImage)
}

func testRestarts(t *testing.T, photo []byte) {
	plain := expect(t, photo, ok)
	two := expect(t, append(bytes.Clone(photo), encode(t, "jpeg", scene(32, 16))...), ok)
	if plain != nil && two != nil && !bytes.Equal(plain.RGB, two.RGB) {
		t.Error("of two pictures in one file the first counts")
	}
	restarts := pipe(t, photo, "jpegtran", "-restart", "1")
	expect(t, restarts, ok)
	first := bytes.Index(restarts, []byte{0xff, 0xd0})
	for name, data := range map[string][]byte{
		"missing":             slices.Concat(restarts[:first], restarts[first+2:]),
		"wrong number":        edit(restarts, first+1, 0xd5),
		"garbage between MCU": insert(restarts, first, []byte("garbage that means nothing")),
	} {
		t.Run("restart "+name, func(t *testing.T) { twice(t, data, ok, CorruptImage) })
	}
	t.Run("MPO", func(t *testing.T) {
		files, _ := filepath.Glob(filepath.Join(corpus(t), "pillow/Tests/images/*mpo*"))
		if len(files) < 3 {
			t.Fatalf("only %d files", len(files))
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			twice(t, data, ok, CorruptImage)
		}
	})
}

// testMutants changes some bytes at random places. What comes out is not the point: that it is an answer, and the same one
// every time, is.
func testMutants(t *testing.T, photo []byte) {
	small := encode(t, "jpeg", scene(48, 32))
	answers := map[string]int{}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 10))
		data := bytes.Clone(small)
		if seed%4 == 0 {
			data = bytes.Clone(photo)
		}
		for range 1 + r.IntN(8) {
			data[2+r.IntN(len(data)-2)] = byte(r.Uint32())
		}
		answers[twice(t, data, ok, CorruptImage, UnsupportedVariant, ImageTooLarge, ImageTooComplex, UnsupportedFormat)]++
	}
	t.Logf("answers: %v", answers)
}

// twice checks that the answer is the same both times, and returns it.
func twice(t *testing.T, data []byte, codes ...Code) string {
	t.Helper()
	first := expect(t, data, codes...)
	second, refusal := prepare(t, data, Options{})
	if first == nil {
		return fmt.Sprint(refusal.Code)
	}
	if second == nil || !bytes.Equal(first.RGB, second.RGB) || !reflect.DeepEqual(first.Warnings, second.Warnings) {
		t.Errorf("the second answer differs: %v", refusal)
	}
	return "ok"
}
