package preprocess

import (
	"fmt"
	"image"
)

// fromYCbCr turns a lossy WebP's planes into pixels as libwebp does, and so Pillow: chroma is interpolated between its
// samples ("fancy upsampling"), and YUV of the video range becomes RGB in libwebp's fixed-point arithmetic. Go's
// image.YCbCr would repeat each chroma sample and read full-range YUV. alpha may be nil.
func fromYCbCr(img *image.YCbCr, alpha []byte, alphaStride int) (*image.NRGBA, error) {
	if img.SubsampleRatio != image.YCbCrSubsampleRatio420 || img.Rect.Min != (image.Point{}) {
		return nil, fmt.Errorf("the decoder gave chroma %v of %v", img.SubsampleRatio, img.Rect)
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	chromaRows := (h + 1) / 2
	u, v := make([]byte, w), make([]byte, w)
	for y := range h {
		// A row lies a quarter of a chroma row away from its own chroma row, on the side of the other one.
		near, far := y/2, y/2+1
		if y%2 == 0 {
			far = y/2 - 1
		}
		far = min(max(far, 0), chromaRows-1)
		upsampleRow(u, img.Cb[near*img.CStride:], img.Cb[far*img.CStride:])
		upsampleRow(v, img.Cr[near*img.CStride:], img.Cr[far*img.CStride:])
		dst := out.Pix[y*out.Stride : (y+1)*out.Stride]
		yuvRow(dst, img.Y[y*img.YStride:], u, v)
		if alpha != nil {
			blendRow(dst, alpha[y*alphaStride:])
		}
	}
	return out, nil
}

// upsampleRow makes a full row of chroma from the row it lies in and the next nearest, with weights 9, 3, 3 and 1 of 16 in
// libwebp's rounding (src/dsp/upsampling.c).
func upsampleRow(dst, near, far []byte) {
	n := len(dst)
	l, tl := int(near[0]), int(far[0])
	dst[0] = byte((3*l + tl + 2) >> 2)
	for x := 1; x <= (n-1)/2; x++ {
		c, t := int(near[x]), int(far[x])
		sum := tl + t + l + c + 8
		rising, falling := (sum+2*(t+l))>>3, (sum+2*(tl+c))>>3
		dst[2*x-1] = byte((falling + l) >> 1)
		dst[2*x] = byte((rising + c) >> 1)
		l, tl = c, t
	}
	if n%2 == 0 {
		dst[n-1] = byte((3*l + tl + 2) >> 2)
	}
}

// yuvRow is libwebp's VP8YuvToRgb (src/dsp/yuv.h).
func yuvRow(dst, luma, u, v []byte) {
	luma, v = luma[:len(u)], v[:len(u)]
	for i := range u {
		y, cb, cr := int(luma[i])*19077>>8, int(u[i]), int(v[i])
		dst[0] = clip6(y + cr*26149>>8 - 14234)
		dst[1] = clip6(y - cb*6419>>8 - cr*13320>>8 + 8708)
		dst[2] = clip6(y + cb*33050>>8 - 17685)
		dst[3] = 0xff
		dst = dst[4:]
	}
}

// clip6 drops 6 bits of fraction and keeps within a byte.
func clip6(v int) byte { return byte(min(max(v>>6, 0), 255)) }

func blendRow(dst, alpha []byte) {
	for i := 0; i < len(dst); i += 4 {
		if a := alpha[i/4]; a != 0xff {
			dst[i], dst[i+1], dst[i+2] = straightPixel(dst[i], dst[i+1], dst[i+2], a)
		}
	}
}
