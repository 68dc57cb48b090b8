package preprocess

import (
	"fmt"
	"image"
	"image/color"
)

// overWhite makes an opaque NRGBA of what a decoder gave, as Pillow would: samples of 16 bits keep their high byte, and what
// is transparent is laid over white. The colours under alpha are those that the file stores, where Go's color.Color would
// give them multiplied and rounded. Buffers with room for 4 bytes a pixel are used again.
func overWhite(img image.Image) (*image.NRGBA, error) {
	b := img.Bounds()
	if b.Empty() {
		return nil, fmt.Errorf("the decoder gave a picture of %v", b)
	}
	switch img := img.(type) {
	case *image.NRGBA:
		return inPlace(img.Pix, img.Stride, 4, b, straightPixel), nil
	case *image.RGBA:
		return inPlace(img.Pix, img.Stride, 4, b, premultipliedPixel), nil
	case *image.NRGBA64:
		return inPlace(img.Pix, img.Stride, 8, b, straightPixel), nil
	case *image.RGBA64:
		return inPlace(img.Pix, img.Stride, 8, b, premultipliedPixel), nil
	case *image.Gray:
		return fromGray(img.Pix, img.Stride, 1, b), nil
	case *image.Gray16:
		return fromGray(img.Pix, img.Stride, 2, b), nil
	case *image.Paletted:
		return fromPalette(img), nil
	case *image.YCbCr:
		return fromYCbCr(img, nil, 0)
	case *image.NYCbCrA:
		return fromYCbCr(&img.YCbCr, img.A, img.AStride)
	}
	return nil, fmt.Errorf("the decoder gave a %T", img)
}

// inPlace rewrites rows of red, green, blue and alpha, each of size/4 bytes of which the first counts, as opaque pixels of 4
// bytes in the same buffer. Every pixel is written at or before the place where it was read.
func inPlace(pix []byte, stride, size int, b image.Rectangle, pixel func(r, g, bl, a byte) (byte, byte, byte)) *image.NRGBA {
	sample := size / 4
	w, h := b.Dx(), b.Dy()
	for y := range h {
		src := pix[y*stride : y*stride+w*size]
		dst := pix[y*w*4 : (y+1)*w*4]
		for len(dst) > 0 {
			r, g, bl, a := src[0], src[sample], src[2*sample], src[3*sample]
			if a != 0xff {
				r, g, bl = pixel(r, g, bl, a)
			}
			dst[0], dst[1], dst[2], dst[3] = r, g, bl, 0xff
			src, dst = src[size:], dst[4:]
		}
	}
	return &image.NRGBA{Pix: pix[:w*h*4], Stride: w * 4, Rect: image.Rect(0, 0, w, h)}
}

func straightPixel(r, g, b, a byte) (byte, byte, byte) {
	return blendWhite(r, a), blendWhite(g, a), blendWhite(b, a)
}

// premultipliedPixel divides first, with the rounding of Pillow's unpackRGBa.
func premultipliedPixel(r, g, b, a byte) (byte, byte, byte) {
	if a == 0 {
		return 0xff, 0xff, 0xff
	}
	divide := func(v byte) byte { return byte(min(255*int(v)/int(a), 255)) }
	return straightPixel(divide(r), divide(g), divide(b), a)
}

// blendWhite is v over white, rounded as Pillow's paste with a mask rounds (BLEND in libImaging/ImagingUtils.h).
func blendWhite(v, a byte) byte {
	t := uint32(v)*uint32(a) + 255*(255-uint32(a)) + 128
	return byte((t>>8 + t) >> 8)
}

func fromGray(pix []byte, stride, size int, b image.Rectangle) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		src := pix[y*stride : y*stride+b.Dx()*size]
		dst := out.Pix[y*out.Stride : (y+1)*out.Stride]
		for len(dst) > 0 {
			v := src[0]
			dst[0], dst[1], dst[2], dst[3] = v, v, v, 0xff
			src, dst = src[size:], dst[4:]
		}
	}
	return out
}

func fromPalette(img *image.Paletted) *image.NRGBA {
	table := paletteTable(img.Palette)
	b := img.Rect
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		dst := out.Pix[y*out.Stride : (y+1)*out.Stride]
		for _, index := range img.Pix[y*img.Stride : y*img.Stride+b.Dx()] {
			copy(dst, table[index][:])
			dst = dst[4:]
		}
	}
	return out
}

// paletteTable has an entry for each index that a byte can hold, so that none is out of range: black where the palette has
// none, or nil. Decoders refuse such an index, or mean black.
func paletteTable(palette color.Palette) *[256][4]byte {
	var table [256][4]byte
	for i := range table {
		r, g, b := byte(0), byte(0), byte(0)
		if i < len(palette) {
			r, g, b = paletteColor(palette[i])
		}
		table[i] = [4]byte{r, g, b, 0xff}
	}
	return &table
}

func paletteColor(c color.Color) (r, g, b byte) {
	switch c := c.(type) {
	case nil:
		return 0, 0, 0
	case color.NRGBA:
		return straightPixel(c.R, c.G, c.B, c.A)
	case color.RGBA:
		return premultipliedPixel(c.R, c.G, c.B, c.A)
	}
	r16, g16, b16, a16 := c.RGBA()
	return premultipliedPixel(byte(r16>>8), byte(g16>>8), byte(b16>>8), byte(a16>>8))
}
