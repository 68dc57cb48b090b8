package trial

import (
	"fmt"
	"time"

	"github.com/vidi-vision/vidi/service/model"
)

// rectangles are sizes of inputs that are not square, as height and width: people, cars, text, frames of cameras.
var rectangles = []model.Crop{
	{Height: 256, Width: 128}, {Height: 128, Width: 64}, {Height: 384, Width: 128}, {Height: 192, Width: 256}, {Height: 256, Width: 192},
	{Height: 480, Width: 640}, {Height: 640, Width: 480}, {Height: 240, Width: 320}, {Height: 320, Width: 240}, {Height: 224, Width: 320},
	{Height: 320, Width: 224}, {Height: 384, Width: 288}, {Height: 288, Width: 384}, {Height: 512, Width: 256}, {Height: 128, Width: 256},
	{Height: 112, Width: 96}, {Height: 96, Width: 64}, {Height: 64, Width: 96}, {Height: 64, Width: 128}, {Height: 32, Width: 100},
	{Height: 48, Width: 64}, {Height: 64, Width: 48}, {Height: 360, Width: 640}, {Height: 384, Width: 640},
}

// findRectangle finds an input that is not square, if none was asked for.
func (x *examination) findRectangle() bool {
	if x.report.Input.Crop != (model.Crop{}) {
		return false
	}
	for _, crop := range rectangles {
		if outputs, err := x.runs(crop); err == nil {
			x.found(crop, outputs)
			return true
		}
	}
	return false
}

// otherBatch explains a network that was traced for some images at a time. It stops looking after some seconds: the reason is for
// people, and the trial's time is bounded.
func (x *examination) otherBatch() error {
	const patience = 10 * time.Second
	begun := time.Now()
	for _, side := range []int64{224, 32, 256, 64, 96, 128, 299, 384} {
		for _, batch := range []int64{8, 16, 32, 4, 2, 64} {
			if time.Since(begun) > patience {
				return nil
			}
			if x.probe.Takes(x.ctx, batch, 3, side, side) {
				return &Refusal{
					Why: fmt.Sprintf("was traced for a batch of %d images: it computes %d × 3 × %d × %d, but not one image", batch, batch, side, side),
					Do:  fmt.Sprintf("Trace it for one:  torch.jit.trace(model.eval(), torch.rand(1, 3, %d, %d)).save(\"model.pt\")", side, side),
				}
			}
		}
	}
	return nil
}
