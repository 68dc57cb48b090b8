package preprocess

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"time"

	"golang.org/x/image/webp"
)

// What decoding a pixel takes at most: the one decoder that a meter cannot end, since 50 bytes can hold a picture of any size,
// with transforms that touch every pixel. Measured with such files on a server CPU of 2023: 50 and 25 ns. So with the default
// limits a lossless WebP may have 33 megapixels, a lossy one with alpha 22.
const (
	webpLosslessPixel = 60 * time.Nanosecond
	webpLossyPixel    = 30 * time.Nanosecond
)

// What a lossless picture's groups of prefix codes take, of which 4 × 4 pixels may have one of their own: the decoder's most, the
// bytes of a group with full alphabets and the largest colour cache, and how few bytes of the file can hold such a group.
const (
	webpMostGroups  = 2600
	webpGroupMemory = 52 << 10
	webpGroupBytes  = 16
)

// webpFile is the still picture of a WebP file, or the first one of an animation, as a file of its own.
type webpFile struct {
	canvas   image.Point
	rect     image.Rectangle // where on the canvas the picture lies
	file     []byte          // for the decoder
	lossless bool
	alpha    bool // whether its alpha is to be believed
}

func readWebPHeader(r request) (header, error) {
	f, err := findWebP(r.data)
	if err != nil {
		return header{}, corrupt("webp", err)
	}
	w, h := f.canvas.X, f.canvas.Y
	if err := checkSize("webp", int64(w), int64(h), r.limits); err != nil {
		return header{}, err
	}
	if !f.rect.In(image.Rectangle{Max: f.canvas}) || f.rect.Empty() {
		return header{}, corrupt("webp", fmt.Errorf("a frame of %v on a canvas of %v", f.rect, f.canvas))
	}
	pixels := int64(w) * int64(h)
	framePixels := int64(f.rect.Dx()) * int64(f.rect.Dy())
	// Lossless: the pixels, a copy for the palette transform, and tables for every 4 × 4 pixels. Lossy: planes with 1.5 bytes
	// a pixel; alpha is a lossless picture of its own.
	memory := framePixels*3/2 + 4*pixels + int64(len(r.data))
	cpu := time.Duration(framePixels) * webpLossyPixel
	if f.lossless || f.alpha {
		memory += 9*framePixels + webpGroupMemory*min(webpMostGroups, framePixels/16+1, int64(len(r.data))/webpGroupBytes)
		cpu = time.Duration(framePixels) * webpLosslessPixel
	}
	if f.alpha && !f.lossless {
		cpu += time.Duration(framePixels) * webpLossyPixel
	}
	return header{
		width: w, height: h, memory: memory, cpu: cpu,
		decode: func(m *meter) (*image.NRGBA, []Warning, error) {
			pixels, err := decodeWebP(m, f)
			return pixels, nil, err
		},
	}, nil
}

// riffChunk is a piece of a WebP file; body is shorter than it should be where the file ends early.
type riffChunk struct {
	name string
	body []byte
}

// riffChunks yields the chunks one after the other.
func riffChunks(data []byte) func(yield func(riffChunk) bool) {
	return func(yield func(riffChunk) bool) {
		for len(data) >= 8 {
			size := int64(binary.LittleEndian.Uint32(data[4:]))
			end := min(8+size, int64(len(data)))
			if !yield(riffChunk{string(data[:4]), data[8:end]}) {
				return
			}
			data = data[min(end+size&1, int64(len(data))):]
		}
	}
}

func findWebP(data []byte) (webpFile, error) {
	var f webpFile
	extended := false
	for chunk := range riffChunks(data[12:]) {
		switch chunk.name {
		case "VP8X":
			if len(chunk.body) < 10 {
				return f, io.ErrUnexpectedEOF
			}
			extended = true
			f.alpha = chunk.body[0]&0x10 != 0
			f.canvas = image.Pt(1+u24(chunk.body[4:]), 1+u24(chunk.body[7:]))
		case "ANMF":
			return f, f.useFrame(chunk.body)
		case "VP8 ", "VP8L":
			size, alpha, err := bitstreamSize(chunk)
			if err != nil {
				return f, err
			}
			if !extended {
				f.canvas, f.alpha = size, alpha
			}
			f.lossless = chunk.name == "VP8L"
			f.rect, f.file = image.Rectangle{Max: size}, data
			if size != f.canvas {
				return f, fmt.Errorf("a picture of %v on a canvas of %v", size, f.canvas)
			}
			return f, nil
		}
	}
	return f, errors.New("it has no picture")
}

// useFrame makes a file of the animation frame in an ANMF chunk.
func (f *webpFile) useFrame(body []byte) error {
	if len(body) < 16 {
		return io.ErrUnexpectedEOF
	}
	x, y := 2*u24(body), 2*u24(body[3:])
	size := image.Pt(1+u24(body[6:]), 1+u24(body[9:]))
	f.rect = image.Rectangle{Min: image.Pt(x, y), Max: image.Pt(x, y).Add(size)}
	var alpha byte
	for chunk := range riffChunks(body[16:]) {
		switch chunk.name {
		case "ALPH":
			alpha = 0x10
		case "VP8 ", "VP8L":
			got, _, err := bitstreamSize(chunk)
			if err != nil {
				return err
			}
			if got != size {
				return fmt.Errorf("a frame of %v in a frame of %v", got, size)
			}
			f.lossless = chunk.name == "VP8L"
		}
	}
	vp8x := []byte("VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	vp8x[8] = alpha
	copy(vp8x[12:15], body[6:9])
	copy(vp8x[15:18], body[9:12])
	f.file = bytes.Join([][]byte{[]byte("RIFF\x00\x00\x00\x00WEBP"), vp8x, body[16:]}, nil)
	binary.LittleEndian.PutUint32(f.file[4:], uint32(len(f.file)-8))
	return nil
}

// bitstreamSize reads what the compressed picture itself says of its size, and whether it has alpha.
func bitstreamSize(chunk riffChunk) (size image.Point, alpha bool, err error) {
	b := chunk.body
	if chunk.name == "VP8 " {
		if len(b) < 10 || string(b[3:6]) != "\x9d\x01\x2a" {
			return size, false, errors.New("no VP8 key frame")
		}
		u16 := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
		return image.Pt(u16(6)&0x3fff, u16(8)&0x3fff), false, nil
	}
	if len(b) < 5 || b[0] != 0x2f {
		return size, false, errors.New("no VP8L header")
	}
	bits := binary.LittleEndian.Uint32(b[1:])
	return image.Pt(int(1+bits&0x3fff), int(1+bits>>14&0x3fff)), bits>>28&1 == 1, nil
}

func u24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func decodeWebP(m *meter, f webpFile) (*image.NRGBA, error) {
	m.data = f.file
	img, err := webp.Decode(m)
	if err != nil {
		return nil, corrupt("webp", err)
	}
	if img.Bounds().Size() != f.rect.Size() {
		return nil, corrupt("webp", fmt.Errorf("the header says %v, the decoder %v", f.rect, img.Bounds()))
	}
	if !f.alpha {
		forgetAlpha(img)
	}
	pixels, err := overWhite(img)
	if err != nil {
		return nil, corrupt("webp", err)
	}
	if f.rect.Max == f.canvas && f.rect.Min == (image.Point{}) {
		return pixels, nil
	}
	return placed(pixels, f), nil
}

// forgetAlpha makes a lossless picture opaque whose header says that its alpha means nothing.
func forgetAlpha(img image.Image) {
	if img, ok := img.(*image.NRGBA); ok {
		for i := 3; i < len(img.Pix); i += 4 {
			img.Pix[i] = 0xff
		}
	}
}

// placed puts a frame on its canvas, which is transparent where the file has alpha, and otherwise black.
func placed(frame *image.NRGBA, f webpFile) *image.NRGBA {
	out := image.NewNRGBA(image.Rectangle{Max: f.canvas})
	fill := [4]byte{0, 0, 0, 0xff}
	if f.alpha {
		fill = [4]byte{0xff, 0xff, 0xff, 0xff}
	}
	for i := 0; i < len(out.Pix); i += 4 {
		copy(out.Pix[i:], fill[:])
	}
	for y := range f.rect.Dy() {
		copy(out.Pix[out.PixOffset(f.rect.Min.X, f.rect.Min.Y+y):], frame.Pix[y*frame.Stride:(y+1)*frame.Stride])
	}
	return out
}
