package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/service/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ringOf makes a key file with a key of each role, and returns them by role.
func ringOf(t *testing.T) (*keys.Ring, map[keys.Role]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.txt")
	made := map[keys.Role]string{}
	for _, role := range keys.Roles {
		line := keys.Line{Name: "key-" + string(role), Roles: []keys.Role{role}}
		made[role] = keys.New()
		line.Hash(made[role])
		if err := keys.Append(path, line); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := keys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return ring, made
}

// ask sends a request as if from remote; headers are pairs.
func ask(s *Server, method, path, remote, host string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr, r.Host = remote, host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const (
	here  = "127.0.0.1:4711"
	there = "192.0.2.7:4711"
)

var guarded = []string{"/metrics", "/stats.json", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine", "/debug/pprof/heap"}

// figures is what this machine may see without a key; the rest of what is guarded it may not.
var figures = guarded[:2]

// Row R10: an address is no credential for anything but figures.
func TestThisMachineSeesFiguresWithoutAKey(t *testing.T) {
	s := New(telemetry.New(), nothing{}, nil, slog.New(slog.DiscardHandler))
	for _, host := range []string{"127.0.0.1:5001", "localhost:5001", "[::1]:5001", "LOCALHOST"} {
		for _, path := range figures {
			if w := ask(s, "GET", path, here, host); w.Code != 200 {
				t.Errorf("%s at %s: %d %s", path, host, w.Code, w.Body)
			}
		}
		for _, path := range guarded[len(figures):] {
			if w := ask(s, "GET", path, here, host); w.Code != 403 || codeOf(t, w) != "forbidden" {
				t.Errorf("%s at %s: %d %s", path, host, w.Code, w.Body)
			}
		}
	}
	if w := ask(s, "GET", "/metrics", "[::1]:4711", "[::1]:5001"); w.Code != 200 {
		t.Errorf("IPv6: %d", w.Code)
	}
}

// What only looks as if it came from this machine does not count as such.
func TestWhoIsPassedOnNeedsAKey(t *testing.T) {
	ring, _ := ringOf(t)
	for name, s := range map[string]*Server{"open": New(telemetry.New(), nothing{}, nil, slog.New(slog.DiscardHandler)), "keys": New(telemetry.New(), nothing{}, ring, slog.New(slog.DiscardHandler))} {
		for _, path := range guarded {
			for what, w := range map[string]*httptest.ResponseRecorder{
				"from elsewhere":               ask(s, "GET", path, there, "127.0.0.1:5001"),
				"no address":                   ask(s, "GET", path, "@", "127.0.0.1:5001"),
				"a proxy here":                 ask(s, "GET", path, here, "127.0.0.1:5001", "X-Forwarded-For", "192.0.2.7"),
				"another proxy here":           ask(s, "GET", path, here, "127.0.0.1:5001", "Forwarded", "for=192.0.2.7"),
				"a name that leads here (DNS)": ask(s, "GET", path, here, "evil.example:5001"),
				"another web page":             ask(s, "GET", path, here, "127.0.0.1:5001", "Sec-Fetch-Site", "cross-site"),
				"another page, older browser":  ask(s, "GET", path, here, "127.0.0.1:5001", "Origin", "http://evil.example"),
			} {
				want := map[string]int{"open": 403, "keys": 401}[name]
				var problem struct{ Code, Detail string }
				if err := json.Unmarshal(w.Body.Bytes(), &problem); w.Code != want || err != nil || problem.Code == "" || problem.Detail == "" {
					t.Errorf("%s, %s, %s: %d %s", name, path, what, w.Code, w.Body)
				}
				if (w.Header().Get("WWW-Authenticate") != "") != (want == 401) {
					t.Errorf("%s, %s: %v", name, path, w.Header())
				}
			}
		}
	}
}

func TestRolesOpenWhatIsTheirs(t *testing.T) {
	ring, key := ringOf(t)
	log := &bytes.Buffer{}
	s := New(telemetry.New(), nothing{}, ring, slog.New(slog.NewTextHandler(log, nil)))
	for _, c := range []struct {
		path                  string
		infer, metrics, admin int
	}{
		{"/metrics", 403, 200, 200},
		{"/stats.json", 403, 200, 200},
		{"/debug/pprof/", 403, 403, 200},
		{"/debug/pprof/heap", 403, 403, 200},
	} {
		for role, want := range map[keys.Role]int{keys.Infer: c.infer, keys.Metrics: c.metrics, keys.Admin: c.admin} {
			if w := ask(s, "GET", c.path, there, "box:5001", "Authorization", "Bearer "+key[role]); w.Code != want {
				t.Errorf("%s with %s: %d", c.path, role, w.Code)
			}
			if w := ask(s, "GET", c.path, there, "box:5001", "X-API-Key", key[role]); w.Code != want {
				t.Errorf("%s with %s in X-API-Key: %d", c.path, role, w.Code)
			}
		}
		if w := ask(s, "GET", c.path, here, "127.0.0.1:5001", "Authorization", "Bearer wrong"); w.Code != 401 {
			t.Errorf("%s with a wrong key from here: %d", c.path, w.Code)
		}
	}
	for _, k := range key {
		if strings.Contains(log.String(), k) {
			t.Error("the log has a key in it")
		}
	}
	if !strings.Contains(log.String(), "key=key-admin") || !strings.Contains(log.String(), "admin request refused") {
		t.Errorf("the log does not name who asked:\n%s", log)
	}
}

func TestRateHoldsHereToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.txt")
	line := keys.Line{Name: "graph", Roles: []keys.Role{keys.Metrics}, Rate: "1/m"}
	line.Hash("secret")
	if err := keys.Append(path, line); err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s := New(telemetry.New(), nothing{}, ring, slog.New(slog.DiscardHandler))
	ask(s, "GET", "/metrics", there, "box", "X-API-Key", "secret")
	if w := ask(s, "GET", "/metrics", there, "box", "X-API-Key", "secret"); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// The page's files hold nothing worth a key; its figures do.
func TestThePageIsThereForAll(t *testing.T) {
	s := New(telemetry.New(), nothing{}, nil, slog.New(slog.DiscardHandler))
	w := ask(s, "GET", "/stats", there, "box:5001", "Accept", "text/html")
	if w.Code != 200 || w.Header().Get("Content-Security-Policy") != web.Policy || !strings.Contains(w.Body.String(), "stats.js") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, name := range append(web.StatsNames(), "base.css", "dom.js", "key.js", "i18n.js") {
		if w := ask(s, "GET", "/web/"+name, there, "box:5001"); w.Code != 200 || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := ask(s, "GET", "/stats", here, "127.0.0.1", "Accept", "application/json"); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "{") {
		t.Errorf("JSON at /stats: %d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/stats", there, "box", "Accept", "application/json"); w.Code != 403 {
		t.Errorf("JSON at /stats from elsewhere: %d", w.Code)
	}
	if w := ask(s, "GET", "/", here, "127.0.0.1"); w.Code != 302 || w.Header().Get("Location") != "stats" {
		t.Errorf("/: %d %v", w.Code, w.Header())
	}
}

func TestNothingElseIsThere(t *testing.T) {
	s := New(telemetry.New(), nothing{}, nil, slog.New(slog.DiscardHandler))
	for _, path := range []string{"/predict", "/debug", "/debug/vars", "/web/", "/web/../admin.go", "/web/..%2fadmin.go", "/web/stats/stats.js", "/stats/", "/api/v1/models"} {
		if w := ask(s, "GET", path, here, "127.0.0.1"); w.Code == 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if w := ask(s, method, "/metrics", here, "127.0.0.1"); w.Code != 405 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestServeAndCloseLeaveNothing(t *testing.T) {
	s := New(telemetry.New(), nothing{}, nil, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	transport := &http.Transport{DisableKeepAlives: true}
	get := func(path string) {
		response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://" + l.Addr().String() + path)
		if err != nil {
			return // a profile that the close cut off
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	get("/metrics")
	profile := make(chan struct{})
	go func() { get("/debug/pprof/profile?seconds=2"); close(profile) }()
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	s.Close(ctx)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-profile
	time.Sleep(2100 * time.Millisecond) // pprof's own handler ends with its profile, or when it sees that nobody reads
}
