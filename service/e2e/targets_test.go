package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The tests here each hold a figure of docs/hostile.md, and print it. Bounds on time leave room for a machine that others use too.

// T17 in small, and row H12: clients that never finish their headers are cut off after ten seconds, and good ones are served
// meanwhile. BenchmarkSlowConnections has 2,000, and compares times.
func TestSlowConnections(t *testing.T) {
	g := guarded(t, startWithAdmin(t, lite0))
	const slow = 200
	var all sync.WaitGroup
	var mu sync.Mutex
	var last time.Duration
	begun := time.Now()
	for range slow {
		conn := g.dial(t)
		fmt.Fprint(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nX: ")
		all.Go(func() {
			defer conn.Close()
			go func() {
				for {
					if _, err := conn.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			_, _ = io.ReadAll(conn)
			mu.Lock()
			defer mu.Unlock()
			last = max(last, time.Since(begun))
		})
	}
	for range 10 {
		g.wantGood(t)
	}
	all.Wait()
	t.Logf("T17: %d slow connections, the last closed after %.1f s", slow, last.Seconds())
	if last > 20*time.Second {
		t.Errorf("slow connections were kept for %v", last)
	}
	g.wantAsBefore(t)
}

// T18: a picture in a million chunks of one byte costs the memory of a picture.
func TestAMillionChunksCostLittle(t *testing.T) {
	g := guarded(t, startWithAdmin(t, lite0))
	g.s.resetPeak(t)
	before := g.s.memory(t, "VmRSS")
	conn := g.dial(t)
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	block := strings.Repeat("1\r\na\r\n", 10_000)
	for range 100 {
		if _, err := io.WriteString(conn, block); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(conn, "0\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	grown := g.s.memory(t, "VmHWM") - before
	t.Logf("T18: a million chunks cost %.1f MiB (bound 8)", float64(grown)/(1<<20))
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 415 ")) || grown > 8<<20 {
		t.Errorf("%d bytes, %.200s", grown, answer)
	}
	g.wantAsBefore(t)
}

// T20: requests to every address, changed at random, break nothing.
func TestRawRequestsBreakNothing(t *testing.T) {
	g := guarded(t, startWithAdmin(t, lite0))
	var good []string
	for _, path := range []string{"/", "/web/app.js", "/web/style.css", "/livez", "/readyz", "/docs", "/openapi.yaml", "/api/v1/models", "/predict", "/nothing"} {
		good = append(good, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAccept: text/html;q=0.9\r\nIf-None-Match: \"x\"\r\n\r\n", "HEAD "+path+" HTTP/1.0\r\n\r\n")
	}
	picture := string(pngOf(t, 8, 8))
	form := "--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n" + picture + "\r\n--b--\r\n"
	for _, path := range []string{"/predict?top_k=3&lang=zh", "/api/v1/predict"} {
		good = append(good,
			fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, len(picture), picture),
			fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", path, len(form), form),
			fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"image\": \"YQ==\"}     ", path),
			fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", path, len(picture), picture))
	}
	requests := 600
	if wholeCatalogue {
		requests = 10_000
	}
	chance := rand.New(rand.NewPCG(20, 20))
	answers := map[string]int{}
	for range requests {
		request := mutate(chance, good[chance.IntN(len(good))])
		conn := g.dial(t)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, request)
		conn.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(conn)
		conn.Close()
		status := "closed"
		if len(answer) >= 12 {
			status = string(answer[9:12])
		}
		answers[status]++
		var timeout net.Error
		if status[0] == '5' && status != "501" && status != "505" || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%q: %v, %.300s", request, err, answer)
		}
	}
	t.Logf("T20: %d requests: %v", requests, answers)
	g.wantAsBefore(t)
}

// mutate changes a request in one to four places.
func mutate(chance *rand.Rand, request string) string {
	for range 1 + chance.IntN(4) {
		at := chance.IntN(len(request))
		to := min(at+1+chance.IntN(8), len(request))
		switch chance.IntN(5) {
		case 0:
			request = request[:at] + string(rune(chance.IntN(256))) + request[at+1:]
		case 1:
			request = request[:at] + request[to:]
		case 2:
			request = request[:at] + strings.Repeat(request[at:to], 1+chance.IntN(300)) + request[to:]
		case 3:
			odd := []string{"\r\n", "\n", "\x00", "%00", "../", "\xff\xfe", "-1", "99999999999999999999", "chunked", ":", " ", "Content-Length: 5\r\n", "Expect: 100-continue\r\n"}
			request = request[:at] + odd[chance.IntN(len(odd))] + request[at:]
		case 4:
			request = request[:at]
		}
		if request == "" {
			return "\r\n"
		}
	}
	return request
}

// T21: /readyz is never true before pictures are answered, and false as soon as the server is told to stop.
func TestReadinessIsTrue(t *testing.T) {
	begun := time.Now()
	s := start(t, lite0, "--drain-delay=2s")
	picture := read(t, torchtest.File(t, "examples/flower.jpg"))
	if code, answer := s.post(t, "image/jpeg", picture); code != http.StatusServiceUnavailable && code != http.StatusOK {
		t.Errorf("a picture before it is ready: %d %s", code, answer)
	}
	s.waitFor(t, "ready", func() bool {
		code := status(s.url + "/readyz")
		if code != http.StatusOK && code != http.StatusServiceUnavailable {
			t.Errorf("readyz: %d", code)
		}
		return code == http.StatusOK
	})
	took := time.Since(begun)
	if code, answer := s.post(t, "image/jpeg", picture); code != http.StatusOK {
		t.Errorf("ready, but a picture gets %d %s", code, answer)
	}
	stopped := time.Now()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.waitFor(t, "not ready", func() bool { return status(s.url+"/readyz") == http.StatusServiceUnavailable })
	noticed := time.Since(stopped)
	for range 20 {
		if code := status(s.url + "/readyz"); code == http.StatusOK {
			t.Error("ready again after the signal")
		}
	}
	t.Logf("T21: ready after %.2f s; no longer so %.1f ms after the signal (bound 100, of a machine without other work)", took.Seconds(), float64(noticed)/1e6)
	if noticed > time.Second {
		t.Errorf("readyz knew of the stop after %v", noticed)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// T24: a photograph stored in EXIF's eight ways is one picture. Nothing is lost when jpegtran turns it, but the decoder rounds the
// turned blocks another way: samples differ by a level, and probabilities by up to a thousandth. Where decoding does not round, as
// of PNG, the network's input is the same to the last bit: TestC14Orientations of package preprocess.
func TestEightOrientationsAreOnePicture(t *testing.T) {
	if _, err := exec.LookPath("jpegtran"); err != nil {
		missing(t, "jpegtran is not installed (libjpeg-turbo-progs)")
	}
	jpegtran := func(data []byte, args ...string) []byte {
		cmd := exec.Command("jpegtran", append([]string{"-copy", "none"}, args...)...)
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("jpegtran %v: %v", args, err)
		}
		return out
	}
	s := start(t, lite0).ready(t)
	worst := 0.0
	for _, name := range []string{"flower.jpg", "rocket.jpg"} {
		upright := jpegtran(read(t, torchtest.File(t, "examples/"+name)), "-crop", "480x320+0+0") // whole blocks
		var first map[string]float64
		var firstTop string
		for orientation, turn := range map[int][]string{
			1: nil, 2: {"-flip", "horizontal"}, 3: {"-rotate", "180"}, 4: {"-flip", "vertical"},
			5: {"-transpose"}, 6: {"-rotate", "270"}, 7: {"-transverse"}, 8: {"-rotate", "90"},
		} {
			stored := jpegtran(upright, append(turn, "-perfect")...)
			exif := "\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00" + string(rune(orientation)) + "\x00\x00\x00\x00\x00\x00"
			code, answer := s.post(t, "image/jpeg", []byte(string(stored[:2])+exif+string(stored[2:])))
			var r api.PredictResponse
			if err := json.Unmarshal(answer, &r); err != nil || code != http.StatusOK || r.Results[0].Width != 480 || r.Results[0].Height != 320 {
				t.Fatalf("%s, orientation %d: %d %s", name, orientation, code, answer)
			}
			these := map[string]float64{}
			for _, p := range r.Results[0].Predictions {
				these[p.Label] = p.Probability
			}
			if first == nil {
				first, firstTop = these, r.Results[0].Predictions[0].Label
			}
			if r.Results[0].Predictions[0].Label != firstTop {
				t.Errorf("%s, orientation %d: %s, not %s", name, orientation, r.Results[0].Predictions[0].Label, firstTop)
			}
			for label, p := range these {
				if before, both := first[label]; both {
					worst = math.Max(worst, math.Abs(p-before))
				}
			}
		}
	}
	t.Logf("T24: probabilities of eight orientations differ by at most %.2g (bound 2e-3)", worst)
	if worst > 2e-3 {
		t.Error("the orientations are not one picture")
	}
}

// Row H17: where descriptors are few, fewer connections are kept open than the process could have files; one too many is told so, and
// the server goes on when some are closed.
func TestFewDescriptors(t *testing.T) {
	const files = 256
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		missing(t, "prlimit is not installed (util-linux)")
	}
	s := startCommand(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{limit, fmt.Sprintf("--nofile=%d:%d", files, files), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = limit
	}, lite0).ready(t)
	picture := read(t, torchtest.File(t, "examples/flower.jpg"))
	kept := newClient()
	defer kept.CloseIdleConnections()
	wantKept := func() {
		t.Helper()
		if code, _, err := kept.predict(s.url, picture); err != nil || code != http.StatusOK {
			t.Errorf("a client that was there before: %d, %v", code, err)
		}
	}
	wantKept()
	var idle []net.Conn
	for range 400 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	// Those that were told have to be read or cut before one more can be told.
	s.waitFor(t, "an answer to one too many", func() bool {
		answer, err := http.Get(s.url + "/healthz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
			t.Errorf("one connection too many: %s, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
		}
		return true
	})
	if open := s.count(t, "fd"); open >= files {
		t.Errorf("%d descriptors of %d are in use: nothing is left for a file", open, files)
	}
	wantKept()
	for _, conn := range idle {
		conn.Close()
	}
	s.waitFor(t, "descriptors again", func() bool { return s.descriptors(t) < 30 })
	if code, answer := s.post(t, "image/jpeg", picture); code != http.StatusOK {
		t.Errorf("a new client: %d %s", code, answer)
	}
}
