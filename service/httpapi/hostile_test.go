package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/torchbind"
)

// The names begin with the row of the table of hostile inputs that each case comes from.
func TestHostileBodies(t *testing.T) {
	picture := b64("picture")
	image := func(text string) string { return `{"image": "` + text + `"}` }
	const boundary = "multipart/form-data; boundary=b"
	fields := func(n int, name string) string {
		return strings.Repeat("--b\r\nContent-Disposition: form-data; name=\""+name+"\"; filename=a\r\n\r\nx\r\n", n) + "--b--\r\n"
	}
	for name, c := range map[string]struct {
		contentType, body string
		want              api.Code
	}{
		"A1 empty body":      {"", "", api.EmptyImage},
		"A1 empty JSON text": {"application/json", image(""), api.EmptyImage},

		"H1 bad character":       {"application/json", image("cGljd!VyZQ=="), api.BadBase64},
		"H1 bad padding":         {"application/json", image("cGljdHVyZQ"), api.BadBase64},
		"H1 padding inside":      {"application/json", image("cGlj=HVyZQ=="), api.BadBase64},
		"H1 URL-safe":            {"application/json", image("_-__"), api.BadBase64},
		"H1 blanks":              {"application/json", image("cGlj dHVyZQ=="), api.BadBase64},
		"H1 4n+1":                {"application/json", image("cGljd"), api.BadBase64},
		"H1 web address":         {"application/json", image("https://example.org/a.jpg"), api.BadBase64},
		"H1 file name in a form": {boundary, "--b\r\nContent-Disposition: form-data; name=file\r\n\r\npicture.jpg\r\n--b--\r\n", api.BadBase64},
		"H2 no comma":            {"application/json", image("data:image/png;base64"), api.BadBase64},
		"H2 not base64":          {"application/json", image("data:image/png,abc"), api.BadBase64},

		"H3 null":             {"application/json", `{"image": null}`, api.BadRequest},
		"H3 number":           {"application/json", `{"image": 5}`, api.BadRequest},
		"H3 list for image":   {"application/json", `{"image": ["` + picture + `"]}`, api.BadRequest},
		"H3 text for images":  {"application/json", `{"images": "` + picture + `"}`, api.BadRequest},
		"H3 number in images": {"application/json", `{"images": ["` + picture + `", 5]}`, api.BadRequest},
		"H3 image and images": {"application/json", `{"image": "` + picture + `", "images": []}`, api.BadRequest},
		"H3 images and image": {"application/json", `{"images": [], "image": "` + picture + `"}`, api.BadRequest},
		"H3 unknown field":    {"application/json", `{"image": "` + picture + `", "x": 5}`, api.BadParameter},
		"H3 duplicate key":    {"application/json", `{"image": "` + picture + `", "image": ""}`, api.BadRequest},
		"H3 duplicate top_k":  {"application/json", `{"top_k": 1, "top_k": 1}`, api.BadRequest},
		"H3 trailing garbage": {"application/json", image(picture) + "x", api.BadRequest},
		"H3 second object":    {"application/json", image(picture) + image(picture), api.BadRequest},
		"H3 BOM":              {"application/json", "\xef\xbb\xbf" + image(picture), api.BadRequest},
		"H3 UTF-16":           {"application/json", "\xff\xfe{\x00}\x00", api.BadRequest},
		"H3 UTF-16 no mark":   {"application/json", "{\x00}\x00", api.BadRequest},
		"H3 invalid UTF-8":    {"application/json", "{\"image\": \"\xff\xfe\"}", api.BadRequest},
		"H3 invalid name":     {"application/json", "{\"\xff\": 1}", api.BadRequest},
		"H3 list":             {"application/json", `["` + picture + `"]`, api.BadRequest},
		"H3 text":             {"application/json", `"` + picture + `"`, api.BadRequest},
		"H3 empty":            {"application/json", "", api.BadRequest},
		"H3 cut short":        {"application/json", `{"image": "cGlj`, api.BadRequest},
		"H3 cut after name":   {"application/json", `{"image"`, api.BadRequest},
		"H3 trailing comma":   {"application/json", image(picture)[:len(image(picture))-1] + ",}", api.BadRequest},
		"H3 single quotes":    {"application/json", `{'image': ''}`, api.BadRequest},
		"H3 no picture":       {"application/json", `{"top_k": 1}`, api.NoImage},
		"H3 form sent as it":  {"application/json", "image=" + picture, api.BadRequest},

		"H4 nested lists":     {"application/json", strings.Repeat("[", 1_000_000), api.BadRequest},
		"H4 nested in image":  {"application/json", `{"image": ` + strings.Repeat("[", 1_000_000), api.BadRequest},
		"H4 nested in images": {"application/json", `{"images": ` + strings.Repeat("[", 1_000_000), api.BadRequest},
		"H4 nested in top_k":  {"application/json", `{"top_k": ` + strings.Repeat(`{"a":`, 1_000_000), api.BadParameter},
		"H4 nested unknown":   {"application/json", `{"x": ` + strings.Repeat(`{"a":`, 1_000_000), api.BadParameter},
		"H4 10^5 keys":        {"application/json", manyKeys(100_000), api.BadParameter},
		"H4 10 MB text":       {"application/json", `{"lang": "` + strings.Repeat("a", 10_000_000) + `"}`, api.BadParameter},
		"H4 10 MB name":       {"application/json", `{"` + strings.Repeat("a", 10_000_000) + `": 1}`, api.BadParameter},
		"H4 10 MB no base64":  {"application/json", image(strings.Repeat("%", 10_000_000)), api.BadBase64},
		"H4 10^5 pictures":    {"application/json", `{"images": [` + strings.Repeat(`"",`, 100_000) + `""]}`, api.TooManyImages},

		"H5 no boundary":     {"multipart/form-data", fields(1, "file"), api.BadRequest},
		"H5 empty boundary":  {"multipart/form-data; boundary=", fields(1, "file"), api.BadRequest},
		"H5 long boundary":   {"multipart/form-data; boundary=" + strings.Repeat("b", 10_000), "", api.BadRequest},
		"H5 other boundary":  {"multipart/form-data; boundary=c", fields(1, "file"), api.BadRequest},
		"H5 twice boundary":  {"multipart/form-data; boundary=b; boundary=c", fields(1, "file"), api.BadRequest},
		"H5 padded boundary": {boundary, "--b" + strings.Repeat(" ", 1_000_000) + "\r\n", api.BadRequest},
		"H5 empty":           {boundary, "", api.BadRequest},
		"H5 no part":         {boundary, "--b--\r\n", api.NoImage},
		"H5 no image part":   {boundary, "--b\r\nContent-Disposition: form-data; name=top_k\r\n\r\n1\r\n--b--\r\n", api.NoImage},
		"H5 no name":         {boundary, "--b\r\nContent-Disposition: form-data; filename=a\r\n\r\n1\r\n--b--\r\n", api.BadRequest},
		"H5 no disposition":  {boundary, "--b\r\n\r\n1\r\n--b--\r\n", api.BadRequest},
		"H5 unknown field":   {boundary, fields(1, "picture"), api.BadParameter},
		"H5 10,001 fields":   {boundary, fields(10_001, "top_k"), api.BadParameter},
		"H5 10,001 no files": {boundary, strings.Repeat("--b\r\nContent-Disposition: form-data; name=file; filename=\"\"\r\nContent-Type: a/b\r\n\r\n\r\n", 10_001), api.BadRequest},
		"H5 10,000 headers":  {boundary, "--b\r\nContent-Disposition: form-data; name=file\r\n" + strings.Repeat("a: b\r\n", 9_999) + "\r\n1\r\n--b--\r\n", api.BadRequest},
		"H5 2,000 names":     {boundary, "--b\r\nContent-Disposition: form-data; name=file\r\n" + manyHeaders(2_000) + "\r\n1\r\n--b--\r\n", api.BadRequest},
		"H5 cut in picture":  {boundary, "--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\npicture", api.BadRequest},
		"H5 cut in headers":  {boundary, "--b\r\nContent-Disposition: form-", api.BadRequest},
		"H5 no end":          {boundary, "--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\npicture\r\n--b\r\n", api.BadRequest},

		"H8 not a picture":      {"image/jpeg", "bad, and no picture", api.UnsupportedFormat},
		"H21 empty list":        {"application/json", `{"images": []}`, api.NoImage},
		"H21 65 files":          {boundary, fields(65, "file"), api.TooManyImages},
		"H21 10,001 files":      {boundary, fields(10_001, "image"), api.TooManyImages},
		"H21 65 in a JSON list": {"application/json", `{"images": [` + strings.Repeat(`"",`, 64) + `""]}`, api.TooManyImages},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := ready(&fake{}, nil)
			keepRow(t, name, c.contentType, c.body, c.want)
			begun := time.Now()
			w := post(s, "/predict", c.contentType, strings.NewReader(c.body))
			if took := time.Since(begun); took > 10*time.Second { // the aim is 100 ms, but the machine may be busy and the race detector on
				t.Errorf("took %v", took)
			}
			wantProblem(t, w, c.want)
			wantAlive(t, s)
		})
	}
}

// keepRow leaves a request and its answer in the folder that VIDI_ROWS names, if it names one: the tests of the real server send
// it too.
func keepRow(t *testing.T, name, contentType, body string, want api.Code) {
	folder := os.Getenv("VIDI_ROWS")
	if folder == "" {
		return
	}
	kept, err := json.Marshal(map[string]string{"name": name, "content_type": contentType, "body": b64(body), "want": string(want)})
	if err == nil {
		row, _, _ := strings.Cut(name, " ")
		err = os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%x.json", row, sha256.Sum256(kept))), kept, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&b, `"k%d": 1,`, i)
	}
	return b.String() + `"z": 1}`
}

func manyHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: b\r\n", i)
	}
	return b.String()
}

// wantAlive is the rule behind every row: afterwards a good picture gets its answer.
func wantAlive(t *testing.T, s *Server) {
	t.Helper()
	if w := post(s, "/predict", "", strings.NewReader("picture")); w.Code != http.StatusOK {
		t.Errorf("a good picture afterwards: %d %s", w.Code, w.Body)
	}
}

func TestBase64RefusalsNameTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		"_-__": "URL-safe", "ab cd": "blanks", "abcde": "length", "ab=c": "length", "http://a/b": "web address", "a.jpg": "@",
	} {
		_, err := decodeBase64([]byte(text))
		var f *failure
		if !errors.As(err, &f) || !strings.Contains(f.detail, want) {
			t.Errorf("%q: %v, want something on %s", text, err, want)
		}
	}
}

// H9: not inflated, whatever it is.
func TestContentEncodingIsRefused(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 1<<20))
	z.Close()
	for _, encoding := range []string{"gzip", "br", "deflate", "gzip, gzip", "x"} {
		f := &fake{}
		s, _ := ready(f, nil)
		r := httptest.NewRequest(http.MethodPost, "/predict", bytes.NewReader(bomb.Bytes()))
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		wantProblem(t, w, api.UnsupportedMediaType)
		if len(f.pictures()) != 0 {
			t.Errorf("%s: the classifier saw it", encoding)
		}
	}
}

// H10.
func TestUnknownAddressesAndMethods(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	for _, path := range []string{"/nothing", "/predict/", "//predict", "/api/v1/predict/x", "/%2Fpredict", "/predict%2F", "/x/../predict",
		"/..%2f..%2fetc%2fpasswd", "/livez/", "/api/v1", "/v1/models", "/PREDICT"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequest(method, "/", strings.NewReader("picture"))
			r.URL.Opaque, r.URL.RawPath, r.URL.Path = "", path, strings.ReplaceAll(strings.ReplaceAll(path, "%2F", "/"), "%2f", "/")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			wantProblem(t, w, api.NotFound)
		}
	}
	for path, allowed := range map[string]string{"/predict": "POST", "/api/v1/predict": "POST", "/livez": "GET", "/readyz": "GET", "/api/v1/models": "GET", "/": "GET", "/web/app.js": "GET"} {
		for _, method := range []string{"PUT", "DELETE", "PATCH", "BREW", map[string]string{"POST": "GET", "GET": "POST"}[allowed]} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			wantProblem(t, w, api.MethodNotAllowed)
			if !strings.Contains(w.Header().Get("Allow"), allowed) {
				t.Errorf("%s %s: Allow is %q", method, path, w.Header().Get("Allow"))
			}
		}
	}
}

// Every failure behind a picture has its code, and shows nothing of its cause.
func TestFailuresOfTheClassifier(t *testing.T) {
	secret := errors.New("secret at 0xdeadbeef in /home/x/y.cc")
	cases := map[string]struct {
		err  error
		want api.Code
	}{
		"library":            {&backend.Error{Kind: backend.Failed, Message: "secret", Detail: "whole story"}, api.InferenceFailed},
		"out of memory":      {&backend.Error{Kind: backend.OutOfMemory, Message: "secret"}, api.InferenceFailed},
		"panic on a worker":  {&torchbind.PanicError{Value: "secret"}, api.InferenceFailed},
		"closed":             {backend.ErrClosed, api.InferenceFailed},
		"engine":             {fmt.Errorf("the model's output is [2, 3]: %w", secret), api.InferenceFailed},
		"NaN":                {fmt.Errorf("wrapped: %w", model.ErrOutput), api.ModelOutputInvalid},
		"unknown image code": {&preprocess.Error{Code: "new", Detail: "secret"}, api.Internal},
	}
	for _, code := range []preprocess.Code{preprocess.EmptyImage, preprocess.UnsupportedFormat, preprocess.UnsupportedVariant,
		preprocess.CorruptImage, preprocess.ImageTooLarge, preprocess.ImageTooComplex} {
		cases[string(code)] = struct {
			err  error
			want api.Code
		}{fmt.Errorf("wrapped: %w", &preprocess.Error{Code: code, Detail: "a sentence", Err: secret}), api.Code(code)}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, l := ready(&fake{classify: func(context.Context, []byte) error { return c.err }}, nil)
			wantProblem(t, post(s, "/predict", "", strings.NewReader("picture")), c.want)
			if !strings.Contains(l.String(), "code="+string(c.want)) {
				t.Errorf("the log has no code: %s", l)
			}
			if detail := backend.DetailOf(c.err); !strings.Contains(l.String(), detail) {
				t.Errorf("the log lacks the native text: %s", l)
			}
			answer := decodeAnswer(t, post(s, "/predict", "application/json", strings.NewReader(`{"images": ["`+b64("picture")+`"]}`)))
			if p := answer.Results[0].Error; p == nil || p.Code != c.want || p.Status != statusOf[c.want] || leak.MatchString(p.Detail) {
				t.Errorf("in a list: %+v", p)
			}
			if statusOf[c.want] == 500 && !strings.Contains(l.String(), `msg="picture failed"`) {
				t.Errorf("a failure within a list is not logged: %s", l)
			}
		})
	}
}

func TestPanicsAreInternalErrors(t *testing.T) {
	s, l := ready(&fake{classify: func(context.Context, []byte) error { panic("secret") }}, nil)
	wantProblem(t, post(s, "/predict", "", strings.NewReader("picture")), api.Internal)
	if !strings.Contains(l.String(), "hostile_test.go") || !strings.Contains(l.String(), "panic: secret") {
		t.Errorf("the log lacks the stack: %s", l)
	}
	answer := decodeAnswer(t, post(s, "/predict", "application/json", strings.NewReader(`{"images": ["", ""]}`)))
	for _, r := range answer.Results {
		if r.Error == nil || r.Error.Code != api.Internal || r.Error.Detail != "internal server error" {
			t.Errorf("got %+v", r.Error)
		}
	}
	if s.Unfinished() != 0 {
		t.Errorf("%d requests unfinished", s.Unfinished())
	}
}

// trap is an error that panics once it has been looked at in Classify: where the failure is explained.
type trap struct{ looks atomic.Int64 }

func (*trap) Error() string { return "trap" }

func (t *trap) Is(error) bool {
	if t.looks.Add(1) > 4 {
		panic("secret")
	}
	return false
}

// A panic outside Classify, on the goroutine of one picture of several, costs that picture.
func TestPanicsOutsideClassification(t *testing.T) {
	s, l := ready(&fake{classify: func(_ context.Context, data []byte) error {
		if string(data) == "trap" {
			return &trap{}
		}
		return nil
	}}, nil)
	list := `{"images": ["` + b64("trap") + `", "` + b64("picture") + `"]}`
	answer := decodeAnswer(t, post(s, "/predict", "application/json", strings.NewReader(list)))
	if p := answer.Results[0].Error; p == nil || p.Code != api.Internal {
		t.Errorf("got %+v", p)
	}
	if p := answer.Results[1].Error; p != nil {
		t.Errorf("the other picture: %+v", p)
	}
	if !strings.Contains(l.String(), "panic: secret") || !strings.Contains(l.String(), "predict.go") {
		t.Errorf("the log lacks the stack: %s", l)
	}
	if s.Unfinished() != 0 {
		t.Errorf("%d requests unfinished", s.Unfinished())
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	for code, status := range statusOf {
		if http.StatusText(status) == "" {
			t.Errorf("%s: %d", code, status)
		}
	}
	if asFailure(io.EOF).code != api.Internal {
		t.Error("an unknown error is not internal")
	}
}
