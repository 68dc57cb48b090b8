package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"github.com/vidi-vision/vidi/service/api"
)

const (
	maxBoundary    = 70 // RFC 2046
	maxPartHeaders = 32 // browsers send two
	maxTextFields  = 64 // there are fewer parameters; each may be given once
	maxTextBytes   = 1 << 10
)

// readMultipart reads a form part by part. Nothing goes to temporary files, as it would through http.Request's own helpers.
func (in *input) readMultipart(body *upload, boundary string, maxImages int) error {
	if boundary == "" || len(boundary) > maxBoundary {
		return fail(api.BadRequest, "the Content-Type of a multipart form needs a boundary of 1 to %d characters", maxBoundary)
	}
	end := &tail{r: body}
	reader := multipart.NewReader(end, boundary)
	for parts := 1; ; parts++ {
		part, err := reader.NextPart()
		if err == io.EOF && end.contains("--"+boundary+"--") {
			in.several = len(in.pictures) > 1
			return nil
		}
		if err != nil {
			return fail(api.BadRequest, "the multipart form is malformed or cut short").because(err)
		}
		if parts > maxImages+maxTextFields {
			return fail(api.BadRequest, "the form has more than %d fields beside the pictures", maxTextFields)
		}
		if countHeaders(part) > maxPartHeaders {
			return fail(api.BadRequest, "a part of the form has more than %d headers", maxPartHeaders)
		}
		switch name := part.FormName(); name {
		case "file", "image":
			err = in.readPicturePart(part, maxImages)
		case "":
			err = fail(api.BadRequest, "a part of the form has no name; pictures go into file or image")
		default:
			err = in.readTextPart(part, name)
		}
		if err != nil {
			return err
		}
	}
}

func countHeaders(part *multipart.Part) (n int) {
	for _, values := range part.Header {
		n += len(values)
	}
	return n
}

// readPicturePart reads an upload, or a text field with base64 or a data: URL in it.
func (in *input) readPicturePart(part *multipart.Part, maxImages int) error {
	if len(in.pictures) == maxImages {
		return tooManyImages(maxImages) // before its bytes take memory
	}
	data, err := readAll(part, -1)
	if err != nil {
		return formError(err)
	}
	filename := part.FileName()
	_, isUpload := part.Header["Content-Type"]
	if isUpload && filename == "" && len(data) == 0 {
		return nil // a browser's file field in which no file was chosen
	}
	p := picture{filename: cleanFilename(filename), data: data}
	if !isUpload && filename == "" {
		p.data, p.err = decodeImageText(data)
	}
	return in.add(p, maxImages)
}

func (in *input) readTextPart(part *multipart.Part, name string) error {
	if !isParameter(name) {
		return fail(api.BadParameter, "the form field %s is unknown; pictures go into file or image, and the parameters are %s", quote(name), parameterNames())
	}
	value, err := io.ReadAll(io.LimitReader(part, maxTextBytes+1))
	if err != nil {
		return formError(err)
	}
	return in.parameters.setText(name, string(value))
}

func formError(err error) error {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	return fail(api.BadRequest, "the multipart form is malformed or cut short").because(err)
}

// cleanFilename is the name without folders, those of Windows too, fit to be shown. It is only ever shown.
func cleanFilename(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	return strings.ToValidUTF8(name[:min(len(name), 255)], "")
}

// tail remembers the last bytes that were read. multipart.Reader says io.EOF after a form's closing line, but also where the
// form was cut off behind one of its pictures; only the bytes tell.
type tail struct {
	r    io.Reader
	last []byte
}

// tailBytes is more than multipart.Reader reads ahead, which is 4 KiB, and a closing line together.
const tailBytes = 8 << 10

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.last = append(t.last, p[:n]...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, err
}

func (t *tail) contains(line string) bool { return bytes.Contains(t.last, []byte(line)) }
