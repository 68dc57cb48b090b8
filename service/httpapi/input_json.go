package httpapi

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// readJSON reads {"image": …} or {"images": […]} with parameters beside them. jsontext is what the standard library's
// encoding/json/jsontext will be: it refuses duplicate names and invalid UTF-8, and shows long strings without copying them.
func (in *input) readJSON(body *upload, maxImages int) error {
	data, err := body.all()
	if err != nil {
		return err
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return fail(api.BadRequest, "the JSON begins with a byte-order mark; send UTF-8 without one")
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(data))
	if what := insteadOfJSON(data); what != "" {
		return fail(api.BadRequest, "the body is not JSON: %s", what)
	}
	if decoder.PeekKind() != '{' {
		if _, err := decoder.ReadToken(); err != nil {
			return jsonError(err)
		}
		return fail(api.BadRequest, `the JSON must be an object such as {"image": "<base64>"}`)
	}
	if _, err := decoder.ReadToken(); err != nil {
		return jsonError(err)
	}
	for decoder.PeekKind() != '}' {
		if longName(decoder.UnreadBuffer()) {
			return fail(api.BadParameter, "the JSON has a field whose name is longer than %d bytes; pictures go into image or images, "+
				"and the parameters are %s", maxTextBytes, parameterNames())
		}
		name, err := decoder.ReadToken()
		if err != nil {
			return jsonError(err)
		}
		if err := in.readField(decoder, name.String(), maxImages); err != nil {
			return err
		}
	}
	if _, err := decoder.ReadToken(); err != nil {
		return jsonError(err)
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return fail(api.BadRequest, "the JSON object is followed by something else")
	}
	return nil
}

// longName reports whether the next field's name is longer than any that there is. It is found out before the decoder, and
// its errors, copy the name again and again.
func longName(unread []byte) bool {
	name := bytes.TrimLeft(unread, ", \t\r\n")
	if len(name) <= maxTextBytes || name[0] != '"' {
		return false
	}
	for i := 1; i <= maxTextBytes; i++ {
		switch name[i] {
		case '"':
			return false
		case '\\':
			i++
		}
	}
	return true
}

func (in *input) readField(decoder *jsontext.Decoder, name string, maxImages int) error {
	switch {
	case name != "image" && name != "images":
		if !isParameter(name) {
			return fail(api.BadParameter, "the JSON field %s is unknown; pictures go into image or images, and the parameters are %s", quote(name), parameterNames())
		}
		// Only now is it known what kind of value is wanted; nothing else is read, however deep it is nested.
		if kind := decoder.PeekKind(); kind == '{' || kind == '[' {
			return badParameter(name)
		}
		value, err := decoder.ReadValue()
		if err != nil {
			return jsonError(err)
		}
		return in.parameters.setJSON(name, value)
	case len(in.pictures) > 0 || in.several:
		return fail(api.BadRequest, "the JSON has both image and images; put all pictures into images")
	case name == "image":
		return in.readJSONPicture(decoder, "image must be a string of base64 or a data: URL", maxImages)
	}
	const wanted = "images must be a list of strings of base64 or data: URLs"
	if decoder.PeekKind() != '[' {
		return wrongKind(decoder, wanted)
	}
	in.several = true
	if _, err := decoder.ReadToken(); err != nil {
		return jsonError(err)
	}
	for decoder.PeekKind() != ']' {
		if err := in.readJSONPicture(decoder, wanted, maxImages); err != nil {
			return err
		}
	}
	_, err := decoder.ReadToken()
	if err != nil {
		return jsonError(err)
	}
	return nil
}

func (in *input) readJSONPicture(decoder *jsontext.Decoder, wanted string, maxImages int) error {
	if decoder.PeekKind() != '"' {
		return wrongKind(decoder, wanted)
	}
	value, err := decoder.ReadValue()
	if err != nil {
		return jsonError(err)
	}
	text := []byte(value[1 : len(value)-1])
	if bytes.IndexByte(text, '\\') >= 0 {
		if text, err = jsontext.AppendUnquote(nil, value); err != nil {
			return jsonError(err)
		}
	}
	var p picture
	p.data, p.err = decodeImageText(text)
	return in.add(p, maxImages)
}

// wrongKind tells a value of the wrong kind from no JSON at all.
func wrongKind(decoder *jsontext.Decoder, wanted string) error {
	if decoder.PeekKind() == jsontext.KindInvalid {
		if _, err := decoder.ReadToken(); err != nil {
			return jsonError(err)
		}
	}
	return fail(api.BadRequest, "%s%s", wanted, insteadOfString(decoder))
}

// insteadOfString says what a value is that should be a string of base64. It reads two tokens at most, however deep the value is.
func insteadOfString(decoder *jsontext.Decoder) string {
	const encode = "; encode the bytes as base64"
	switch decoder.PeekKind() {
	case 'n':
		return "; it is null: the variable that should hold the picture is empty"
	case '0':
		return "; it is a number: if it is one byte of a picture, encode all of them together as base64"
	case '{':
		return "; it is an object, which JavaScript makes of a File, a Blob or a Buffer" + encode
	case '[':
		if _, err := decoder.ReadToken(); err == nil && decoder.PeekKind() == '0' {
			return "; it is a list of numbers, one for each byte" + encode
		}
		return "; it is a list: several pictures go into images"
	}
	return ""
}

// insteadOfJSON says what a body is that should be JSON; "" where it is no more than malformed.
func insteadOfJSON(data []byte) string {
	const elsewhere = `; send it with its own Content-Type, such as image/jpeg, or as base64 in {"image": "…"}`
	switch {
	case bytes.HasPrefix(data, []byte("{'")):
		return "it is Python's text for a dict; write json.dumps(…), or with requests json=…"
	case len(data) > 0 && bytes.IndexByte([]byte("{[\" \t\r\n"), data[0]) >= 0: // so it begins as JSON does
		return ""
	case preprocess.FormatOf(data) != "":
		return "it is a picture" + elsewhere
	case isEncoded(data):
		return `it is base64 alone; put it into {"image": "…"}, or send it as text/plain`
	}
	return instead(data)
}

func jsonError(err error) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return fail(api.BadRequest, "the body ends in the middle of the JSON").because(err)
	}
	what := "it is malformed"
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		what = "a field is given twice"
	case strings.Contains(syntax.Err.Error(), "UTF-8"):
		what = "it is not UTF-8"
	case errors.Is(err, io.ErrUnexpectedEOF):
		what = "it ends too early"
	}
	where := ""
	if field := syntax.JSONPointer.LastToken(); field != "" {
		where = " in or near the field " + quote(field)
		if pointer := string(syntax.JSONPointer); pointer == "/image" || strings.HasPrefix(pointer, "/images/") {
			where += "; JSON cannot hold a file's bytes: encode them as base64"
		}
	}
	return fail(api.BadRequest, "the JSON cannot be read: %s, at byte %d%s", what, syntax.ByteOffset, where).because(err)
}
