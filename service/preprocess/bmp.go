package preprocess

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// BMP is read here and not with golang.org/x/image/bmp, which knows neither the old OS/2 header, nor 16 bits, bit fields and
// run lengths, nor gaps before the pixels: Windows programs write them all, and Pillow reads them.

// The compressions of BMP.
const (
	bmpRaw       = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpBitFields = 3
)

// bmpFile is a BMP's header, checked.
type bmpFile struct {
	width, height int
	topDown       bool
	bits          int // of a pixel: 1, 4, 8, 16, 24, 32
	compression   uint32
	palette       [][4]byte
	layout        bmpLayout // where the colours lie, for more than 8 bits
	pixels        int64     // offset in the file
	opaque        bool      // whatever the alpha channel says
}

// bmpLayout says where in a pixel the colours lie.
type bmpLayout int

const (
	bgr bmpLayout = iota // in 24 or 32 bits
	bgra
	rgba
	xbgr
	abgr
	rgb555 // in 16 bits
	rgb565
)

// bmpMasks are the bit fields that Pillow reads: red, green, blue and alpha, for bits of a pixel.
var bmpMasks = map[int]map[[4]uint32]bmpLayout{
	32: {
		{0xff0000, 0xff00, 0xff, 0}:          bgr,
		{0xff000000, 0xff0000, 0xff00, 0}:    xbgr,
		{0xff000000, 0xff0000, 0xff00, 0xff}: abgr,
		{0xff, 0xff00, 0xff0000, 0xff000000}: rgba,
		{0xff0000, 0xff00, 0xff, 0xff000000}: bgra,
		{0, 0, 0, 0}:                         bgra,
	},
	24: {{0xff0000, 0xff00, 0xff, 0}: bgr},
	16: {{0xf800, 0x7e0, 0x1f, 0}: rgb565, {0x7c00, 0x3e0, 0x1f, 0}: rgb555},
}

func readBMPHeader(r request) (header, error) {
	f, err := parseBMP(r)
	if err != nil {
		return header{}, err
	}
	pixelBytes := 4 * int64(f.width) * int64(f.height)
	return header{
		width: f.width, height: f.height, memory: pixelBytes,
		decode: func(m *meter) (*image.NRGBA, []Warning, error) {
			out := image.NewNRGBA(image.Rect(0, 0, f.width, f.height))
			if err := f.decode(m.data, out); err != nil {
				return nil, nil, corrupt("bmp", err)
			}
			return out, nil, nil
		},
	}, nil
}

func parseBMP(r request) (bmpFile, error) {
	early := corrupt("bmp", errors.New("the header is cut off"))
	const fileHeader = 14
	if len(r.data) < fileHeader+4 {
		return bmpFile{}, early
	}
	f := bmpFile{pixels: int64(binary.LittleEndian.Uint32(r.data[10:]))}
	size := int64(binary.LittleEndian.Uint32(r.data[fileHeader:]))
	switch size {
	case 12, 40, 64, 108, 124:
	default:
		return bmpFile{}, unsupportedVariant("bmp", nil, fmt.Sprintf("a header of %d bytes", size))
	}
	if fileHeader+size > int64(len(r.data)) {
		return bmpFile{}, early
	}
	info := r.data[fileHeader : fileHeader+size]
	after := r.data[fileHeader+size:]
	colors, err := f.readInfo(info, r.limits)
	if err != nil {
		return bmpFile{}, err
	}
	masks := info[min(40, len(info)):]
	if f.compression == bmpBitFields && size == 40 { // then the masks follow the header
		if len(after) < 12 {
			return bmpFile{}, early
		}
		masks, after = after[:12], after[12:]
	}
	if err := f.chooseLayout(masks); err != nil {
		return bmpFile{}, err
	}
	if f.bits <= 8 {
		entry := 4
		if size == 12 {
			entry = 3
		}
		if f.pixels == fileHeader+size { // some writers forget the palette here
			f.pixels += 4 * colors
		}
		if int64(len(after)) < int64(entry)*colors {
			return bmpFile{}, early
		}
		f.palette = bmpPalette(after, int(colors), entry)
	}
	if f.pixels == 0 {
		f.pixels = int64(len(r.data)-len(after)) + int64(len(f.palette))*4
	}
	if f.pixels+f.leastBytes() > int64(len(r.data)) {
		return bmpFile{}, corrupt("bmp", io.ErrUnexpectedEOF)
	}
	return f, nil
}

// readInfo reads the fields up to the number of colours, which it returns.
func (f *bmpFile) readInfo(info []byte, limits Limits) (colors int64, err error) {
	u16 := func(i int) int { return int(binary.LittleEndian.Uint16(info[i:])) }
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(info[i:]) }
	var width, height int64
	if len(info) == 12 {
		width, height, f.bits = int64(u16(4)), int64(u16(6)), u16(10)
	} else {
		width, height, f.bits, f.compression = int64(int32(u32(4))), int64(int32(u32(8))), u16(14), u32(16)
		colors = int64(u32(32))
	}
	if height < 0 {
		height, f.topDown = -height, true
	}
	if err := checkSize("bmp", width, height, limits); err != nil {
		return 0, err
	}
	f.width, f.height = int(width), int(height)
	if colors == 0 && f.bits <= 8 {
		colors = 1 << f.bits
	}
	if f.bits <= 8 && colors > 256 {
		return 0, corrupt("bmp", fmt.Errorf("%d colours in %d bits", colors, f.bits))
	}
	return colors, nil
}

// chooseLayout refuses what cannot be read.
func (f *bmpFile) chooseLayout(masks []byte) error {
	switch f.bits {
	case 1, 4, 8, 24, 32:
	case 16:
		f.layout = rgb555
	default:
		return unsupportedVariant("bmp", nil, fmt.Sprintf("%d bits a pixel", f.bits))
	}
	switch {
	case f.compression == bmpRaw, f.compression == bmpRLE8 && f.bits == 8, f.compression == bmpRLE4 && f.bits == 4:
		return nil
	case f.compression == bmpBitFields && f.bits > 8:
		var m [4]uint32
		for i := range min(len(masks)/4, 4) {
			m[i] = binary.LittleEndian.Uint32(masks[4*i:])
		}
		if f.bits != 32 {
			m[3] = 0 // Pillow ignores alpha there
		}
		layout, ok := bmpMasks[f.bits][m]
		if !ok {
			return unsupportedVariant("bmp", nil, fmt.Sprintf("bit fields %x", m))
		}
		f.layout = layout
		return nil
	}
	return unsupportedVariant("bmp", nil, fmt.Sprintf("compression %d of %d bits a pixel", f.compression, f.bits))
}

func bmpPalette(data []byte, colors, entry int) [][4]byte {
	palette := make([][4]byte, colors)
	for i := range palette {
		e := data[i*entry:]
		palette[i] = [4]byte{e[2], e[1], e[0], 0xff}
	}
	return palette
}
