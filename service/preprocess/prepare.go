package preprocess

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
)

// Preparer prepares pictures. It is safe for concurrent use, and needs no closing.
type Preparer struct {
	limits Limits
	rgb    sync.Pool // of *[]byte, from pictures that were released
}

// New returns a Preparer, or everything that is wrong with the limits, or why the library that decodes cannot be opened.
func New(limits Limits) (*Preparer, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	if err := codec.Open(); err != nil {
		return nil, err
	}
	return &Preparer{limits: limits}, nil
}

// Prepare turns the bytes of a picture into what the spec wants. Whatever is wrong with the picture comes back as an [*Error]; other
// errors are those of ctx, of a spec that is not valid, and of the machine.
func (p *Preparer) Prepare(ctx context.Context, data []byte, spec Spec, o Options) (*Picture, error) {
	seen, err := p.Look(data, spec, o)
	if err != nil {
		return nil, err
	}
	return p.Decode(ctx, seen)
}

// Seen is a picture whose header promises that it can be prepared.
type Seen struct {
	header  header
	data    []byte
	spec    Spec
	options Options
}

// Memory is how many bytes decoding it takes at most. Who decodes several at the same time bounds
// the sum.
func (s *Seen) Memory() int64 { return s.header.memory }

// Look is the first half of Prepare, which costs next to nothing.
func (p *Preparer) Look(data []byte, spec Spec, o Options) (*Seen, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	h, err := readHeader(data, spec, o, p.limits)
	if err != nil {
		return nil, err
	}
	if h.memory > p.limits.MaxMemory {
		return nil, tooComplex(fmt.Errorf("it needs %d bytes of at most %d", h.memory, p.limits.MaxMemory),
			"decoding the picture would take more memory than allowed")
	}
	return &Seen{header: h, data: data, spec: spec, options: o}, nil
}

// Decode is the second half of Prepare.
func (p *Preparer) Decode(ctx context.Context, seen *Seen) (*Picture, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, data, spec := seen.header, seen.data, seen.spec
	turn := orientation(1)
	if !seen.options.IgnoreEXIF {
		turn = readOrientation(h.format, data)
	}
	picture := &Picture{Format: h.format, RGB: p.room(spec.Crop.Height * spec.Crop.Width * 3)}
	picture.Width, picture.Height = turn.size(h.width, h.height)
	if picture.Width < spec.Crop.Width || picture.Height < spec.Crop.Height {
		picture.Warnings = append(picture.Warnings, LowResolution)
	}
	// The target size comes from the picture's own size, also where the decoder makes fewer pixels.
	resize := resizeFor(picture.Width, picture.Height, spec)
	resize.Orientation = int(turn)
	var err error
	if h.stream != nil {
		err = picture.stream(h, data, resize)
	} else {
		err = picture.decode(ctx, h, data, p.limits, resize)
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(picture.Warnings)
	return picture, nil
}

// room is where a picture's pixels go. Without what Release has given back, these would be most of a server's garbage.
func (p *Preparer) room(size int) []byte {
	if old, _ := p.rgb.Get().(*[]byte); old != nil && len(*old) == size { // a larger one would be kept for ever by smaller pictures
		return *old
	}
	return make([]byte, size)
}

// Release takes the picture's RGB away from it and gives its memory to pictures to come. It may be left out.
func (p *Preparer) Release(picture *Picture) {
	rgb := picture.RGB
	picture.RGB = nil
	p.rgb.Put(&rgb)
}

// stream fills the picture without its pixels ever being in memory.
func (p *Picture) stream(h header, data []byte, r codec.Resize) error {
	start := time.Now()
	warnings, resizeTime, err := h.stream(data, r, p.RGB)
	if err != nil {
		return err
	}
	p.Warnings = append(p.Warnings, warnings...)
	p.ResizeTime = resizeTime
	p.DecodeTime = time.Since(start) - resizeTime
	return nil
}

// decode fills the picture from its decoded pixels.
func (p *Picture) decode(ctx context.Context, h header, data []byte, limits Limits, r codec.Resize) error {
	start := time.Now()
	pixels, warnings, err := decode(h, data, limits)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.Warnings = append(p.Warnings, warnings...)
	p.DecodeTime = time.Since(start)

	start = time.Now()
	if err := codec.ResizeRGB(pixels, r, p.RGB); err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	p.ResizeTime = time.Since(start)
	return nil
}
