package httpapi

import (
	"net/http"
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
