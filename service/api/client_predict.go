package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Params are what a prediction may choose. The zero value leaves everything to the server.
type Params struct {
	TopK      int           // how many names; 0 is 3
	Threshold float64       // percent; names below it are left out
	Parents   bool          // the groups that the names belong to, too: Result.Parents, TopGroups
	Lang      string        // of Prediction.Display: "en", "zh"
	Model     string        // an error if another is served
	Decode    string        // "exact", "fast"
	EXIF      *bool         // turn the picture as its EXIF data says; new(false) is not to
	Deadline  time.Duration // from the end of the upload; a picture that waits longer for a worker fails
}

// Picture is one of several to send.
type Picture struct {
	Name string // comes back in Result.Filename; may be empty
	Data []byte
}

// Predict says what is in one picture: the bytes of a JPEG, PNG, GIF, WebP, BMP or TIFF file. The one result of the answer
// has no Error; a picture that cannot be classified is a [*Problem].
func (c *Client) Predict(ctx context.Context, picture []byte, p Params) (*PredictResponse, error) {
	if picture == nil {
		picture = []byte{} // a body all the same: the server's own answer to it is the best
	}
	return c.predict(ctx, p, "application/octet-stream", picture)
}

// PredictReader is [Client.Predict] of everything that r holds. It is read to its end first, so that the request can be
// sent again.
func (c *Client) PredictReader(ctx context.Context, r io.Reader, p Params) (*PredictResponse, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("vidi: read the picture: %w", err)
	}
	return c.Predict(ctx, data, p)
}

// PredictFile is [Client.Predict] of a file.
func (c *Client) PredictFile(ctx context.Context, path string, p Params) (*PredictResponse, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("vidi: %w", err)
	}
	answer, err := c.Predict(ctx, data, p)
	if err == nil && len(answer.Results) == 1 {
		answer.Results[0].Filename = filepath.Base(path) // a bare body carries no name
	}
	return answer, err
}

// PredictAll says what is in each of several pictures, in one request. The results are in the order of the pictures; a
// picture that cannot be classified has its Error set, even if it is the only one. The error that PredictAll returns is the
// whole request's. [Client.Models] tells how many pictures and bytes one request may hold.
func (c *Client) PredictAll(ctx context.Context, pictures []Picture, p Params) (*PredictResponse, error) {
	switch len(pictures) {
	case 0:
		return nil, errors.New("vidi: there is no picture to send")
	case 1: // in a form, its error would be the request's; in a list, it is its own
		body, err := json.Marshal(map[string][][]byte{"images": {pictures[0].Data}})
		if err != nil {
			return nil, fmt.Errorf("vidi: %w", err)
		}
		answer, err := c.predict(ctx, p, "application/json", body)
		if err == nil && len(answer.Results) == 1 {
			answer.Results[0].Filename = pictures[0].Name
		}
		return answer, err
	}
	contentType, body, err := form(pictures)
	if err != nil {
		return nil, fmt.Errorf("vidi: %w", err)
	}
	return c.predict(ctx, p, contentType, body)
}

func form(pictures []Picture) (contentType string, body []byte, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, picture := range pictures {
		name := picture.Name
		if name == "" {
			name = "picture" // a field without a file name would be taken for base64
		}
		part, err := w.CreateFormFile("file", name)
		if err != nil {
			return "", nil, err
		}
		if _, err := part.Write(picture.Data); err != nil {
			return "", nil, err
		}
	}
	if err := w.Close(); err != nil {
		return "", nil, err
	}
	return w.FormDataContentType(), b.Bytes(), nil
}

func (c *Client) predict(ctx context.Context, p Params, contentType string, body []byte) (*PredictResponse, error) {
	var answer PredictResponse
	return pick(&answer, c.do(ctx, request{
		method: http.MethodPost, path: "api/v1/predict", query: p.query(), contentType: contentType, body: body,
	}, &answer))
}

// query is what p chooses. Values that make no sense are sent as well: the server says what is wrong with them.
func (p *Params) query() url.Values {
	query := url.Values{}
	set := func(name, value string, given bool) {
		if given {
			query.Set(name, value)
		}
	}
	set("top_k", strconv.Itoa(p.TopK), p.TopK != 0)
	set("threshold", strconv.FormatFloat(p.Threshold, 'g', -1, 64), p.Threshold != 0)
	set("parents", "true", p.Parents)
	set("lang", p.Lang, p.Lang != "")
	set("model", p.Model, p.Model != "")
	set("decode", p.Decode, p.Decode != "")
	if p.EXIF != nil {
		set("exif", strconv.FormatBool(*p.EXIF), true)
	}
	// Rounded up: a deadline below a millisecond is a short one, not an error.
	set("deadline_ms", strconv.FormatInt(int64((p.Deadline+time.Millisecond-1)/time.Millisecond), 10), p.Deadline != 0)
	return query
}
