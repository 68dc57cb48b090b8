package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func init() { maps.Copy(requestRows, accessRows) }

var accessRows = map[string]func(t *testing.T, r rowOf){
	"X1": func(t *testing.T, r rowOf) {
		file := filepath.Join(t.TempDir(), "keys.txt")
		key := newKey(t, file, "shop", "--role", "infer")
		closed := &guard{s: start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--keys", file).ready(t)}
		for _, wrong := range []string{"", "Bearer", "Bearer x", "Bearer " + key[:len(key)-1], "Bearer " + key + "x", "Bearer " + strings.ToUpper(key), "Basic " + key, "Bearer " + strings.Repeat("x", 10_000)} {
			r.want(t, fmt.Sprintf("%.12q", wrong), closed.answer(t, http.MethodPost, "/predict", "image/png", pngOf(t, 8, 8), "Authorization", wrong), "401 unauthorized")
		}
		r.want(t, "the key", closed.answer(t, http.MethodPost, "/predict", "image/png", pngOf(t, 8, 8), "Authorization", "Bearer "+key), "200")
	},
	"X2": func(t *testing.T, r rowOf) {
		bait, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		fetched := make(chan struct{})
		go func() {
			if conn, err := bait.Accept(); err == nil {
				conn.Close()
				close(fetched)
			}
		}()
		for _, address := range []string{"http://" + bait.Addr().String() + "/a.jpg", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "file:///etc/passwd", "gopher://x"} {
			r.want(t, address, r.json(t, `{"image": "`+address+`"}`), "400 bad_base64")
			r.want(t, address, r.json(t, `{"url": "`+address+`"}`), "400 bad_parameter")
		}
		bait.Close()
		select {
		case <-fetched:
			t.Error("the server fetched an address that a client sent")
		case <-time.After(100 * time.Millisecond):
		}
	},
	"X4": func(t *testing.T, r rowOf) { // what comes back of an upload is its name, in JSON that no browser sniffs
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, _ := w.CreateFormFile("image", "a.html")
		part.Write([]byte("<svg onload=alert(1)>"))
		w.Close()
		response, err := http.Post(r.s.url+"/predict", w.FormDataContentType(), &form)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if h := response.Header; h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("headers are %v", h)
		}
		r.want(t, "a drawing with a script", describe(t, response), "415 unsupported_format")
	},
	"X5": testLogInjection,
	"X6": func(t *testing.T, r rowOf) {
		for _, origin := range []string{"null", "https://evil.example"} {
			for _, method := range []string{http.MethodPost, http.MethodOptions} {
				request, _ := http.NewRequest(method, r.s.url+"/predict", bytes.NewReader(pngOf(t, 8, 8)))
				request.Header.Set("Origin", origin)
				request.Header.Set("Access-Control-Request-Method", "POST")
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				for name := range response.Header {
					if strings.HasPrefix(name, "Access-Control") {
						t.Errorf("%s from %s: %s", method, origin, name)
					}
				}
				r.want(t, method, describe(t, response), map[string]string{http.MethodPost: "403 foreign_site", http.MethodOptions: "204"}[method])
				response.Body.Close()
			}
		}
	},
	"X7": func(t *testing.T, r rowOf) {
		for _, path := range []string{"/metrics", "/stats", "/stats.json", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/admin"} {
			r.want(t, path, r.answer(t, http.MethodGet, path, "", nil), "404 not_found")
		}
	},
	"X8": func(t *testing.T, r rowOf) { // `describe` looks at every answer of every row; here at what is no problem
		for _, path := range []string{"/", "/livez", "/readyz", "/api/v1/models", "/openapi.yaml"} {
			code, body := fetch(t, r.s.url+path)
			r.want(t, path, fmt.Sprint(code), "200")
			for _, secret := range []string{filepath.Dir(torchtest.File(t, "go.mod")), r.admin, ".cc:", "goroutine"} {
				if strings.Contains(body, secret) {
					t.Errorf("%s shows %s", path, secret)
				}
			}
		}
	},
	"X9": func(t *testing.T, r rowOf) {
		var archive bytes.Buffer
		w := zip.NewWriter(&archive)
		entry, _ := w.Create("../../../tmp/slip.png")
		entry.Write(pngOf(t, 8, 8))
		w.Close()
		r.want(t, "an archive", r.picture(t, archive.Bytes()), "415 unsupported_format")
	},
}

// X5: whatever a client sends, a request is one line of JSON, and no control character reaches the terminal.
func testLogInjection(t *testing.T, r rowOf) {
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--log-format=json").ready(t)
	g := &guard{s: s}
	const header = "x\u202e\"},{\"level\":\"ERROR"
	const evil = header + "\x1b[31m"
	for name, want := range map[string]string{header: "422 corrupt_image", evil: "400 bad_request"} { // the escape makes the form malformed
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, _ := w.CreateFormFile("image", name)
		part.Write([]byte("no picture"))
		w.Close()
		r.want(t, "a name", g.answer(t, http.MethodPost, "/predict", w.FormDataContentType(), form.Bytes(), "User-Agent", header, "X-Request-Id", header), want)
	}
	r.want(t, "a path", g.raw(t, "GET /a%0d%0alevel=ERROR%1b[31m HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a\tb\r\nConnection: close\r\n\r\n"), "404 not_found")
	s.waitFor(t, "three lines", func() bool { return strings.Count(s.stderr.String(), `"status":4`) == 3 })
	for line := range strings.Lines(s.stderr.String()) {
		var event struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Level == "ERROR" || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\u202e") {
			t.Errorf("%v in %q", err, line)
		}
	}
}

// X10: the decoders that are linked in are not those with known holes; and the pictures that ended whole processes through them
// are rows C7 and C9. What else is known by now, `govulncheck ./...` tells where there is a network.
func TestLibrariesAreNotTheKnownBadOnes(t *testing.T) {
	out, err := exec.Command("go", "version", "-m", torchtest.File(t, "bin/vidi")).Output()
	if err != nil {
		t.Fatal(err)
	}
	least := map[string][3]int{
		"golang.org/x/image":          {0, 45, 0}, // GO-2026-4961 and six more before
		"golang.org/x/net":            {0, 38, 0},
		"github.com/labstack/echo/v4": {4, 15, 4}, // GHSA-vfp3-v2gw-7wfq
	}
	for line := range strings.Lines(string(out)) {
		field := strings.Fields(line)
		if len(field) < 3 || field[0] != "dep" {
			continue
		}
		want, listed := least[field[1]]
		if !listed {
			continue
		}
		var got [3]int
		if _, err := fmt.Sscanf(field[2], "v%d.%d.%d", &got[0], &got[1], &got[2]); err != nil || slices.Compare(got[:], want[:]) < 0 {
			t.Errorf("%s %s is older than %v", field[1], field[2], want)
		}
		delete(least, field[1])
	}
	if _, there := least["golang.org/x/image"]; there {
		t.Errorf("the binary does not say what it is made of: %s", out)
	}
}

// X11: the server works where it may write no file at all, as in a container whose file system is read-only, and pictures never
// touch the disk.
func TestServeWritesNoFile(t *testing.T) {
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		missing(t, "prlimit is not installed (util-linux)")
	}
	s := startCommand(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{limit, "--fsize=0", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = limit
		cmd.Env = append(cmd.Env, "TMPDIR=/nonexistent", "HOME=/nonexistent")
	}, lite0).ready(t)
	for _, name := range []string{"espresso.png", "flower.jpg"} {
		if code, answer := s.post(t, "application/octet-stream", read(t, torchtest.File(t, "examples/"+name))); code != http.StatusOK {
			t.Errorf("%s: %d %s", name, code, answer)
		}
	}
	large := append(pngOf(t, 8, 8), make([]byte, 15<<20)...) // larger than what multipart helpers keep in memory
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, _ := w.CreateFormFile("image", "large.png")
	part.Write(large)
	w.Close()
	if code, answer := s.post(t, w.FormDataContentType(), form.Bytes()); code != http.StatusOK {
		t.Errorf("a large form: %d %s", code, answer)
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	if err != nil || len(links) == 0 {
		t.Fatal("no descriptors")
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasSuffix(target, "(deleted)") {
			t.Errorf("a temporary file: %s", target)
		}
	}
}

// X12: 64 clients with pictures that differ in size, a part of whom leave early: each gets its own answer.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--queue=1000").ready(t)
	const clients, rounds = 64, 12
	var all sync.WaitGroup
	var mu sync.Mutex
	answered, left := 0, 0
	for c := range clients {
		picture, id := pngOf(t, 100+c, 200+c), fmt.Sprint("client-", c)
		chance := rand.New(rand.NewPCG(uint64(c), 12))
		all.Go(func() {
			client := newClient()
			defer client.CloseIdleConnections()
			for range rounds {
				client.Timeout = time.Minute
				if chance.IntN(4) == 0 {
					client.Timeout = time.Duration(chance.IntN(20)) * time.Millisecond
				}
				request, _ := http.NewRequest(http.MethodPost, s.url+"/predict", bytes.NewReader(picture))
				request.Header.Set("X-Request-Id", id)
				response, err := client.Do(request)
				var body []byte
				if err == nil {
					body, err = io.ReadAll(response.Body)
					response.Body.Close()
				}
				mu.Lock()
				if err != nil {
					left++
				} else {
					answered++
				}
				mu.Unlock()
				if err != nil {
					if client.Timeout == time.Minute {
						t.Error(err)
					}
					continue
				}
				var answer api.PredictResponse
				if err := json.Unmarshal(body, &answer); err != nil || answer.RequestID != id || len(answer.Results) != 1 ||
					answer.Results[0].Width != 100+c || answer.Results[0].Height != 200+c {
					t.Errorf("client %d got %v %s", c, err, body)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d answers, %d clients left", answered, left)
	if answered < clients*rounds/2 || left < 5 {
		t.Error("too few answers, or too few left, to prove anything")
	}
}
