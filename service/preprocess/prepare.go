package preprocess

import (
	"context"
	"fmt"
	"image"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/vidi-vision/vidi/torchbind"
)

// Preparer prepares pictures, and bounds what all that it works on at the same time cost together. It is safe for concurrent
// use, and needs no closing.
type Preparer struct {
	limits Limits
	memory *semaphore.Weighted // limits.MaxMemory bytes
}

// New returns a Preparer, or everything that is wrong with the limits.
func New(limits Limits) (*Preparer, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	return &Preparer{limits: limits, memory: semaphore.NewWeighted(limits.MaxMemory)}, nil
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
	release, err := p.reserve(ctx, h, turn)
	if err != nil {
		return nil, err
	}
	defer release()

	start := time.Now()
	pixels, warnings, err := decode(h, data, p.limits)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pixels = turn.apply(pixels)
	picture := &Picture{Format: h.format, Warnings: warnings, DecodeTime: time.Since(start)}
	picture.Width, picture.Height = turn.size(h.width, h.height)

	start = time.Now()
	if err := picture.resize(pixels, spec); err != nil {
		return nil, err
	}
	picture.ResizeTime = time.Since(start)
	return picture, nil
}

// resize fills RGB. The target size comes from the picture's own size, also where pixels are fewer.
func (p *Picture) resize(pixels *image.NRGBA, spec Spec) error {
	if min(p.Width, p.Height) < spec.Crop {
		p.Warnings = append(p.Warnings, LowResolution)
	}
	slices.Sort(p.Warnings)
	p.RGB = make([]byte, spec.Crop*spec.Crop*3)
	if err := torchbind.ResizeRGB(pixels, resizeFor(p.Width, p.Height, spec), p.RGB); err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	return nil
}
