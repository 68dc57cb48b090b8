package preprocess

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestTIFFChannels: grey with alpha lies over white; a channel without a meaning is ignored.
func TestTIFFChannels(t *testing.T) {
	two := 8 | 8<<16 // two shorts of 8
	fill := func(pixel ...byte) []byte { return bytes.Repeat(pixel, 300*240) }
	for name, c := range map[string]struct {
		strip   []byte
		entries []tiffEntry
		want    [3]byte
	}{
		"grey with alpha":           {fill(100, 51), []tiffEntry{{258, 3, 2, two}, {277, 3, 1, 2}, {338, 3, 1, 2}}, [3]byte{224, 224, 224}},
		"grey and something":        {fill(100, 51), []tiffEntry{{258, 3, 2, two}, {277, 3, 1, 2}, {338, 3, 1, 0}}, [3]byte{100, 100, 100}},
		"RGB and something":         {fill(10, 20, 30, 51), []tiffEntry{{258, 3, 4, 8}, {262, 3, 1, 2}, {277, 3, 1, 4}, {338, 3, 1, 0}}, [3]byte{10, 20, 30}},
		"RGB with alpha, as before": {fill(100, 100, 100, 51), []tiffEntry{{258, 3, 4, 8}, {262, 3, 1, 2}, {277, 3, 1, 4}, {338, 3, 1, 2}}, [3]byte{224, 224, 224}},
	} {
		data := rawTIFF(300, 240, c.strip, c.entries...)
		if c.entries[0].count == 4 { // four shorts lie elsewhere: put them behind the file
			at := bytes.Index(data, []byte{2, 1, 3, 0, 4, 0, 0, 0})
			binary.LittleEndian.PutUint32(data[at+8:], uint32(len(data)))
			data = append(data, 8, 0, 8, 0, 8, 0, 8, 0)
		}
		if p := expect(t, data, ok); p != nil && [3]byte(p.RGB[:3]) != c.want {
			t.Errorf("%s: %v, want %v", name, p.RGB[:3], c.want)
		}
	}
	for name, options := range map[string]int{"in two dimensions": 1, "not compressed": 2, "with fill bits": 4} {
		data := rawTIFF(8, 8, make([]byte, 64), tiffEntry{258, 3, 1, 1}, tiffEntry{259, 3, 1, 3}, tiffEntry{292, 4, 1, options})
		if expect(t, data, UnsupportedVariant) != nil {
			t.Errorf("fax %s was read", name)
		}
	}
}

// TestBMPAlpha: an alpha channel that is 0 everywhere was never filled in.
func TestBMPAlpha(t *testing.T) {
	make32 := func(alphas ...byte) []byte {
		const w, h, headers = 240, 240, 14 + 56
		b := append([]byte("BM"), le32(headers+4*w*h)...)
		b = append(append(append(b, 0, 0, 0, 0), le32(headers)...), le32(56)...)
		b = append(append(b, le32(w)...), le32(h)...)
		b = append(append(append(b, 1, 0, 32, 0), le32(3)...), make([]byte, 20)...)
		b = append(append(append(append(b, le32(0xff0000)...), le32(0xff00)...), le32(0xff)...), le32(0xff000000)...)
		b = append(b[:14], append(le32(56), b[18:]...)...)
		for i := range w * h {
			b = append(b, 30, 20, 10, alphas[min(i, len(alphas)-1)])
		}
		return b
	}
	for name, c := range map[string]struct {
		alphas []byte
		want   [3]byte
	}{
		"0 everywhere":     {[]byte{0}, [3]byte{10, 20, 30}},
		"0 but for one":    {[]byte{255, 0}, [3]byte{255, 255, 255}},
		"255 everywhere":   {[]byte{255}, [3]byte{10, 20, 30}},
		"51 in all places": {[]byte{51}, [3]byte{206, 208, 210}},
	} {
		data := make32(c.alphas...)
		data[14] = 108 // a header of version 4, whose last fields do not matter here
		data = insert(data, 14+56, make([]byte, 108-56))
		copy(data[10:], le32(14+108))
		if p := expect(t, data, ok); p != nil && [3]byte(p.RGB[3*112*225:]) != c.want {
			t.Errorf("%s: %v, want %v", name, p.RGB[3*112*225:][:3], c.want)
		}
	}
}

// testBytesThatBecameText: what a program makes of a picture that it reads as text.
func testBytesThatBecameText(t *testing.T) {
	for name, data := range map[string][]byte{"JPEG": encode(t, "jpeg", scene(32, 24)), "PNG": encode(t, "png", scene(32, 24))} {
		utf8 := bytes.ToValidUTF8(data, []byte("\ufffd"))
		if name == "JPEG" { // one character for each byte that is none
			utf8 = append([]byte("\ufffd\ufffd\ufffd"), utf8[bytes.Index(utf8, []byte("\ufffd"))+3:]...)
		}
		var latin1 []byte
		for _, b := range data {
			latin1 = append(latin1, string(rune(b))...)
		}
		for _, text := range [][]byte{utf8, latin1, append([]byte("\xef\xbb\xbf"), utf8...)} {
			_, refusal := prepare(t, text, Options{})
			if refusal == nil || refusal.Code != UnsupportedFormat || !bytes.Contains([]byte(refusal.Detail), []byte("was a "+name)) {
				t.Errorf("%s as text: %v", name, refusal)
			}
		}
	}
}
