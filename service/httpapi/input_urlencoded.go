package httpapi

import (
	"bytes"
	"encoding/hex"
	"regexp"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// formHead is how a URL-encoded form begins, and base64, which has = at its end only, does not.
// Pictures may begin like this too: the header of a GIF of 317 pixels is GIF89a=.
var formHead = regexp.MustCompile(`^[A-Za-z_%][A-Za-z0-9_.\[\]%-]{0,63}=[^=\r\n]`)

// readURLEncoded reads image=…&top_k=5, with base64 in file or image as other services take it.
// curl calls everything that it sends with -d or --data-binary a URL-encoded form, so a body that
// begins otherwise is a bare picture.
func (in *input) readURLEncoded(body *upload, maxImages int) error {
	data, err := body.all()
	if err != nil {
		return err
	}
	if !isURLEncodedForm(data) {
		in.mangled = "curl's -d leaves out line breaks, which damages pictures: write --data-binary, " +
			"or -F file=@picture.jpg"
		in.pictures = []picture{{data: decoded(data)}}
		return nil
	}
	for fields := 0; len(data) > 0; {
		var field []byte
		field, data, _ = bytes.Cut(data, []byte("&"))
		if len(field) == 0 { // as in a=1&&b=2, or at the end
			continue
		}
		if fields++; fields > maxImages+maxTextFields {
			return fail(api.BadRequest, "the form has more than %d fields beside the pictures", maxTextFields)
		}
		name, value, _ := bytes.Cut(field, []byte("="))
		if err := in.readURLEncodedField(name, value, maxImages); err != nil {
			return err
		}
	}
	in.several = len(in.pictures) > 1
	return nil
}

func isURLEncodedForm(data []byte) bool {
	if preprocess.FormatOf(data) != "" {
		return false
	}
	data = bytes.TrimLeft(data, "&")
	name, _, found := bytes.Cut(data[:min(len(data), 32)], []byte("="))
	return formHead.Match(data) || found && isPictureField(string(name))
}

func (in *input) readURLEncodedField(rawName, value []byte, maxImages int) error {
	rawName = rawName[:min(len(rawName), maxTextBytes)] // more is no name that there is, and only shown in part
	name := string(rawName)
	unescaped, ok := unescape(rawName)
	if !ok {
		return fail(api.BadRequest, "the form cannot be read: the name of the field %s is not percent-encoded "+
			"as it should be", quote(name))
	}
	name = string(unescaped)
	value, ok = unescape(value)
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
		return unknownField(name)
	case len(value) > maxTextBytes:
		return badParameter(name)
	}
	return in.parameters.setText(name, string(value))
}

// unescape undoes percent-encoding in place; text is spoilt where that fails. url.QueryUnescape would
// have three copies of a picture in memory.
func unescape(text []byte) ([]byte, bool) {
	n := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '+':
			text[n] = ' '
		case '%':
			if i+2 >= len(text) {
				return nil, false
			}
			if _, err := hex.Decode(text[n:n+1], text[i+1:i+3]); err != nil {
				return nil, false
			}
			i += 2
		default:
			text[n] = c
		}
		n++
	}
	return text[:n], true
}
