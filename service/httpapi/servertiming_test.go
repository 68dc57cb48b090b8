package httpapi

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
)

func TestServerTiming(t *testing.T) {
	s, _ := ready(&fake{}, nil) // whose pictures take 1.23, 1, 0 and 3 ms
	for body, want := range map[string]string{
		`{"image": "YQ=="}`:                 `^upload;dur=\d+\.\d\d, decode;dur=1\.23, preprocess;dur=1\.00, queue;dur=0\.00, inference;dur=3\.00, total;dur=\d+\.\d\d$`,
		`{"images": ["YQ==", "%", "Yg=="]}`: `^upload;dur=\d+\.\d\d, decode;dur=2\.46, preprocess;dur=2\.00, queue;dur=0\.00, inference;dur=6\.00, total;dur=\d+\.\d\d$`,
	} {
		w := post(s, "/predict", "application/json", strings.NewReader(body))
		if got := w.Header().Get("Server-Timing"); w.Code != http.StatusOK || !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %d, %q", body, w.Code, got)
		}
	}
	w := post(s, "/predict", "", strings.NewReader("bad"))
	wantProblem(t, w, api.UnsupportedFormat)
	if got := w.Header().Get("Server-Timing"); got != "" {
		t.Errorf("a refusal has times: %q", got)
	}
}
