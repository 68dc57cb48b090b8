package httpapi

import (
	"bytes"
	"net/url"
	"regexp"

	"github.com/vidi-vision/vidi/service/api"
)

// formHead is how a URL-encoded form begins, and base64, which has = at its end only, does not.
var formHead = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}=[^=\r\n]`)

// readURLEncoded reads image=…&top_k=5, with base64 in file or image as other services take it.
// curl calls everything that it sends with -d or --data-binary a URL-encoded form, so a body that
// begins otherwise is a bare picture.
func (in *input) readURLEncoded(body *upload, maxImages int) error {
	data, err := body.all()
	if err != nil {
		return err
	}
	name, _, found := bytes.Cut(data[:min(len(data), 32)], []byte("="))
	if !formHead.Match(data) && (!found || !isPictureField(string(name))) {
		in.mangled = "curl's -d leaves out line breaks, which damages pictures: write --data-binary, " +
			"or -F file=@picture.jpg"
		in.pictures = []picture{{data: decoded(data)}}
		return nil
	}
	for fields := 1; len(data) > 0; fields++ {
		if fields > maxImages+maxTextFields {
			return fail(api.BadRequest, "the form has more than %d fields beside the pictures", maxTextFields)
		}
		var field []byte
		field, data, _ = bytes.Cut(data, []byte("&"))
		name, value, _ := bytes.Cut(field, []byte("="))
		if err := in.readURLEncodedField(string(name), value, maxImages); err != nil {
			return err
		}
	}
	in.several = len(in.pictures) > 1
	return nil
}

func (in *input) readURLEncodedField(name string, value []byte, maxImages int) error {
	value, ok := unescape(value)
	switch {
	case !ok:
		return fail(api.BadRequest, "the form cannot be read: the value of %s is not percent-encoded as it should be",
			quote(name))
	case isPictureField(name):
		if len(in.pictures) == maxImages {
			return tooManyImages(maxImages)
		}
		p := picture{data: value}
		if isText(value) {
			// A + that was not percent-encoded has become a blank, and base64 has no blanks.
			p.data, p.err = decodeImageText(bytes.ReplaceAll(value, []byte(" "), []byte("+")))
		}
		return in.add(p, maxImages)
	case !isParameter(name):
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped
		}
		return unknownField(name)
	case len(value) > maxTextBytes:
		return badParameter(name)
	}
	return in.parameters.setText(name, string(value))
}

// unescape undoes percent-encoding in place.
func unescape(text []byte) ([]byte, bool) {
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(text) {
				return nil, false
			}
			high, low := hexDigit(text[i+1]), hexDigit(text[i+2])
			if high < 0 || low < 0 {
				return nil, false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		text[n] = c
		n++
	}
	return text[:n], true
}

func hexDigit(c byte) int { return bytes.IndexByte([]byte("0123456789abcdef"), c|0x20) }
