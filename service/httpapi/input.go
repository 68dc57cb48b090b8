package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// input is what a request asks for.
type input struct {
	pictures   []picture
	several    bool // each picture answers for itself, even if it is the only one in its list
	parameters parameters
	mangled    string // what may have damaged the picture on its way; "" if nothing is known
}

// picture is one picture of a request: its bytes, or why there are none.
type picture struct {
	filename string
	data     []byte
	err      error
}

// readInput reads a request in any of its forms: a form, JSON, or, for every other Content-Type, a bare picture.
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
	mediaType, attributes := parseHeader(req.Header.Get("Content-Type"))
	var err error
	switch {
	case strings.HasPrefix(mediaType, "multipart/"):
		err = in.readMultipart(body, attributes["boundary"], s.cfg.MaxImages)
	case mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
		err = in.readJSON(body, s.cfg.MaxImages)
	case mediaType == "application/x-www-form-urlencoded":
		err = in.readURLEncoded(body, s.cfg.MaxImages)
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
	in.pictures = []picture{{data: decoded(data)}}
	return nil
}

// explain tells more of a refusal: what came in place of a picture, or what has probably damaged it.
func (in *input) explain(err error, data []byte) error {
	var refused *preprocess.Error
	if !errors.As(err, &refused) {
		return err
	}
	unknown := preprocess.FormatOf(data) == "" && (refused.Code == preprocess.UnsupportedFormat || refused.Code == preprocess.CorruptImage)
	if unknown { // a short text counts as a picture that was cut short, until it is known what it is
		if known := insteadOfPicture(data); known != "" {
			return &preprocess.Error{Code: preprocess.UnsupportedFormat, Detail: "this is not a picture: " + known, Err: refused.Err}
		}
	}
	if in.mangled != "" && (refused.Code == preprocess.CorruptImage || unknown && !isText(data)) {
		return &preprocess.Error{Code: refused.Code, Detail: refused.Detail + "; " + in.mangled, Err: refused.Err}
	}
	return err
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
	return fail(api.TooManyImages, "the request holds more than %s, which is this server's limit; send several requests", english.Plural(limit, "picture", ""))
}
