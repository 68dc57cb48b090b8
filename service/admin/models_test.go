package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/registry"
	"github.com/vidi-vision/vidi/service/telemetry"
)

// nothing is a registry without models.
type nothing struct{}

func (nothing) Status() registry.Status { return registry.Status{Models: []registry.ModelStatus{}} }

func (nothing) Do(context.Context, registry.Change, string, float64) error { return nil }

// asked notes what it is asked to do, and fails as it is told.
type asked struct {
	nothing
	did []string
	err error
}

func (a *asked) Do(_ context.Context, change registry.Change, ref string, percent float64) error {
	a.did = append(a.did, fmt.Sprint(change, " ", ref, " ", percent))
	return a.err
}

// send posts to the models' address over the socket, as JSON; headers are pairs and have the last word.
func send(s *Server, path, body string, headers ...string) *httptest.ResponseRecorder {
	return sendTo(s, &net.UnixAddr{Net: "unix", Name: "@vidi/127.0.0.1:5001"}, "@", path, body, headers...)
}

// sendToPort does so to the port, from this machine.
func sendToPort(s *Server, path, body string, headers ...string) *httptest.ResponseRecorder {
	return sendTo(s, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5001}, here, path, body, headers...)
}

func sendTo(s *Server, to net.Addr, from, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, to))
	r.RemoteAddr, r.Host = from, "127.0.0.1:5001"
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func codeOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p struct{ Code, Detail string }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem: %v %s", w.Header(), w.Body)
	}
	return p.Code
}

func TestChangesAreHandedOn(t *testing.T) {
	models := &asked{}
	s := New(telemetry.New(), models, nil, slog.New(slog.DiscardHandler))
	for _, c := range []struct{ change, body, want string }{
		{"load", `{"model": "pets@2"}`, "load pets@2 0"},
		{"unload", `{"model": "pets"}`, "unload pets 0"},
		{"swap", `{"model": "pets@2"}`, "swap pets@2 0"},
		{"rollback", `{"model": "pets"}`, "rollback pets 0"},
		{"canary", `{"model": "pets@2", "percent": 12.5}`, "canary pets@2 12.5"},
		{"shadow", `{"model": "pets", "percent": 0}`, "shadow pets 0"},
	} {
		models.did = nil
		w := send(s, "/models/"+c.change, c.body)
		if w.Code != 200 || len(models.did) != 1 || models.did[0] != c.want || !strings.Contains(w.Body.String(), `"models":[]`) {
			t.Errorf("%+v: %d %s, did %q", c, w.Code, w.Body, models.did)
		}
	}
}

// Nothing but JSON that makes sense, from somebody who may, changes anything.
func TestOtherRequestsChangeNothing(t *testing.T) {
	models := &asked{}
	ring, made := ringOf(t)
	s := New(telemetry.New(), models, ring, slog.New(slog.DiscardHandler))
	good := `{"model": "pets@2"}`
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
		code       string
	}{
		"a form of a web page":    {"/models/swap", "model=pets", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"},
		"text that is JSON":       {"/models/swap", good, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		"a key that only reads":   {"/models/swap", good, []string{"X-API-Key", made[keys.Metrics]}, 403, "forbidden"},
		"a key for pictures":      {"/models/swap", good, []string{"X-API-Key", made[keys.Infer]}, 403, "forbidden"},
		"no JSON":                 {"/models/swap", "pets@2", nil, 400, "bad_request"},
		"nothing":                 {"/models/swap", "", nil, 400, "bad_request"},
		"a path":                  {"/models/swap", `{"file": "/tmp/pets.pt"}`, nil, 400, "bad_request"},
		"no model":                {"/models/swap", `{}`, nil, 400, "bad_parameter"},
		"a share for a swap":      {"/models/swap", `{"model": "pets@2", "percent": 5}`, nil, 400, "bad_parameter"},
		"a canary without one":    {"/models/canary", good, nil, 400, "bad_parameter"},
		"what the watcher does":   {"/models/watch", good, nil, 404, "not_found"},
		"what nobody can do":      {"/models/explode", good, nil, 404, "not_found"},
		"more than it could read": {"/models/swap", `{"model": "` + strings.Repeat("x", 2<<20) + `"}`, nil, 400, "bad_request"},
	} {
		w := send(s, c.path, c.body, c.headers...)
		if w.Code != c.status || codeOf(t, w) != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.status, c.code)
		}
	}
	if w := ask(s, http.MethodGet, "/models/swap", here, "localhost"); w.Code != 405 {
		t.Errorf("GET: %d %s", w.Code, w.Body)
	}
	for name, headers := range map[string][]string{
		"the port, from here": nil, "another site's page": {"Sec-Fetch-Site", "cross-site"}, "through a proxy": {"X-Forwarded-For", "192.0.2.7"},
	} {
		if w := sendToPort(s, "/models/swap", good, headers...); w.Code != 401 || codeOf(t, w) != "unauthorized" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if models.did != nil {
		t.Errorf("they did %q", models.did)
	}
	if w := sendToPort(s, "/models/swap", good, "X-API-Key", made[keys.Admin], "X-Forwarded-For", "192.0.2.7"); w.Code != 200 || len(models.did) != 1 {
		t.Errorf("a key of role admin: %d %s", w.Code, w.Body)
	}
}

func TestRefusedChangesSayWhy(t *testing.T) {
	models := &asked{}
	s := New(telemetry.New(), models, nil, slog.New(slog.DiscardHandler))
	for code, status := range changeStatus {
		models.err = fmt.Errorf("wrapped: %w", &registry.Error{Code: code, Detail: "because"})
		if w := send(s, "/models/swap", `{"model": "pets@2"}`); w.Code != status || codeOf(t, w) != string(code) {
			t.Errorf("%s: %d %s", code, w.Code, w.Body)
		}
	}
	models.err = errors.New("odd")
	if w := send(s, "/models/swap", `{"model": "pets@2"}`); w.Code != 500 || codeOf(t, w) != "internal" {
		t.Errorf("an odd error: %d %s", w.Code, w.Body)
	}
}
