package httpapi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
)

// fuzz checks what must hold for any body: an answer or a whole problem, and no fault of the server's own.
func fuzz(f *testing.F, contentType string) {
	s, _ := ready(&fake{}, func(c *Config) { c.MaxBody, c.MaxImages = 1<<16, 8 })
	f.Fuzz(func(t *testing.T, body string) {
		w := post(s, "/predict", contentType, strings.NewReader(body))
		if w.Code == http.StatusOK {
			if answer := decodeAnswer(t, w); len(answer.Results) == 0 || len(answer.Results) > 8 {
				t.Errorf("%d results", len(answer.Results))
			}
			return
		}
		if w.Code >= 500 || w.Header().Get("Content-Type") != api.ProblemType {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"image": "cGljdHVyZQ=="}`, `{"images": ["data:image/png;base64,YQ==", ""], "top_k": 2, "exif": true}`,
		`{"image": "\u0063", "lang": "zh", "threshold": 1e1}`, `[`, `{"image": `, ``} {
		f.Add(seed)
	}
	fuzz(f, "application/json")
}

func FuzzMultipart(f *testing.F) {
	const head = "--b\r\nContent-Disposition: form-data; name="
	for _, seed := range []string{head + "file; filename=a\r\n\r\npicture\r\n--b--\r\n", head + "image\r\n\r\nYQ==\r\n" + head + "top_k\r\n\r\n1\r\n--b--",
		head + "file; filename=a\r\n\r\npicture\r\n--b\r\n", "--b--\r\n", "--b\r\n\r\n"} {
		f.Add(seed)
	}
	fuzz(f, "multipart/form-data; boundary=b")
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"top_k=5&threshold=12.5&lang=zh&model=resnet18&decode=fast&exif=false&deadline_ms=500", "top_k=1e3&top_k=2", "threshold=1e-400",
		"%zz", "a;b", "lang=%7Azh&&="} {
		f.Add(seed)
	}
	s, _ := ready(&fake{}, nil)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader("picture"))
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK && (w.Code >= 500 && w.Code != http.StatusGatewayTimeout || w.Header().Get("Content-Type") != api.ProblemType) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	})
}

// FuzzHeaders makes up the headers that the server itself reads.
func FuzzHeaders(f *testing.F) {
	f.Add("image/png", "abc-123", "Bearer vidi_x", "https://shop.example", "text/html;q=0.9, */*", "gzip")
	f.Add("multipart/form-data; boundary=\"b;\"", "\x00", "Basic dTpw", "null", "text/html;q=x", "")
	f.Add("application/json; charset=utf-16", strings.Repeat("r", 300), "", "", "", "identity")
	s, _ := ready(&fake{}, func(c *Config) { c.CORSOrigins = []string{"https://shop.example"} })
	f.Fuzz(func(t *testing.T, contentType, id, authorization, origin, accept, encoding string) {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			for _, path := range []string{"/", "/predict"} {
				r := httptest.NewRequest(method, path, strings.NewReader("picture"))
				for name, value := range map[string]string{"Content-Type": contentType, "X-Request-Id": id, "Authorization": authorization,
					"Origin": origin, "Accept": accept, "Content-Encoding": encoding} {
					r.Header.Set(name, value)
				}
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code >= 500 {
					t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
				}
				for name, values := range w.Header() {
					if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
						t.Errorf("header %s is %q", name, values)
					}
				}
			}
		}
	})
}

// FuzzBase64: what is accepted is what was encoded, and refusals have a reason.
func FuzzBase64(f *testing.F) {
	for _, seed := range []string{"cGljdHVyZQ==", "cGlj\r\ndHVyZQ==", "data:image/png;base64,YQ==", "DATA:;base64,", "data:,", "_-__", "http://a/b", "a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := decodeImageText(text); err != nil {
			var failed *failure
			if !errors.As(err, &failed) || failed.code != api.BadBase64 || failed.detail == "" {
				t.Errorf("refused with %v", err)
			}
		}
		encoded := base64.StdEncoding.AppendEncode([]byte("data:x;base64,"), text)
		for _, form := range [][]byte{encoded, encoded[len("data:x;base64,"):]} {
			if got, err := decodeImageText(form); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%q came back as %q, %v", text, got, err)
			}
		}
	})
}
