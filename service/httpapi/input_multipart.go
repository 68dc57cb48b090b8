package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

const (
	maxBoundary    = 70 // RFC 2046
	maxPartHeaders = 32 // browsers send two
	// maxPartHead is what the headers of a part may take in bytes, and what stands before the first part.
	// Browsers send 200; multipart.Reader alone would take 10 MB.
	maxPartHead   = 16 << 10
	maxTextFields = 64 // there are fewer parameters; each may be given once
	maxTextBytes  = 1 << 10
)

// readMultipart reads a form part by part. Nothing goes to temporary files, as it would through http.Request's own helpers.
func (in *input) readMultipart(body *upload, boundary string, maxImages int) error {
	if boundary == "" || len(boundary) > maxBoundary {
		return fail(api.BadRequest, "the Content-Type of a multipart form needs a boundary of 1 to %d characters; "+
			"leave this header to your HTTP library, which adds it", maxBoundary)
	}
	end := &tail{r: body}
	reader := multipart.NewReader(end, boundary)
	for parts := 1; ; parts++ {
		part, err := nextPart(reader, end)
		if err == io.EOF && end.contains("--"+boundary+"--") {
			in.several = len(in.pictures) > 1
			return nil
		}
		if err != nil && parts == 1 && preprocess.FormatOf(end.first) != "" {
			return fail(api.BadRequest, "the body is not a multipart form: it is a picture; send it with its own Content-Type, such as image/jpeg")
		}
		if err != nil {
			return formError(err)
		}
		if parts > maxImages+maxTextFields {
			return fail(api.BadRequest, "the form has more than %d fields beside the pictures", maxTextFields)
		}
		if countHeaders(part) > maxPartHeaders {
			return fail(api.BadRequest, "a part of the form has more than %d headers", maxPartHeaders)
		}
		switch name := fieldName(part); {
		case isPictureField(name):
			err = in.readPicturePart(part, maxImages)
		case name == "":
			err = fail(api.BadRequest, "a part of the form has no name; pictures go into file or image")
		default:
			err = in.readTextPart(part, name)
		}
		if err != nil {
			return err
		}
	}
}

// nextPart reads a part's headers. The part before was read to its end, so that nothing else is read here.
func nextPart(reader *multipart.Reader, from *tail) (*multipart.Part, error) {
	from.bounded, from.left = true, maxPartHead
	defer func() { from.bounded = false }()
	return reader.NextPart()
}

func countHeaders(part *multipart.Part) (n int) {
	for _, values := range part.Header {
		n += len(values)
	}
	return n
}

// isPictureField reports whether a form's field of that name holds a picture.
func isPictureField(name string) bool { return name == "file" || name == "image" }

// fieldName is what the part is called, in a Content-Disposition that need not be as the standard has it.
func fieldName(part *multipart.Part) string {
	if name := part.FormName(); name != "" {
		return name
	}
	_, parameters := parseHeader(part.Header.Get("Content-Disposition"))
	return parameters["name"]
}

// fileName is what the part's file is called, likewise.
func fileName(part *multipart.Part) string {
	if name := part.FileName(); name != "" {
		return name
	}
	_, parameters := parseHeader(part.Header.Get("Content-Disposition"))
	return parameters["filename"]
}

// readPicturePart reads an upload, or a text field with base64 or a data: URL in it. Which of them a part without a file name is, its
// bytes say: some programs give text a Content-Type, and others give bytes none.
func (in *input) readPicturePart(part *multipart.Part, maxImages int) error {
	if len(in.pictures) == maxImages {
		return tooManyImages(maxImages) // before its bytes take memory
	}
	data, err := readAll(part, -1)
	if err != nil {
		return formError(err)
	}
	filename := fileName(part)
	_, hasType := part.Header["Content-Type"]
	if hasType && filename == "" && len(data) == 0 {
		return nil // a browser's file field in which no file was chosen
	}
	p := picture{filename: cleanFilename(filename)}
	p.data, p.err = undoTransfer(part, data)
	if p.err == nil && filename == "" && isText(p.data) && !bytes.HasPrefix(p.data, []byte("<")) {
		p.data, p.err = decodeImageText(p.data)
	} else {
		p.data = decoded(p.data)
	}
	return in.add(p, maxImages)
}

// undoTransfer undoes a part's Content-Transfer-Encoding, which mail libraries use for forms too. Quoted-printable is undone by
// multipart.Reader already. A picture is left as it is, whatever the header says.
func undoTransfer(part *multipart.Part, data []byte) ([]byte, error) {
	switch encoding := strings.ToLower(strings.TrimSpace(part.Header.Get("Content-Transfer-Encoding"))); encoding {
	case "", "7bit", "8bit", "binary":
		return data, nil
	case "base64":
		if preprocess.FormatOf(data) != "" {
			return data, nil
		}
		return decodeBase64(data)
	default:
		return nil, fail(api.BadRequest, "a part of the form has the Content-Transfer-Encoding %s; send it as binary or base64", quote(encoding))
	}
}

func (in *input) readTextPart(part *multipart.Part, name string) error {
	if !isParameter(name) {
		return unknownField(name)
	}
	value, err := io.ReadAll(io.LimitReader(part, maxTextBytes+1))
	if err != nil {
		return formError(err)
	}
	if len(value) > maxTextBytes { // the rest of it was not read
		return badParameter(name)
	}
	if value, err = undoTransfer(part, value); err != nil {
		return badParameter(name)
	}
	return in.parameters.setText(name, string(value))
}

func unknownField(name string) error {
	return fail(api.BadParameter, "the form field %s is unknown; pictures go into file or image, and the parameters are %s", quote(name), parameterNames())
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

// tail remembers the first and the last bytes that were read. multipart.Reader says io.EOF after a form's closing line, but also where the
// form was cut off behind one of its pictures; only the bytes tell.
type tail struct {
	r           io.Reader
	first, last []byte
	bounded     bool // only left may still be read
	left        int
}

// tailBytes is more than multipart.Reader reads ahead, which is 4 KiB, and a closing line together.
const tailBytes = 8 << 10

func (t *tail) Read(p []byte) (int, error) {
	if t.bounded && t.left <= 0 {
		return 0, fail(api.BadRequest, "the headers of a part of the form, or what stands before the first one, "+
			"take more than %s", size(maxPartHead))
	}
	n, err := t.r.Read(p)
	t.left -= n
	if t.first == nil {
		t.first = bytes.Clone(p[:min(n, 64)])
	}
	t.last = append(t.last, p[:n]...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, err
}

func (t *tail) contains(line string) bool { return bytes.Contains(t.last, []byte(line)) }
