package preprocess

import (
	"errors"
	"fmt"

	"github.com/vidi-vision/vidi/service/codec"
)

func refuse(code Code, cause error, detail string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(detail, args...), Err: cause}
}

func tooLarge(width, height int, maxPixels int64) *Error {
	return refuse(ImageTooLarge, nil, "the picture has %d × %d pixels, more than the limit of %.4g million; send a smaller copy",
		width, height, float64(maxPixels)/1e6)
}

func tooComplex(cause error, what string) *Error {
	return refuse(ImageTooComplex, cause, "%s; save the picture again, as an ordinary JPEG or PNG of the size you need", what)
}

func corrupt(format string, cause error) *Error {
	return refuse(CorruptImage, cause, "the %s is damaged or incomplete; send the original file again", formatNames[format])
}

func noPixels(format string) *Error {
	return refuse(CorruptImage, nil, "the %s says that it has no pixels; send the original file again", formatNames[format])
}

func unsupportedVariant(format string, cause error, what string) *Error {
	return refuse(UnsupportedVariant, cause, "this is a %s with %s, which vidi does not read; save it as an ordinary JPEG or PNG",
		formatNames[format], what)
}

// fromCodec turns the shim's refusal of a picture into ours. What is not the picture's fault stays as it is.
func fromCodec(err error, format string, width, height int, limits Limits) error {
	switch {
	case errors.Is(err, codec.CorruptImage):
		return corrupt(format, err)
	case errors.Is(err, codec.UnsupportedImage):
		return unsupportedVariant(format, err, "a rare kind of compression or of colours")
	case errors.Is(err, codec.ImageTooLarge) && width == 0: // the decoder's own limit, which it meets while it reads the header
		return refuse(ImageTooLarge, err, "the %s has a side of more than 65500 pixels; send a smaller copy", formatNames[format])
	case errors.Is(err, codec.ImageTooLarge):
		return tooLarge(width, height, limits.MaxPixels)
	case errors.Is(err, codec.ImageTooComplex):
		return tooComplex(err, "decoding the "+formatNames[format]+" would take more time or memory than allowed")
	}
	return fmt.Errorf("preprocess: %w", err)
}
