package httpapi

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/keys"
)

// withKeys is a ready server that asks for keys: "secret-shop" may predict, "secret-slow" once a minute, "secret-graph" not.
func withKeys(t *testing.T, change func(*Config)) (*Server, *logs) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.txt")
	for _, line := range []keys.Line{
		{Name: "shop", Roles: []keys.Role{keys.Infer}},
		{Name: "slow", Roles: []keys.Role{keys.Infer}, Rate: "1/m"},
		{Name: "graph", Roles: []keys.Role{keys.Metrics}},
		{Name: "root", Roles: []keys.Role{keys.Admin}},
	} {
		line.Hash("secret-" + line.Name)
		if err := keys.Append(path, line); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := keys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return ready(&fake{}, func(c *Config) {
		c.Keys = ring
		if change != nil {
			change(c)
		}
	})
}

func predictWith(s *Server, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader("picture"))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestAKeyIsAskedForWherePicturesAre(t *testing.T) {
	s, l := withKeys(t, nil)
	for _, headers := range [][]string{
		{}, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic dTpw"}, {"X-API-Key", ""}, {"Authorization", "secret-shop"},
	} {
		w := predictWith(s, headers...)
		wantProblem(t, w, api.Unauthorized)
		if w.Header().Get("WWW-Authenticate") != `Bearer realm="vidi"` {
			t.Errorf("%v: %v", headers, w.Header())
		}
	}
	wantProblem(t, predictWith(s, "X-API-Key", "secret-graph"), api.Forbidden)
	for _, headers := range [][]string{{"Authorization", "Bearer secret-shop"}, {"X-API-Key", "secret-shop"}, {"X-API-Key", "secret-root"}} {
		decodeAnswer(t, predictWith(s, headers...))
	}
	text := l.String()
	if !strings.Contains(text, "key=shop") || !strings.Contains(text, "key=graph") || strings.Contains(text, "secret-") {
		t.Errorf("the log should name keys, and not show them:\n%s", text)
	}
}

// Whatever is registered asks for a key unless it is known to be for all: a route that somebody adds is closed.
func TestOnlyNamedRoutesAreOpen(t *testing.T) {
	s, _ := withKeys(t, nil)
	for _, route := range s.echo.Routes() {
		w := fetch(s, route.Method, strings.ReplaceAll(route.Path, "*", "app.js"))
		switch route.Path {
		case "/", "/web/*", "/livez", "/readyz":
			if w.Code != 200 {
				t.Errorf("%s %s: %d", route.Method, route.Path, w.Code)
			}
		case "/openapi.yaml", "/openapi.json", "/docs", "/docs/*":
		default:
			if w.Code != 401 {
				t.Errorf("%s %s without a key: %d", route.Method, route.Path, w.Code)
			}
		}
	}
	wantProblem(t, fetch(s, http.MethodGet, "/nowhere"), api.NotFound)
}

func TestRateIsLimitedPerKey(t *testing.T) {
	s, _ := withKeys(t, nil)
	decodeAnswer(t, predictWith(s, "X-API-Key", "secret-slow"))
	w := predictWith(s, "X-API-Key", "secret-slow")
	if retry := w.Header().Get("Retry-After"); w.Code != 429 || retry != "60" {
		t.Errorf("%d, Retry-After %q", w.Code, retry)
	}
	if !strings.Contains(w.Body.String(), string(api.RateLimited)) {
		t.Errorf("%s", w.Body)
	}
	decodeAnswer(t, predictWith(s, "X-API-Key", "secret-shop"))
}

// Who has no key cannot make the server read what they send.
func TestARefusedUploadIsNotRead(t *testing.T) {
	s, _ := withKeys(t, nil)
	body := &countedReader{}
	r := httptest.NewRequest(http.MethodPost, "/predict", body)
	r.ContentLength = 1 << 20
	s.ServeHTTP(httptest.NewRecorder(), r)
	if body.read > leftToServer+drainBytes {
		t.Errorf("%d bytes were read", body.read)
	}
}

type countedReader struct{ read int }

func (c *countedReader) Read(p []byte) (int, error) {
	c.read += len(p)
	return len(p), nil
}

func TestCORSIsOffUnlessAsked(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	for _, method := range []string{http.MethodPost, http.MethodOptions} {
		w := fetch(s, method, "/predict", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%s: %s", method, name)
			}
		}
	}
}

func TestCORSForNamedOrigins(t *testing.T) {
	s, _ := withKeys(t, func(c *Config) { c.CORSOrigins = []string{"https://shop.example"} })
	preflight := fetch(s, http.MethodOptions, "/api/v1/predict", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST")
	h := preflight.Header()
	if preflight.Code != 204 || h.Get("Access-Control-Allow-Origin") != "https://shop.example" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") ||
		h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %d %v", preflight.Code, h)
	}
	answer := predictWith(s, "Origin", "https://shop.example", "X-API-Key", "secret-shop")
	if answer.Code != 200 || answer.Header().Get("Access-Control-Allow-Origin") != "https://shop.example" {
		t.Errorf("answer: %d %v", answer.Code, answer.Header())
	}
	refused := predictWith(s, "Origin", "https://shop.example") // its page must be able to read why
	if refused.Code != 401 || refused.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("refused: %d %v", refused.Code, refused.Header())
	}
	for _, origin := range []string{"https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"} {
		if w := predictWith(s, "Origin", origin, "X-API-Key", "secret-shop"); w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%s: %v", origin, w.Header())
		}
	}
}
