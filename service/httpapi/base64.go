package httpapi

import (
	"bytes"
	"encoding/base64"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// decodeImageText decodes a picture in JSON or in a form's text field: base64, or a data: URL
// whose media type is ignored, since the bytes say what they are.
func decodeImageText(text []byte) ([]byte, error) {
	if !isDataURL(text) {
		return decodeBase64(text)
	}
	head, data, found := bytes.Cut(text, []byte(","))
	if !found {
		return nil, fail(api.BadBase64, "the data: URL has no comma; it should look like data:image/jpeg;base64,…")
	}
	if !bytes.HasSuffix(bytes.ToLower(head), []byte(";base64")) {
		return nil, fail(api.BadBase64, "the data: URL is not in base64; it should look like data:image/jpeg;base64,…")
	}
	if isDataURL(data) {
		return nil, fail(api.BadBase64, "it is a data: URL within a data: URL; write data:image/jpeg;base64, once")
	}
	return decodeBase64(data)
}

func isDataURL(text []byte) bool {
	const scheme = "data:"
	return len(text) >= len(scheme) && bytes.EqualFold(text[:len(scheme)], []byte(scheme))
}

// decodeBase64 takes the standard alphabet, padded, with line breaks anywhere, which is what
// `base64` prints. Refusals say which of the usual mistakes it is.
func decodeBase64(text []byte) ([]byte, error) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		return nil, fail(api.BadBase64, "the picture is not valid base64: %s", base64Mistake(text)).because(err)
	}
	return data[:n], nil
}

func base64Mistake(text []byte) string {
	if known := instead(text); known != "" {
		return known
	}
	odd := bytes.IndexFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			r == '+' || r == '/' || r == '=' || r == '\r' || r == '\n')
	})
	switch {
	case odd < 0:
		return "its length is wrong; it was cut short, or its padding (=) is missing or misplaced"
	case bytes.Contains(text, []byte("\ufffd")):
		return "the file's bytes were read as text on the way, and cannot be turned back (U+FFFD); " +
			"read the file as bytes, and encode those"
	case text[odd] == '-', text[odd] == '_':
		return "it uses the URL-safe alphabet; write + and / instead of - and _"
	case text[odd] == ' ', text[odd] == '\t':
		return "it holds blanks; line breaks are the only white space allowed"
	case text[odd] == '%':
		return "it is percent-encoded; undo that first"
	case !isText(text):
		return "it holds the file's bytes as they are; encode them as base64"
	}
	return "it holds other characters; to upload a file from curl, write -F file=@picture.jpg with the @"
}

// encodedHead is how much of a text tells whether it is base64 of a picture.
const encodedHead = 64

// isEncoded reports whether text begins as base64 of a picture, or a data: URL of anything, does.
func isEncoded(text []byte) bool {
	if isDataURL(text) {
		return bytes.Contains(bytes.ToLower(text[:min(len(text), 1<<10)]), []byte(";base64,"))
	}
	head := make([]byte, 0, encodedHead)
	for _, c := range text[:min(len(text), 4*encodedHead)] {
		if c != '\r' && c != '\n' && len(head) < encodedHead {
			head = append(head, c)
		}
	}
	data := make([]byte, encodedHead)
	n, _ := base64.StdEncoding.Decode(data, head[:len(head)/4*4]) // what comes before the first error
	return preprocess.FormatOf(data[:n]) != ""
}

// decoded undoes the base64 of a picture that came as text where a file was expected; what is
// none is left as it is.
func decoded(data []byte) []byte {
	if !isEncoded(data) {
		return data
	}
	if picture, err := decodeImageText(bytes.TrimRight(data, " \t\r\n\x00")); err == nil {
		return picture
	}
	return data
}

// isText reports whether data begins as base64, a data: URL or any other text in ASCII might, and
// as no picture does.
func isText(data []byte) bool {
	if isDataURL(data) {
		return true
	}
	for _, c := range data[:min(len(data), 64)] {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
