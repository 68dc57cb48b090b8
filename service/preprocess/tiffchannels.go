package preprocess

import (
	"bytes"
	"image"
	"io"
)

// golang.org/x/image/tiff does not know grey with alpha, nor a fourth channel of unspecified
// meaning. Both decode right when the directory says something else: grey of twice the width, and
// RGB with alpha. So the decoder is shown a changed directory, and the result is put right.

// grayAlpha reports whether the picture is grey with alpha (or with a channel of unspecified
// meaning), in rows that decode as grey of twice the width.
func (t tiffTags) grayAlpha() bool {
	extra := t.first(tiffExtraSamples, -1)
	return t.first(tiffPhotometric, 0) == tiffBlackZero && t.first(tiffSamples, 1) == 2 &&
		t.first(tiffBitsPerSample, 1) == 8 && t.count(tiffBitsPerSample) == 2 &&
		(extra == 0 || extra == 2) && t.first(tiffPredictor, 1) == 1 && !t.fax() &&
		t.first(tiffTileWidth, 0) == 0
}

// unspecifiedAlpha reports whether the picture is RGB with one channel of unspecified meaning,
// which Pillow ignores.
func (t tiffTags) unspecifiedAlpha() bool {
	return t.first(tiffPhotometric, 0) == tiffRGB && t.first(tiffSamples, 1) == 4 &&
		t.first(tiffExtraSamples, -1) == 0 && t.count(tiffExtraSamples) == 1
}

// entry is the directory's entry of a tag in d, nil if there is none.
func (t tiffTags) entry(d []byte, tag uint16) []byte {
	for ; len(d) >= 12; d = d[12:] {
		if t.order.Uint16(d) == tag {
			return d[:12]
		}
	}
	return nil
}

// count is how many values a tag has.
func (t tiffTags) count(tag uint16) int64 {
	if e := t.entry(t.directory, tag); e != nil {
		return int64(t.order.Uint32(e[4:]))
	}
	return 0
}

// set gives a tag of d one value of type long, where the tag is there.
func (t tiffTags) set(d []byte, tag uint16, value uint32) {
	if e := t.entry(d, tag); e != nil {
		t.order.PutUint16(e[2:], 4)
		t.order.PutUint32(e[4:], 1)
		t.order.PutUint32(e[8:], value)
	}
}

// forDecoder is the file as the decoder is to see it.
func (t tiffTags) forDecoder(m *meter) io.Reader {
	d := bytes.Clone(t.directory)
	switch {
	case t.grayAlpha():
		t.set(d, tiffWidth, uint32(2*t.first(tiffWidth, 0)))
		t.set(d, tiffSamples, 1)
		t.set(d, tiffBitsPerSample, 8)
		t.set(d, tiffExtraSamples, 0)
	case t.unspecifiedAlpha():
		t.set(d, tiffExtraSamples, 2) // unassociated alpha
	default:
		return m
	}
	return overlaid{m, d, t.at}
}

// fromDecoder is what the decoder made of it, put right.
func (t tiffTags) fromDecoder(img image.Image) image.Image {
	switch pixels := img.(type) {
	case *image.Gray:
		if t.grayAlpha() {
			return splitGrayAlpha(pixels, t.first(tiffExtraSamples, 0) == 2)
		}
	case *image.NRGBA:
		if t.unspecifiedAlpha() {
			for i := 3; i < len(pixels.Pix); i += 4 {
				pixels.Pix[i] = 0xff
			}
		}
	case *image.NRGBA64:
		if t.unspecifiedAlpha() {
			for i := 6; i+1 < len(pixels.Pix); i += 8 {
				pixels.Pix[i], pixels.Pix[i+1] = 0xff, 0xff
			}
		}
	}
	return img
}

// splitGrayAlpha makes a grey picture over white of pairs of grey and alpha, in the same buffer.
func splitGrayAlpha(pairs *image.Gray, alpha bool) *image.Gray {
	w, h := pairs.Rect.Dx()/2, pairs.Rect.Dy()
	for y := range h {
		src, dst := pairs.Pix[y*pairs.Stride:], pairs.Pix[y*w:]
		for x := range w {
			v := src[2*x]
			if alpha {
				v = blendWhite(v, src[2*x+1])
			}
			dst[x] = v
		}
	}
	return &image.Gray{Pix: pairs.Pix[:w*h], Stride: w, Rect: image.Rect(0, 0, w, h)}
}

// overlaid is a file with other bytes at one place.
type overlaid struct {
	*meter
	bytes []byte
	at    int64
}

// ReadAt gives out the bytes at an offset, as many as are wanted.
func (o overlaid) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.meter.ReadAt(p, off)
	first, last := max(off, o.at), min(off+int64(n), o.at+int64(len(o.bytes)))
	if first < last {
		copy(p[first-off:last-off], o.bytes[first-o.at:])
	}
	return n, err
}
