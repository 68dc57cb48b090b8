package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// Row R4: 3,000 connections with 56 KB of headers each, in three ways, that do not end; and somebody who asks meanwhile.
func TestHeadersBeforeAnyKey(t *testing.T) {
	s, admin := startAdmin(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"))
	transport := &http.Transport{DisableKeepAlives: true}
	other := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	asked := func() time.Duration {
		begun := time.Now()
		response, err := other.Get(s.url + "/livez")
		if err != nil {
			t.Error(err)
			return 0
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("/livez: %d", response.StatusCode)
		}
		return time.Since(begun)
	}
	asked()
	const connections = 3000
	var many strings.Builder
	for n := range 8000 {
		fmt.Fprintf(&many, "%x:\r\n", 0x1000+n)
	}
	for name, header := range map[string]string{
		"one line": "X: " + strings.Repeat("a", 56_000), "many fields": many.String(), "the same field": strings.Repeat("A:\r\n", 14_000),
	} {
		s.resetPeak(t)
		idle := s.memory(t, "VmHWM")
		var open []net.Conn
		var slowest time.Duration
		for n := range connections {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatalf("connection %d: %v", n, err)
			}
			open = append(open, conn)
			// The server cuts it off somewhere, so that writing may fail.
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\n"+header)
			if n%100 == 0 {
				slowest = max(slowest, asked())
			}
		}
		for range 20 {
			slowest = max(slowest, asked())
			time.Sleep(50 * time.Millisecond)
		}
		peak := s.memory(t, "VmHWM") - idle
		t.Logf("R4, %s: memory at most %d MiB over an idle server, others' /livez within %v", name, peak>>20, slowest)
		// Measured: 30 to 65 MiB, where it was 1,500; and 0.2 s, where it was 20 and more. The bounds are for busy machines.
		if peak > 160<<20 {
			t.Errorf("%s: memory grew by %d MiB", name, peak>>20)
		}
		if slowest > 5*time.Second {
			t.Errorf("%s: others waited %v", name, slowest)
		}
		for _, conn := range open {
			conn.Close()
		}
	}
	_, text := fetch(t, admin+"/metrics")
	if n := metric(t, text, `vidi_http_connections_refused_total{reason="header"}`); n < 2*connections {
		t.Errorf("only %v were counted", n)
	}
	if code, answer := s.post(t, "image/png", read(t, torchtest.File(t, "examples/cat.png"))); code != http.StatusOK {
		t.Errorf("a picture afterwards: %d %s", code, answer)
	}
}

// proxies pass everything on to target, as a proxy does whose configuration has one line about it: with no word about who asks, and with
// the target's name as Host, or the client's where a second line says so. nginx is one where it is installed.
func proxies(t *testing.T, target string, keepHost bool) map[string]string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if keepHost {
			r.Out.Host = r.In.Host
		}
	}}}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	made := map[string]string{"a proxy in Go": "http://" + l.Addr().String()}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return made
	}
	more := ""
	if keepHost {
		more = "proxy_set_header Host $host;"
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	folder := t.TempDir()
	file := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf("daemon off; master_process off; pid %s/pid; events {}\nhttp { access_log off; server { listen %s; location / { proxy_pass %s; %s } } }\n", folder, at, target, more)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-e", "stderr", "-p", folder, "-c", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	waitFor(t, "nginx", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	made["nginx"] = "http://" + at
	return made
}

// Row R10: a proxy on the machine that passes the admin port on without a word about it shows figures, and opens nothing. Its operator,
// on the machine, needs no set-up.
func TestAPlainProxyOpensNothing(t *testing.T) {
	s, admin := startAdmin(t, lite0)
	for name, proxy := range proxies(t, admin, false) {
		for path, want := range map[string]int{
			"/metrics": 200, "/debug/pprof/": 403, "/debug/pprof/heap": 403, "/debug/pprof/cmdline": 403, "/debug/pprof/profile?seconds=1": 403,
		} {
			if code, body := fetch(t, proxy+path); code != want {
				t.Errorf("%s through %s: %d %.200s", path, name, code, body)
			}
		}
		for _, change := range []string{"load", "unload", "swap", "rollback", "canary", "shadow"} {
			response, err := http.Post(proxy+"/models/"+change, "application/json", strings.NewReader(`{"model": "efficientnet-lite0"}`))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusForbidden {
				t.Errorf("%s through %s: %s", change, name, response.Status)
			}
		}
	}
	mustOperate(t, admin, "shadow", "efficientnet-lite0@1", "100")
	mustOperate(t, admin, "shadow", "efficientnet-lite0@1", "0")
	if out := mustOperate(t, admin, "status"); !strings.Contains(out, "efficientnet-lite0@1") {
		t.Errorf("status: %s", out)
	}
	if code, answer := s.post(t, "image/png", read(t, torchtest.File(t, "examples/cat.png"))); code != http.StatusOK {
		t.Errorf("a picture afterwards: %d %s", code, answer)
	}
}

// Row R10: a request with two lengths is the last of its connection on the admin port too.
func TestTheAdminPortEndsAfterTwoLengths(t *testing.T) {
	_, admin := startAdmin(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"))
	conn, err := net.Dial("tcp", strings.TrimPrefix(admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+
		"GET /stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if all, _ := io.ReadAll(conn); strings.Count(string(all), "HTTP/1.1 ") != 1 {
		t.Errorf("not one answer: %.300q … %.100q", all, all[max(0, len(all)-100):])
	}
}

// Row R10: 300 connections to the admin port, which send half a header or nothing, take no descriptor from the public one.
func TestIdleOperatorsLeaveThePublicPortAlone(t *testing.T) {
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		missing(t, "prlimit is not installed (util-linux)")
	}
	s := startCommand(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{limit, "--nofile=256:256", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = limit
	}, lite0, "--admin-addr=127.0.0.1:0").ready(t)
	admin := adminAddress.FindStringSubmatch(s.stderr.String())[1]
	picture := read(t, torchtest.File(t, "examples/cat.png"))
	for _, sent := range []string{"", "GET /metrics HTTP/1.1\r\nX: ", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		var idle []net.Conn
		for range 300 {
			conn, err := net.Dial("tcp", admin)
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, conn)
			_, _ = io.WriteString(conn, sent)
		}
		for range 10 {
			c := newClient() // a connection of its own
			if code, answer, err := c.predict(s.url, picture); err != nil || code != http.StatusOK {
				t.Errorf("beside 300 of %q: %d %s %v", sent, code, answer, err)
			}
			c.CloseIdleConnections()
		}
		if open := s.count(t, "fd"); open > 256-100 {
			t.Errorf("beside 300 of %q, %d descriptors are open", sent, open)
		}
		mustOperate(t, "http://"+admin, "status") // by the socket, which has places of its own
		for _, conn := range idle {
			conn.Close()
		}
	}
}

// Row R11: a server on loopback, asked under other names and by other sites' pages, and through proxies that hide and that keep the name.
func TestLoopbackAnswersToItsOwnNames(t *testing.T) {
	s := start(t, lite0).ready(t)
	named := start(t, lite0, "--cors-origin=https://vidi.example").ready(t)
	picture := read(t, torchtest.File(t, "examples/cat.png"))
	ask := func(at, host string, headers ...string) string {
		t.Helper()
		request, err := http.NewRequest(http.MethodPost, at+"/predict", bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			request.Host = host
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return describe(t, response)
	}
	const foreign = "403 foreign_site"
	for _, c := range []struct {
		what, got, want string
	}{
		{"curl", ask(s.url, ""), "200"},
		{"localhost", ask(s.url, "localhost:5000"), "200"},
		{"DNS rebinding", ask(s.url, "evil.example:5000"), foreign},
		{"another site's page", ask(s.url, "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), foreign},
		{"another site's page under the name that is allowed", ask(named.url, "vidi.example", "Origin", "https://evil.example"), foreign},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
	const name = "vidi.example"
	page := []string{"Origin", "https://" + name, "Sec-Fetch-Site", "same-origin"}
	for what, at := range proxies(t, s.url, false) {
		if got := ask(at, name, page...); got != "200" {
			t.Errorf("the page behind %s that hides its name: %s", what, got)
		}
	}
	for what, at := range proxies(t, s.url, true) {
		if got := ask(at, name, page...); got != foreign {
			t.Errorf("the page behind %s, under a name that the server was not told: %s", what, got)
		}
	}
	for what, at := range proxies(t, named.url, true) {
		if got := ask(at, name, page...); got != "200" {
			t.Errorf("the page behind %s, under its name: %s", what, got)
		}
		if got := ask(at, name); got != "200" {
			t.Errorf("a program behind %s: %s", what, got)
		}
	}
}
