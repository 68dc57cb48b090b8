package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/web"
)

const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// fetch asks for path with the headers given as pairs.
func fetch(s *Server, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// Browsers get the page, programs a line that works; caches keep the two apart.
func TestRootIsAPageForBrowsersOnly(t *testing.T) {
	s, _ := ready(nil, nil) // while the model loads, too
	w := fetch(s, http.MethodGet, "/", "Accept", browserAccepts)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(w.Body.String(), "<!doctype html>") {
		t.Errorf("a browser: %d %v", w.Code, w.Header())
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		other := fetch(s, http.MethodGet, "/", "Accept", accept)
		if other.Code != 200 || !strings.HasPrefix(other.Header().Get("Content-Type"), "text/plain") || other.Header().Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %d %v", accept, other.Code, other.Header())
		}
	}
	if w.Header().Get("Vary") != "Accept" {
		t.Errorf("a cache would mix them up: %v", w.Header())
	}
}

// Each file has its type, its tag, and a policy under which nothing but the page's own files can run.
func TestPageFiles(t *testing.T) {
	s, _ := ready(nil, nil)
	for _, name := range web.Names() {
		w := fetch(s, http.MethodGet, "/web/"+name)
		h := w.Header()
		file, _ := web.Find(name)
		if w.Code != 200 || w.Body.String() != string(file.Data) || h.Get("Content-Type") != file.Type {
			t.Errorf("%s: %d, %d bytes, %v", name, w.Code, w.Body.Len(), h)
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": web.Policy, "Cache-Control": "no-cache", "ETag": file.ETag,
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		} {
			if h.Get(header) != want {
				t.Errorf("%s: %s is %q", name, header, h.Get(header))
			}
		}
		if h.Get("Set-Cookie") != "" {
			t.Errorf("%s sets a cookie", name)
		}
		if w := fetch(s, http.MethodGet, "/web/"+name, "If-None-Match", file.ETag); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s, again: %d, %d bytes", name, w.Code, w.Body.Len())
		}
		if w := fetch(s, http.MethodGet, "/web/"+name, "If-None-Match", `"older"`); w.Code != 200 {
			t.Errorf("%s, changed: %d", name, w.Code)
		}
		if w := fetch(s, http.MethodHead, "/web/"+name); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("ETag") != file.ETag {
			t.Errorf("HEAD %s: %d, %d bytes", name, w.Code, w.Body.Len())
		}
	}
	for _, unsafe := range []string{"unsafe", "*", "http:", "https:", "data:"} {
		if strings.Contains(web.Policy, unsafe) {
			t.Errorf("the policy allows %q", unsafe)
		}
	}
}

// The contract is there before the model is, is kept by browsers like the page's files, and brings no looser policy.
func TestContractIsServed(t *testing.T) {
	s, _ := ready(nil, nil)
	for path, want := range map[string]struct{ contentType, text string }{
		"/openapi.yaml": {"application/yaml", "openapi: 3.1."},
		"/docs":         {"text/html; charset=utf-8", "<!doctype html>"},
	} {
		w := fetch(s, http.MethodGet, path)
		h := w.Header()
		tag := h.Get("ETag")
		if w.Code != 200 || h.Get("Content-Type") != want.contentType || !strings.Contains(w.Body.String(), want.text) || tag == "" ||
			h.Get("Cache-Control") != "no-cache" || h.Get("Content-Security-Policy") != web.Policy {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		if w := fetch(s, http.MethodGet, path, "If-None-Match", tag); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s, again: %d, %d bytes", path, w.Code, w.Body.Len())
		}
		if w := fetch(s, http.MethodHead, path); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
			t.Errorf("HEAD %s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
		wantProblem(t, fetch(s, http.MethodPost, path), api.MethodNotAllowed)
	}
	wantProblem(t, fetch(s, http.MethodGet, "/docs/"), api.NotFound) // its links are relative: one folder down they would lead nowhere
}

// /docs is in the language that was chosen, or else in the one that the browser likes best; caches keep the two apart.
func TestDocsLanguage(t *testing.T) {
	s, _ := ready(nil, nil)
	tags := map[string]string{}
	for _, c := range []struct{ query, accepts, want string }{
		{"", "", "en"},
		{"", "*", "en"},
		{"", "de-DE,de;q=0.9", "en"},
		{"", "en-US,zh;q=0.9", "en"},
		{"", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"},
		{"", "zh-Hant-HK,en;q=0.5", "zh-CN"},
		{"", "zh-TW", "zh-CN"},
		{"", "en;q=0.4,zh;q=0.5", "zh-CN"},
		{"", "de,zh;q=0.3", "zh-CN"},
		{"", "zh;q=0", "en"},
		{"", ";;q=,", "en"},
		{"", strings.Repeat("zh-", 20_000), "en"},
		{"?lang=zh", "en", "zh-CN"},
		{"?lang=en", "zh-CN", "en"},
		{"?lang=zh-Hans", "en", "zh-CN"},
		{"?lang=en_GB", "zh-CN", "en"},
		{"?lang=fr", "zh-CN", "zh-CN"}, // there is none: as if it were not said
	} {
		w := fetch(s, http.MethodGet, "/docs"+c.query, "Accept-Language", c.accepts)
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Language") != c.want || h.Get("Vary") != "Accept-Language" ||
			!strings.Contains(w.Body.String(), `<html lang="`+c.want+`"`) {
			t.Errorf("%q %.40q: %d %v", c.query, c.accepts, w.Code, h)
		}
		tags[c.want] = h.Get("ETag")
		again := fetch(s, http.MethodHead, "/docs"+c.query, "Accept-Language", c.accepts, "If-None-Match", h.Get("ETag"))
		if again.Code != 304 || again.Header().Get("Vary") != "Accept-Language" {
			t.Errorf("%q %.40q, again: %d %v", c.query, c.accepts, again.Code, again.Header())
		}
	}
	if tags["en"] == tags["zh-CN"] {
		t.Error("the two languages have the same tag")
	}
	if w := fetch(s, http.MethodGet, "/docs?lang=zh", "If-None-Match", tags["en"]); w.Code != 200 {
		t.Errorf("who has the English page got %d for the Chinese one", w.Code)
	}
}

func TestPageHasNoOtherFiles(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	for _, path := range []string{"/web", "/web/", "/web/nothing.js", "/web/samples", "/web/samples/", "/web/../server.go", "/web/..%2fweb.go",
		"/web/%2e%2e/web.go", "/web//index.html", "/web/index.html/", "/index.html", "/favicon.ico"} {
		wantProblem(t, fetch(s, http.MethodGet, path), api.NotFound)
	}
	wantProblem(t, fetch(s, http.MethodPost, "/web/app.js"), api.MethodNotAllowed)
}

// The rest of the API keeps the strictest policy, and is never cached.
func TestPolicyOfTheAPIStays(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	for _, path := range []string{"/livez", "/api/v1/models", "/nothing", "/web/nothing", "/"} {
		h := fetch(s, http.MethodGet, path).Header()
		if h.Get("Content-Security-Policy") != "default-src 'none'; frame-ancestors 'none'" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// A code without words would show the server's English to somebody who reads Chinese.
func TestPageHasWordsForEveryCode(t *testing.T) {
	for _, name := range []string{"words.en.js", "words.zh.js"} {
		file, ok := web.Find(name)
		if !ok {
			t.Fatal(name)
		}
		for code := range statusOf {
			if !strings.Contains(string(file.Data), `"problem.`+string(code)+`": "`) {
				t.Errorf("%s has no words for %s", name, code)
			}
		}
	}
}
