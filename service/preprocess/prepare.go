package preprocess

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/vidi-vision/vidi/torchbind"
)

// Preparer prepares pictures, and bounds what all that it works on at the same time cost together. It is safe for concurrent
// use, and needs no closing.
type Preparer struct {
	limits Limits
	memory *semaphore.Weighted // limits.MaxMemory bytes
	small  *semaphore.Weighted // as many again / smallMemory, for pictures that would wait behind large ones
	rgb    sync.Pool           // of *[]byte, from pictures that were released
}

// New returns a Preparer, or everything that is wrong with the limits.
func New(limits Limits) (*Preparer, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	return &Preparer{limits: limits, memory: semaphore.NewWeighted(limits.MaxMemory),
		small: semaphore.NewWeighted(limits.MaxMemory / smallMemory)}, nil
}

// Prepare turns the bytes of a picture into what the spec wants. It waits for memory while other pictures are being decoded,
// until ctx ends. Whatever is wrong with the picture comes back as an [*Error]; other errors are those of ctx, of a spec
// that is not valid, and of the machine.
func (p *Preparer) Prepare(ctx context.Context, data []byte, spec Spec, o Options) (*Picture, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	h, err := readHeader(data, spec, o, p.limits)
	if err != nil {
		return nil, err
	}
	turn := orientation(1)
	if !o.IgnoreEXIF {
		turn = readOrientation(h.format, data)
	}
	release, err := p.reserve(ctx, h.memory)
	if err != nil {
		return nil, err
	}
	defer release()

	picture := &Picture{Format: h.format, RGB: p.room(spec.Crop.Height * spec.Crop.Width * 3)}
	picture.Width, picture.Height = turn.size(h.width, h.height)
	if picture.Width < spec.Crop.Width || picture.Height < spec.Crop.Height {
		picture.Warnings = append(picture.Warnings, LowResolution)
	}
	// The target size comes from the picture's own size, also where the decoder makes fewer pixels.
	resize := resizeFor(picture.Width, picture.Height, spec)
	resize.Orientation = int(turn)
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
func (p *Picture) stream(h header, data []byte, r torchbind.Resize) error {
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
func (p *Picture) decode(ctx context.Context, h header, data []byte, limits Limits, r torchbind.Resize) error {
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
	if err := torchbind.ResizeRGB(pixels, r, p.RGB); err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	p.ResizeTime = time.Since(start)
	return nil
}
