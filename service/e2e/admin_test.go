package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vidi-vision/vidi/service/admin"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

var adminAddress = regexp.MustCompile(`admin=([0-9.:\[\]]+)`)

// startAdmin starts a server with an admin port, and returns that port's address.
func startAdmin(t *testing.T, args ...string) (s *server, admin string) {
	t.Helper()
	s, admin = startingAdmin(t, args...)
	return s.ready(t), admin
}

// startingAdmin is startAdmin for a server that need not be ready yet.
func startingAdmin(t *testing.T, args ...string) (s *server, admin string) {
	t.Helper()
	s = start(t, append([]string{"--admin-addr=127.0.0.1:0"}, args...)...)
	s.waitFor(t, "an admin address", func() bool {
		match := adminAddress.FindStringSubmatch(s.stderr.String())
		if match != nil {
			admin = "http://" + match[1]
		}
		return match != nil
	})
	return s, admin
}

// fetch answers with the status and the body; headers are pairs.
func fetch(t testing.TB, url string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return do(t, http.DefaultClient, request)
}

// fetchInside asks the server whose admin port is given over its socket, where this user may do everything.
func fetchInside(t testing.TB, at, path string) (int, string) {
	t.Helper()
	addr := strings.TrimPrefix(at, "http://")
	request, err := http.NewRequest(http.MethodGet, at+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return admin.DialSocket(ctx, addr) }
	return do(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}, request)
}

func do(t testing.TB, client *http.Client, request *http.Request) (int, string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(body)
}

// metric is the value of a series in Prometheus' text.
func metric(t testing.TB, text, series string) float64 {
	t.Helper()
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if match == nil {
		t.Errorf("there is no %s", series)
		return -1
	}
	value, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		t.Error(err)
	}
	return value
}

// X7: what is for operators is on their port, and nowhere else.
func TestOperatorsHaveAPortOfTheirOwn(t *testing.T) {
	s, admin := startAdmin(t, lite0)
	for path, open := range map[string]bool{
		"/metrics": true, "/stats": true, "/stats.json": true, "/web/stats.js": true, "/web/stats.html": true,
		"/debug/pprof/": false, "/debug/pprof/heap": false, "/debug/pprof/cmdline": false,
	} {
		if code, body := fetch(t, s.url+path); code != 404 {
			t.Errorf("%s on the public port: %d %.200s", path, code, body)
		}
		if code, body := fetch(t, admin+path); (code == 200) != open || code != 200 && code != 403 {
			t.Errorf("%s on the admin port: %d %.200s", path, code, body)
		}
		if code, body := fetchInside(t, admin, path); code != 200 {
			t.Errorf("%s over the socket: %d %.200s", path, code, body)
		}
	}
	for _, path := range []string{"/predict", "/api/v1/models"} {
		if code, _ := fetch(t, admin+path); code != 404 {
			t.Errorf("%s on the admin port: %d", path, code)
		}
	}
}

// The figures can be asked for from the first moment on, also while libtorch is being opened.
func TestMetricsWhileTheModelLoads(t *testing.T) {
	for range 3 {
		s, admin := startingAdmin(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"))
		asked := 0
		for ready := false; !ready; asked++ {
			code, text := fetch(t, admin+"/metrics")
			if code != http.StatusOK {
				t.Fatalf("the %dth time: %d\n%s", asked, code, s.stderr.String())
			}
			ready = metric(t, text, "vidi_ready") == 1
		}
		if asked < 10 {
			t.Errorf("asked only %d times before it was ready", asked)
		}
	}
}

func TestMetricsTellWhatHappened(t *testing.T) {
	s, admin := startAdmin(t, lite0)
	for _, body := range [][]byte{read(t, torchtest.File(t, "examples/flower.jpg")), read(t, torchtest.File(t, "examples/cat.png")), []byte("this is a text, and no picture at all")} {
		s.post(t, "application/octet-stream", body)
	}
	// The last request is counted a moment after its answer, and the second module is warmed in the background.
	var text string
	waitFor(t, "quiet", func() bool {
		_, text = fetch(t, admin+"/metrics")
		return metric(t, text, "vidi_http_requests_in_flight") == 0 && metric(t, text, `vidi_native_objects{kind="tensor"}`) == 0 && metric(t, text, "vidi_engine_workers_busy") == 0
	})
	for series, want := range map[string]float64{
		`vidi_http_requests_total{code="200",route="/predict"}`:      2,
		`vidi_http_requests_total{code="415",route="/predict"}`:      1,
		`vidi_http_rejections_total{reason="unsupported_format"}`:    1,
		`vidi_picture_failures_total{reason="unsupported_format"}`:   1,
		`vidi_pictures_total{format="jpeg"}`:                         1,
		`vidi_pictures_total{format="png"}`:                          1,
		`vidi_stage_duration_seconds_count{stage="inference"}`:       2,
		`vidi_http_request_duration_seconds_count{route="/predict"}`: 3,
		`vidi_queue_length`:                  0,
		`vidi_native_objects{kind="status"}`: 0,
		`vidi_ready`:                         1,
		`vidi_model_info{model="efficientnet-lite0",precision="fp32",role="stable",version="1"}`: 1,
	} {
		if got := metric(t, text, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if resident, actual := metric(t, text, "process_resident_memory_bytes"), float64(s.memory(t, "VmRSS")); resident < actual/2 || resident > 2*actual {
		t.Errorf("resident memory is %v, /proc says %v", resident, actual)
	}
	if inference := metric(t, text, `vidi_stage_duration_seconds_sum{stage="inference"}`); inference <= 0 || inference > 10 {
		t.Errorf("two inferences took %v seconds", inference)
	}
	var stats telemetry.Stats
	_, body := fetch(t, admin+"/stats.json")
	if err := json.Unmarshal([]byte(body), &stats); err != nil || !stats.Ready || stats.Model == nil || stats.Model.Name != "efficientnet-lite0" || stats.Resident == 0 {
		t.Errorf("%v: %s", err, body)
	}
}

// X7: 10^5 addresses that there are not leave no series behind.
func TestRandomPathsMakeNoLabels(t *testing.T) {
	s, admin := startAdmin(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"))
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	send := func(n int) {
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range n / 8 {
					response, err := client.Get(fmt.Sprintf("%s/%x/%x?%x", s.url, rand.Int64(), rand.Int64(), rand.Int64()))
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			})
		}
		clients.Wait()
	}
	series := func() int {
		_, text := fetch(t, admin+"/metrics")
		return strings.Count(text, "\nvidi_")
	}
	send(80)
	before, memory := series(), s.memory(t, "RssAnon")
	send(100_000)
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if grown := s.memory(t, "RssAnon") - memory; grown > 40<<20 {
		t.Errorf("memory has grown by %d MiB", grown>>20)
	}
}

// outside is an address of this machine that is not loopback.
func outside(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

func TestTheAdminPortAsksStrangersForAKey(t *testing.T) {
	ip := outside(t)
	file := filepath.Join(t.TempDir(), "keys.txt")
	key := map[string]string{}
	for _, role := range []string{"infer", "metrics", "admin"} {
		r := vidi(t, nil, "keys", "new", role+"-key", "--role", role, "--keys", file)
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
		key[role] = strings.TrimSpace(r.stdout)
	}
	for name, c := range map[string]struct {
		args                 []string
		without, bad, metric int
	}{
		"without a key file": {nil, 403, 403, 403},
		"with one":           {[]string{"--keys", file}, 401, 401, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s, admin := startAdmin(t, append(c.args, lite0, "--admin-addr=0.0.0.0:0")...)
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(admin, "http://"))
			from := "http://" + net.JoinHostPort(ip, port)
			for _, path := range []string{"/metrics", "/stats.json", "/debug/pprof/"} {
				if code, _ := fetch(t, from+path); code != c.without {
					t.Errorf("%s without a key: %d", path, code)
				}
				if code, _ := fetch(t, from+path, "X-API-Key", "wrong"); code != c.bad {
					t.Errorf("%s with a wrong key: %d", path, code)
				}
				here, want := "http://127.0.0.1:"+port, 200
				if strings.HasPrefix(path, "/debug/") {
					want = c.without
				}
				if code, _ := fetch(t, here+path); code != want {
					t.Errorf("%s from this machine: %d", path, code)
				}
				if code, _ := fetchInside(t, here, path); code != 200 {
					t.Errorf("%s over the socket: %d", path, code)
				}
			}
			if code, _ := fetch(t, from+"/metrics", "Authorization", "Bearer "+key["metrics"]); code != c.metric {
				t.Errorf("/metrics with its role: %d", code)
			}
			if code, _ := fetch(t, from+"/debug/pprof/", "Authorization", "Bearer "+key["metrics"]); code != 403 {
				t.Errorf("profiles with the role metrics: %d", code)
			}
			s.waitFor(t, "a warning", func() bool { return strings.Contains(s.stderr.String(), "the admin port listens beyond this machine") })
		})
	}
}

func TestATakenAdminPortIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := vidi(t, nil, "serve", lite0, "--addr=127.0.0.1:0", "--admin-addr", taken.Addr().String())
	if r.code != 3 || !strings.Contains(r.stderr, "already in use by") || !strings.Contains(r.stderr, "--admin-addr") || !strings.Contains(r.stderr, fmt.Sprint(os.Getpid())) {
		t.Errorf("%+v", r)
	}
}

// Looking at a server for long leaves nothing in it.
func TestOperatorsLeaveNothingBehind(t *testing.T) {
	s, admin := startAdmin(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"))
	goroutines := func() float64 {
		_, text := fetch(t, admin+"/metrics")
		return metric(t, text, "go_goroutines")
	}
	look := func(n int) {
		for range n {
			for _, path := range []string{"/metrics", "/stats.json", "/stats", "/nothing"} {
				fetch(t, admin+path)
			}
			fetchInside(t, admin, "/debug/pprof/heap")
			s.post(t, "image/png", read(t, torchtest.File(t, "examples/cat.png")))
		}
	}
	look(10)
	before, descriptors := goroutines(), s.descriptors(t)
	look(100)
	waitFor(t, "goroutines that end", func() bool { return goroutines() <= before+2 })
	if after := s.descriptors(t); after > descriptors+2 {
		t.Errorf("%d descriptors became %d", descriptors, after)
	}
}

// promtool is Prometheus' own checker, out of the package that `make test` fetches.
func promtool(t *testing.T) string {
	t.Helper()
	own := filepath.Join(filepath.Dir(torchtest.File(t, "go.mod")), "build", "prometheus", "promtool")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	found, err := exec.LookPath("promtool")
	if err != nil {
		missing(t, "there is no promtool; `make build/prometheus` fetches it")
	}
	return found
}

// What lies in deploy/ is good Prometheus, and every metric named there is one that the server has.
func TestDeployFits(t *testing.T) {
	s, admin := startAdmin(t, lite0)
	mustOperate(t, admin, "shadow", "efficientnet-lite0@1", "100") // its metrics are there as long as it is
	s.post(t, "image/png", read(t, torchtest.File(t, "examples/cat.png")))
	_, text := fetch(t, admin+"/metrics")
	names := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z_]+)[ {]`).FindAllStringSubmatch(text, -1) {
		names[match[1]] = true
	}
	folder := filepath.Join(filepath.Dir(torchtest.File(t, "go.mod")), "deploy")
	var files []string
	for _, pattern := range []string{"prometheus/*.yml", "grafana/*.json"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	used := 0
	for _, file := range files {
		for _, name := range regexp.MustCompile(`\b(vidi|process|go)_[a-z_]+`).FindAllString(string(read(t, file)), -1) {
			used++
			if !names[name] {
				t.Errorf("%s names %s, which the server does not have", filepath.Base(file), name)
			}
		}
	}
	if used < 30 {
		t.Errorf("only %d metrics are named", used)
	}
	manual := strings.ToLower(string(read(t, torchtest.File(t, "docs/operations.md"))))
	for _, match := range regexp.MustCompile(`alert: (\w+)\n(?s:.*?)runbook: docs/operations\.md#(\w+)`).FindAllStringSubmatch(string(read(t, filepath.Join(folder, "prometheus", "alerts.yml"))), -1) {
		if !strings.Contains(manual, "### "+match[2]+"\n") {
			t.Errorf("docs/operations.md has no section %s for the alert %s", match[2], match[1])
		}
	}
	for name := range names {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "vidi_") && !strings.Contains(manual, "`"+base+"`") {
			t.Errorf("docs/operations.md does not tell of %s", base)
		}
	}
	var dashboard map[string]any
	if err := json.Unmarshal(read(t, filepath.Join(folder, "grafana", "vidi.json")), &dashboard); err != nil || dashboard["uid"] != "vidi" {
		t.Errorf("the dashboard: %v", err)
	}
	tool := promtool(t)
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}, {"check", "metrics"},
	} {
		cmd := exec.Command(tool, args...)
		cmd.Dir, cmd.Stdin = filepath.Join(folder, "prometheus"), bytes.NewReader([]byte(text))
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, output)
		}
	}
}
