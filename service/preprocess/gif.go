package preprocess

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"io"
)

// gifFrame is where the first frame of a GIF lies on its canvas.
type gifFrame struct {
	canvas     image.Point
	rect       image.Rectangle
	interlaced bool
}

func readGIFHeader(r request) (header, error) {
	frame, err := findGIFFrame(r.data)
	if err != nil {
		return header{}, corrupt("gif", err)
	}
	if frame.rect.Empty() {
		return header{}, noPixels("gif")
	}
	w, h := frame.canvas.X, frame.canvas.Y
	if err := checkSize("gif", int64(w), int64(h), r.limits); err != nil {
		return header{}, err
	}
	pixelBytes := 4 * int64(w) * int64(h)
	frameBytes := int64(frame.rect.Dx()) * int64(frame.rect.Dy())
	if frame.interlaced {
		frameBytes *= 2
	}
	return header{
		width: w, height: h, memory: frameBytes + pixelBytes,
		decode: func(m *meter) (*image.NRGBA, []Warning, error) {
			first, err := decodeGIFFrame(m, frame.canvas)
			if err != nil {
				return nil, nil, err
			}
			return onCanvas(first, frame.canvas), nil, nil
		},
	}, nil
}

// findGIFFrame walks to the first image descriptor. A frame that reaches over the canvas makes it larger, as in Pillow.
func findGIFFrame(data []byte) (gifFrame, error) {
	early := errors.New("it ends before its first picture")
	if len(data) < 13 {
		return gifFrame{}, early
	}
	at := 13 + colorTableBytes(data[10])
	for at < len(data) {
		switch data[at] {
		case 0x2c: // image descriptor
			d := data[at+1:]
			if len(d) < 9 {
				return gifFrame{}, early
			}
			u16 := func(i int) int { return int(binary.LittleEndian.Uint16(d[i:])) }
			rect := image.Rectangle{Min: image.Pt(u16(0), u16(2)), Max: image.Pt(u16(0)+u16(4), u16(2)+u16(6))}
			canvas := image.Pt(int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:])))
			return gifFrame{
				canvas:     image.Pt(max(canvas.X, rect.Max.X), max(canvas.Y, rect.Max.Y)),
				rect:       rect,
				interlaced: d[8]&0x40 != 0,
			}, nil
		case 0x21: // extension: a label, then blocks that say how long they are; one of length 0 ends it
			at += 2
			for at < len(data) && data[at] != 0 {
				at += 1 + int(data[at])
			}
			at++
		default:
			return gifFrame{}, fmt.Errorf("unknown block 0x%02x before the first picture", data[at])
		}
	}
	return gifFrame{}, early
}

func colorTableBytes(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (1 + flags&7)
}

// decodeGIFFrame decodes the first frame only: a file of 400 KB can hold a hundred large ones.
func decodeGIFFrame(m *meter, canvas image.Point) (*image.Paletted, error) {
	if canvas.X > 0xffff || canvas.Y > 0xffff {
		return nil, corrupt("gif", fmt.Errorf("the first frame reaches to %v", canvas))
	}
	head := bytes.Clone(m.data[:13])
	binary.LittleEndian.PutUint16(head[6:], uint16(canvas.X))
	binary.LittleEndian.PutUint16(head[8:], uint16(canvas.Y))
	m.at = len(head)
	img, err := gif.Decode(io.MultiReader(bytes.NewReader(head), m))
	if err != nil {
		return nil, corrupt("gif", err)
	}
	frame, ok := img.(*image.Paletted)
	if !ok || frame.Rect.Empty() {
		return nil, corrupt("gif", fmt.Errorf("the decoder gave a %T of %v", img, img.Bounds()))
	}
	return frame, nil
}

// onCanvas puts the frame in its place. As in Pillow, what it leaves free is white where the frame has a transparent colour,
// and otherwise the palette's first colour.
func onCanvas(frame *image.Paletted, canvas image.Point) *image.NRGBA {
	table := paletteTable(frame.Palette)
	fill := table[0]
	for _, c := range frame.Palette {
		if c == nil {
			continue
		}
		if _, _, _, a := c.RGBA(); a == 0 {
			fill = [4]byte{0xff, 0xff, 0xff, 0xff}
		}
	}
	out := image.NewNRGBA(image.Rectangle{Max: canvas})
	if frame.Rect != out.Rect {
		for i := 0; i < len(out.Pix); i += 4 {
			copy(out.Pix[i:], fill[:])
		}
	}
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		dst := out.Pix[out.PixOffset(frame.Rect.Min.X, y):]
		src := frame.Pix[frame.PixOffset(frame.Rect.Min.X, y):]
		for x, index := range src[:frame.Rect.Dx()] {
			copy(dst[4*x:4*x+4], table[index][:])
		}
	}
	return out
}
