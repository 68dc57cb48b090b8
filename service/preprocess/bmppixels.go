package preprocess

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

var errBMPIndex = errors.New("a colour index beyond the palette")

// stride is the distance between the file's rows, rowBytes the part of it that holds pixels.
func (f bmpFile) stride() int64   { return (int64(f.width)*int64(f.bits) + 31) / 32 * 4 }
func (f bmpFile) rowBytes() int64 { return (int64(f.width)*int64(f.bits) + 7) / 8 }

func (f bmpFile) runLengths() bool { return f.compression == bmpRLE8 || f.compression == bmpRLE4 }

// leastBytes is how many bytes the pixels take in the file, or more. The last row may lack its padding.
func (f bmpFile) leastBytes() int64 {
	if f.runLengths() {
		return 2
	}
	return f.stride()*int64(f.height-1) + f.rowBytes()
}

// decode fills out from the file, which has at least leastBytes.
func (f bmpFile) decode(data []byte, out *image.NRGBA) error {
	if f.runLengths() {
		return f.decodeRLE(data, out)
	}
	if f.alphaUnused(data) {
		f.opaque = true
	}
	for y := range f.height {
		at := f.pixels + int64(y)*f.stride()
		if err := f.row(f.outRow(out, y), data[at:at+f.rowBytes()]); err != nil {
			return err
		}
	}
	return nil
}

// alphaUnused reports whether the file has an alpha channel that is 0 everywhere. Programs leave it so that
// write no alpha, and browsers show such a picture as opaque.
func (f bmpFile) alphaUnused(data []byte) bool {
	alpha := map[bmpLayout]int{bgra: 3, rgba: 3, abgr: 0}
	offset, has := alpha[f.layout]
	if f.bits != 32 || !has {
		return false
	}
	for y := range int64(f.height) {
		row := data[f.pixels+y*f.stride():][:f.rowBytes()]
		for i := offset; i < len(row); i += 4 {
			if row[i] != 0 {
				return false
			}
		}
	}
	return true
}

// outRow is where the file's row y belongs: files begin with the lowest, unless they say otherwise.
func (f bmpFile) outRow(out *image.NRGBA, y int) []byte {
	if !f.topDown {
		y = f.height - 1 - y
	}
	return out.Pix[y*out.Stride : (y+1)*out.Stride]
}

func (f bmpFile) row(dst, src []byte) error {
	switch f.bits {
	case 1, 4, 8:
		return f.indexRow(dst, src)
	case 16:
		f.row16(dst, src)
	case 24:
		for i, j := 0, 0; i < len(dst); i, j = i+4, j+3 {
			dst[i], dst[i+1], dst[i+2], dst[i+3] = src[j+2], src[j+1], src[j], 0xff
		}
	default:
		f.row32(dst, src)
	}
	return nil
}

func (f bmpFile) indexRow(dst, src []byte) error {
	perByte := 8 / f.bits
	mask := byte(1<<f.bits - 1)
	for x := range f.width {
		index := src[x/perByte] >> (8 - f.bits*(x%perByte+1)) & mask
		if int(index) >= len(f.palette) {
			return errBMPIndex
		}
		copy(dst[4*x:4*x+4], f.palette[index][:])
	}
	return nil
}

func (f bmpFile) row16(dst, src []byte) {
	greenBits := 5
	if f.layout == rgb565 {
		greenBits = 6
	}
	greenMax := 1<<greenBits - 1
	for x := range f.width {
		v := int(binary.LittleEndian.Uint16(src[2*x:]))
		dst[4*x] = byte(v >> (5 + greenBits) & 31 * 255 / 31)
		dst[4*x+1] = byte(v >> 5 & greenMax * 255 / greenMax)
		dst[4*x+2] = byte(v & 31 * 255 / 31)
		dst[4*x+3] = 0xff
	}
}

func (f bmpFile) row32(dst, src []byte) {
	for i := 0; i < len(dst); i += 4 {
		p := src[i : i+4]
		var r, g, b, a byte
		switch f.layout {
		case bgra:
			r, g, b, a = p[2], p[1], p[0], p[3]
		case rgba:
			r, g, b, a = p[0], p[1], p[2], p[3]
		case xbgr:
			r, g, b, a = p[3], p[2], p[1], 0xff
		case abgr:
			r, g, b, a = p[3], p[2], p[1], p[0]
		default:
			r, g, b, a = p[2], p[1], p[0], 0xff
		}
		if a != 0xff && !f.opaque {
			r, g, b = straightPixel(r, g, b, a)
		}
		dst[i], dst[i+1], dst[i+2], dst[i+3] = r, g, b, 0xff
	}
}

// bmpRun writes pixels one after the other, row by row in the file's order.
type bmpRun struct {
	file bmpFile
	out  *image.NRGBA
	x, y int
}

func (r *bmpRun) put(index byte) error {
	if r.x >= r.file.width || r.y >= r.file.height {
		return nil // a literal run may go on over the edge; what lies there is not seen
	}
	if int(index) >= len(r.file.palette) {
		return errBMPIndex
	}
	copy(r.file.outRow(r.out, r.y)[4*r.x:], r.file.palette[index][:])
	r.x++
	return nil
}

// decodeRLE reads run lengths. Pixels that the file leaves out have the palette's first colour.
func (f bmpFile) decodeRLE(data []byte, out *image.NRGBA) error {
	for i := 0; i < len(out.Pix); i += 4 {
		copy(out.Pix[i:], f.palette[0][:])
	}
	run := bmpRun{file: f, out: out}
	for at := f.pixels; run.y < f.height; {
		if at+2 > int64(len(data)) {
			return io.ErrUnexpectedEOF
		}
		n, code := data[at], data[at+1]
		at += 2
		switch {
		case n > 0:
			if err := run.repeat(int(n), code); err != nil {
				return err
			}
		case code == 0: // end of the row
			run.x, run.y = 0, run.y+1
		case code == 1: // end of the picture
			return nil
		case code == 2: // move
			if at+2 > int64(len(data)) {
				return io.ErrUnexpectedEOF
			}
			run.x, run.y = run.x+int(data[at]), run.y+int(data[at+1])
			at += 2
		default:
			used, err := run.literal(data[at:], int(code))
			if err != nil {
				return err
			}
			at += used
		}
		if run.x >= f.width && run.y == f.height-1 {
			return nil
		}
	}
	return nil
}

func (r *bmpRun) repeat(n int, code byte) error {
	first, second := code, code
	if r.file.bits == 4 {
		first, second = code>>4, code&15
	}
	for i := range min(n, r.file.width-r.x) { // more than fits is not worth the time
		index := first
		if i%2 == 1 {
			index = second
		}
		if err := r.put(index); err != nil {
			return err
		}
	}
	return nil
}

// literal writes n pixels as they stand, and returns how many bytes they took: always an even number.
func (r *bmpRun) literal(data []byte, n int) (used int64, err error) {
	bytes := (n*r.file.bits + 7) / 8
	if bytes > len(data) {
		return 0, io.ErrUnexpectedEOF
	}
	for i := range n {
		index := data[i*r.file.bits/8]
		if r.file.bits == 4 {
			index = index >> (4 - 4*(i%2)) & 15
		}
		if err := r.put(index); err != nil {
			return 0, fmt.Errorf("in a literal run: %w", err)
		}
	}
	return int64(bytes + bytes&1), nil
}
