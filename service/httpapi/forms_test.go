package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"reflect"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
)

// part is one part of a form, in the order of the fields: name, filename ("" is a text field), content.
type part struct{ name, filename, content string }

func form(t testing.TB, parts ...part) (contentType string, body io.Reader) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var pw io.Writer
		var err error
		if p.filename != "" {
			pw, err = w.CreateFormFile(p.name, p.filename)
		} else {
			pw, err = w.CreateFormField(p.name)
		}
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(pw, p.content)
	}
	w.Close()
	return w.FormDataContentType(), &b
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAnswerIsTheContract(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, nil)
	contentType, body := form(t, part{"file", "photos/ski.jpg", "picture"})
	w := post(s, "/predict?lang=zh&top_k=1", contentType, body)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["request_id"] == "" || got["request_id"] != w.Header().Get("X-Request-Id") {
		t.Errorf("request_id is %v", got["request_id"])
	}
	delete(got, "request_id")
	if _, ok := got["timing_ms"].(map[string]any)["total"].(float64); !ok {
		t.Errorf("timing_ms is %v", got["timing_ms"])
	}
	delete(got, "timing_ms")
	var want map[string]any
	if err := json.Unmarshal([]byte(`{"model": "resnet18", "model_version": "1", "results": [
		{"index": 0, "filename": "ski.jpg", "width": 640, "height": 480, "format": "jpeg", "warnings": ["low_resolution"],
		 "predictions": [{"label": "alp", "display": "高山", "names": {"en": "alp", "zh": "高山"}, "class_id": 0, "wnid": "n09193705",
		                  "confidence": 92.3, "probability": 0.923018}],
		 "timing_ms": {"decode": 1.23, "preprocess": 1, "queue": 0, "inference": 3}, "error": null}]}`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Every form must bring the same bytes to the classifier, at both addresses.
func TestForms(t *testing.T) {
	type request struct {
		contentType string
		body        io.Reader
	}
	forms := func(parts ...part) request {
		contentType, body := form(t, parts...)
		return request{contentType, body}
	}
	text := func(contentType, body string) request { return request{contentType, strings.NewReader(body)} }
	lines := b64("picture")[:4] + "\r\n" + b64("picture")[4:] + "\n"
	for name, make := range map[string]func() request{
		"multipart file":        func() request { return forms(part{"file", "a.jpg", "picture"}) },
		"multipart image":       func() request { return forms(part{"image", "a.jpg", "picture"}) },
		"multipart base64 text": func() request { return forms(part{"image", "", lines}) },
		"multipart data URL":    func() request { return forms(part{"image", "", "data:image/png;base64," + lines}) },
		"multipart with parameters": func() request {
			return forms(part{"top_k", "", "2"}, part{"file", "a", "picture"}, part{"lang", "", "zh"})
		},
		"json":              func() request { return text("application/json", `{"image": "`+b64("picture")+`", "top_k": 2}`) },
		"json with charset": func() request { return text("application/json; charset=utf-8", `{"image": "`+b64("picture")+`"}`) },
		"json of a vendor":  func() request { return text("application/x.thing+json", `{"image": "`+b64("picture")+`"}`) },
		"json with line breaks": func() request {
			b, _ := json.Marshal(lines)
			return text("application/json", `{"image": `+string(b)+`}`)
		},
		"json with escaped slashes": func() request { return text("application/json", `{"image": "\u0063GljdHVyZQ=="}`) },
		"json data URL": func() request {
			return text("application/json", `{"image": "data:image/png;base64,`+b64("picture")+`"}`)
		},
		"json data URL of wrong type": func() request {
			return text("application/json", `{"image": "DATA:text/html;x=y;BASE64,`+b64("picture")+`"}`)
		},
		"json images":        func() request { return text("application/json", `{"images": ["`+b64("picture")+`"]}`) },
		"H8 no content type": func() request { return text("", "picture") },
		"H8 text/plain":      func() request { return text("text/plain", "picture") },
		"H8 form-urlencoded": func() request { return text("application/x-www-form-urlencoded", "picture") },
		"H8 image/jpeg":      func() request { return text("image/jpeg", "picture") },
		"H8 unknown":         func() request { return text("a/b; c", "picture") },
		"H8 malformed":       func() request { return text("////;;;", "picture") },
	} {
		for _, path := range []string{"/predict", "/api/v1/predict"} {
			t.Run(name+" "+path, func(t *testing.T) {
				f := &fake{}
				s, _ := ready(f, nil)
				r := make()
				answer := decodeAnswer(t, post(s, path, r.contentType, r.body))
				if got := f.pictures(); len(got) != 1 || got[0] != "picture" {
					t.Errorf("the classifier saw %q", got)
				}
				if len(answer.Results) != 1 || answer.Results[0].Error != nil {
					t.Errorf("results are %+v", answer.Results)
				}
			})
		}
	}
}

func TestFilenamesAreCleaned(t *testing.T) {
	for sent, want := range map[string]string{
		`C:\photos\ski.jpg`: "ski.jpg", "../../etc/passwd": "passwd", strings.Repeat("ü", 200): strings.Repeat("ü", 127), "山.jpg": "山.jpg",
	} {
		if got := cleanFilename(sent); got != want {
			t.Errorf("cleanFilename(%q) is %q, want %q", sent, got, want)
		}
	}
}

func TestSeveralPictures(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, nil)
	var parts []part
	for i := range 64 { // H21: one bad of 64
		p := part{"file", fmt.Sprintf("%d.jpg", i), fmt.Sprintf("picture %d", i)}
		if i == 7 {
			p.content = "bad"
		}
		parts = append(parts, p)
	}
	contentType, body := form(t, parts...)
	answer := decodeAnswer(t, post(s, "/predict", contentType, body))
	if len(answer.Results) != 64 {
		t.Fatalf("%d results", len(answer.Results))
	}
	for i, r := range answer.Results {
		if r.Index != i || r.Filename != fmt.Sprintf("%d.jpg", i) {
			t.Errorf("result %d is %+v", i, r)
		}
		if (r.Error != nil) != (i == 7) || (len(r.Predictions) == 3) != (i != 7) {
			t.Errorf("result %d: error %v, %d predictions", i, r.Error, len(r.Predictions))
		}
	}
	if p := answer.Results[7].Error; p.Code != api.UnsupportedFormat || p.Status != 415 || p.RequestID != answer.RequestID {
		t.Errorf("the problem is %+v", p)
	}
	if raw, _ := json.Marshal(answer.Results[7]); !bytes.Contains(raw, []byte(`"warnings":[],"predictions":[]`)) {
		t.Errorf("lists are null: %s", raw)
	}
}

func TestAListOfOneAnswersForItself(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	w := post(s, "/predict", "application/json", strings.NewReader(`{"images": ["%"]}`))
	answer := decodeAnswer(t, w)
	if p := answer.Results[0].Error; p == nil || p.Code != api.BadBase64 {
		t.Errorf("got %+v", answer.Results[0])
	}
}

func TestNoFileChosenInABrowser(t *testing.T) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", `form-data; name="file"; filename=""`)
	h.Set("Content-Type", "application/octet-stream")
	w.CreatePart(h)
	w.Close()
	s, _ := ready(&fake{}, nil)
	wantProblem(t, post(s, "/predict", w.FormDataContentType(), &b), api.NoImage)
}

func TestRequestID(t *testing.T) {
	s, l := ready(&fake{}, nil)
	for sent, kept := range map[string]bool{
		"abc-123_4.5": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, "a b": false, "a\nb": false, "<script>": false, "ü": false, "../x": false,
	} {
		r, _ := http.NewRequest(http.MethodPost, "/predict", strings.NewReader("picture"))
		r.Header["X-Request-Id"] = []string{sent}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		got := decodeAnswer(t, w).RequestID
		if (got == sent) != kept || got == "" || got != w.Header().Get("X-Request-Id") {
			t.Errorf("%q became %q, header %q", sent, got, w.Header().Get("X-Request-Id"))
		}
		if !strings.Contains(l.String(), "request_id="+got) {
			t.Errorf("%q is not in the log", got)
		}
	}
}
