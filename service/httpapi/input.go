package httpapi

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// input is what a request asks for.
type input struct {
	pictures   []picture
	several    bool // each picture answers for itself, even if it is the only one in its list
	parameters parameters
	hint       string // what to try if the picture is none
}

// picture is one picture of a request: its bytes, or why there are none.
type picture struct {
	filename string
	data     []byte
	err      error
}

// readInput reads a request in any of its forms: a multipart form, JSON, or, for every other Content-Type, a bare picture.
func (s *Server) readInput(req *http.Request, body *upload) (*input, error) {
	if encoding := req.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, fail(api.UnsupportedMediaType, "the body has a Content-Encoding; send it as it is (pictures are compressed already)")
	}
	in := &input{parameters: s.defaults()}
	if err := in.parameters.readQuery(req.URL.RawQuery); err != nil {
		return nil, err
	}
	if err := body.announced(); err != nil {
		return nil, err
	}
	mediaType, attributes, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil { // its parameters are malformed, but its type may be clear
		mediaType, _, _ = strings.Cut(strings.ToLower(req.Header.Get("Content-Type")), ";")
		mediaType = strings.TrimSpace(mediaType)
	}
	switch {
	case strings.HasPrefix(mediaType, "multipart/"):
		err = in.readMultipart(body, attributes["boundary"], s.cfg.MaxImages)
	case mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
		err = in.readJSON(body, s.cfg.MaxImages)
	default:
		err = in.readRaw(body)
	}
	if body.failure != nil { // whatever a parser made of it
		return nil, body.failure
	}
	if err != nil {
		return nil, err
	}
	if len(in.pictures) == 0 {
		return nil, fail(api.NoImage, "the request holds no picture; put one into the form field file, into the JSON field image, or make it the body")
	}
	return in, nil
}

func (in *input) readRaw(body *upload) error {
	data, err := body.all()
	if err != nil {
		return err
	}
	if bytes.HasPrefix(bytes.TrimLeft(data[:min(len(data), 64)], " \t\r\n"), []byte("{")) {
		in.hint = "if the body is JSON, send the header Content-Type: application/json"
	}
	in.pictures = []picture{{data: data}}
	return nil
}

// explain adds the hint to a refusal that it may explain.
func (in *input) explain(err error) error {
	var refused *preprocess.Error
	if in.hint == "" || !errors.As(err, &refused) || refused.Code != preprocess.UnsupportedFormat {
		return err
	}
	return &preprocess.Error{Code: refused.Code, Detail: refused.Detail + "; " + in.hint, Err: refused.Err}
}

// add takes one more picture.
func (in *input) add(p picture, limit int) error {
	if len(in.pictures) == limit {
		return tooManyImages(limit)
	}
	in.pictures = append(in.pictures, p)
	return nil
}

func tooManyImages(limit int) error {
	return fail(api.TooManyImages, "the request holds more than %d pictures, which is this server's limit; send several requests", limit)
}
