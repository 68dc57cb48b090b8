package eval

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/jpeg"
)

// Thumbnail is an image of height rows of width × 3 bytes of RGB as a JPEG; nil where it cannot be made.
func Thumbnail(rgb []byte, width, height int) []byte {
	if len(rgb) != width*height*3 {
		return nil
	}
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		copy(picture.Pix[4*i:], rgb[3*i:3*i+3])
		picture.Pix[4*i+3] = 255
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 80}); err != nil {
		return nil
	}
	return b.Bytes()
}

func dataURL(contentType string, data []byte) template.URL {
	return template.URL("data:" + contentType + ";base64," + base64.StdEncoding.EncodeToString(data))
}
