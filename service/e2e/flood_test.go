package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The flood: junk of every kind, as fast as the machine makes it up to 10,000 requests a second, from 16 addresses.
const (
	floodRate      = 10_000 // a second
	floodAddresses = 16
	floodWorkers   = 8 // connections of each address
	inFlood        = "VIDI_IN_FLOOD"
)

// TestFlood sends the flood, while the log is read slowly, and measures a client that behaves: its answers and times before and meanwhile, the
// server's memory before and after. VIDI_HOSTILE=all takes a minute; otherwise five seconds, in which only what cannot be chance fails.
//
// It has a network of its own, in which the addresses are: the server sees 17 machines. The flood comes from a process that only gets
// what the others leave of the processors: real machines' would cost the server nothing.
func TestFlood(t *testing.T) {
	switch role, rest, _ := strings.Cut(os.Getenv(inFlood), " "); role {
	case "send":
		sendFlood(t, rest)
		return
	case "":
		cmd := exec.Command(os.Args[0], "-test.run=^TestFlood$", "-test.v", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), inFlood+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFlood")) {
			t.Errorf("%v", err)
		}
		return
	}
	ip(t, "link", "set", "lo", "up")
	for i := range floodAddresses + 2 {
		ip(t, "address", "add", addressOf(i), "dev", "lo")
	}
	s, log := startWithPipe(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--addr", addressOf(floodAddresses)+":0", "--admin-addr=127.0.0.1:0")
	s.ready(t)
	admin := "http://" + adminAddress.FindStringSubmatch(s.stderr.String())[1]
	log.slowly(t)

	behaves := &behaving{url: s.url, picture: read(t, torchtest.File(t, "examples/cat.png"))}
	behaves.client.Transport = &http.Transport{DialContext: from(addressOf(floodAddresses + 1)).DialContext}
	quiet, loud := 3*time.Second, 5*time.Second
	if wholeCatalogue {
		quiet, loud = 15*time.Second, time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	before := behaves.until(ctx, t)
	cancel()
	settled := s.idleMemory(t, admin)

	sender := exec.Command("nice", "-n", "19", os.Args[0], "-test.run=^TestFlood$", "-test.v")
	sender.Env = append(os.Environ(), fmt.Sprintf("%s=send %s %v", inFlood, strings.TrimPrefix(s.url, "http://"), loud))
	var said bytes.Buffer
	sender.Stdout, sender.Stderr = &said, &said
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- sender.Wait(); cancel() }()
	meanwhile := behaves.until(ctx, t)
	if err := <-failed; err != nil {
		t.Fatalf("the flood: %v\n%s", err, &said)
	}
	peak := s.memory(t, "VmHWM")
	ctx, cancel = context.WithTimeout(t.Context(), quiet)
	defer cancel()
	after := behaves.until(ctx, t)
	left := s.idleMemory(t, admin)
	_, metrics := fetchInside(t, admin, "/metrics")

	for line := range strings.Lines(said.String()) {
		if _, figures, found := strings.Cut(line, "flood: "); found {
			t.Log(strings.TrimSpace(figures))
		}
	}
	t.Logf("a client that behaves: before %s; meanwhile %s; after %s", before, meanwhile, after)
	t.Logf("memory: before %d MiB, after %d MiB, peak %d MiB; %.0f lines of the log dropped", settled>>20, left>>20, peak>>20, metric(t, metrics, "vidi_log_lines_dropped_total"))
	if s.gone() {
		t.Error("the server has ended")
	}
	if meanwhile.failed > 0 || after.failed > 0 {
		t.Errorf("requests that behave failed: meanwhile %v, after %v", meanwhile.why, after.why)
	}
	// What one connection, one picture and the kernel keep is the same before and after; the rest is for the heap's last cycle.
	if grown := left - settled; grown > 32<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	// On a machine that does other work as well, a time may be anything.
	usual := max(before.quantile(0.99), after.quantile(0.99))
	if wholeCatalogue && meanwhile.quantile(0.99) > 3*usual {
		t.Errorf("99 %% are answered in %v, and in %v without the flood", meanwhile.quantile(0.99), usual)
	} else if meanwhile.quantile(0.5) > 5*time.Second {
		t.Errorf("half are answered in %v", meanwhile.quantile(0.5))
	}
}

// sendFlood sends the flood to an address, for so long: "198.18.17.1:5000 5s".
func sendFlood(t *testing.T, order string) {
	addr, howLong, _ := strings.Cut(order, " ")
	loud, err := time.ParseDuration(howLong)
	if err != nil {
		t.Fatal(err)
	}
	f := &junkFlood{addr: addr, junk: junk(t), answers: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), loud)
	defer cancel()
	var all sync.WaitGroup
	for i := range floodAddresses {
		for range floodWorkers {
			all.Go(func() { f.send(ctx, addressOf(i)) })
		}
	}
	all.Wait()
	t.Logf("flood: %.0f requests a second from %d addresses: %s", float64(f.sent.Load())/loud.Seconds(), floodAddresses, f)
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// addressOf is a machine's; each is in a network of its own, of those that are for such tests (RFC 2544).
func addressOf(i int) string { return fmt.Sprintf("198.18.%d.1", i+1) }

// from makes connections of that address. They leave no port behind: a minute has more of them than there are ports.
func from(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: time.Second}
}

// slowly reads 2 KiB of the log ten times a second from now on: some hundred lines, of thousands.
func (p *logPipe) slowly(t *testing.T) {
	p.hold()
	p.r.SetReadDeadline(time.Time{})
	end := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(100 * time.Millisecond):
				if _, err := io.CopyN(p.into, p.r, 2<<10); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() { close(end); p.r.Close(); <-done })
}

// idleMemory is the process's own memory after a collection.
func (s *server) idleMemory(t *testing.T, admin string) int64 {
	t.Helper()
	for range 2 { // what has a finalizer goes with the second
		fetchInside(t, admin, "/debug/pprof/heap?gc=1")
	}
	time.Sleep(time.Second) // the rest is given back in the background
	return s.memory(t, "RssAnon")
}

// behaving is a client that sends a picture, waits for its answer, and rests a moment.
type behaving struct {
	client  http.Client
	url     string
	picture []byte
}

// answerTimes are how long the answers took.
type answerTimes struct {
	took   []time.Duration
	failed int
	why    map[string]int
}

func (b *behaving) until(ctx context.Context, t *testing.T) (r answerTimes) {
	r.why = map[string]int{}
	for ctx.Err() == nil {
		begun := time.Now()
		response, err := b.client.Post(b.url+"/predict", "image/png", bytes.NewReader(b.picture))
		switch {
		case err != nil:
			r.failed++
			r.why[err.Error()]++
		case response.StatusCode != http.StatusOK:
			r.failed++
			r.why[response.Status]++
		}
		if err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		r.took = append(r.took, time.Since(begun))
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(r.took)
	if len(r.took) == 0 {
		t.Fatal("no request was answered")
	}
	return r
}

func (r answerTimes) quantile(q float64) time.Duration { return r.took[int(q*float64(len(r.took)-1))] }

func (r answerTimes) String() string {
	return fmt.Sprintf("%d requests, median %.1f ms, p99 %.1f ms, %d failed", len(r.took), r.quantile(0.5).Seconds()*1000, r.quantile(0.99).Seconds()*1000, r.failed)
}

// junkFlood sends junk and counts what comes back.
type junkFlood struct {
	addr string
	junk []piece
	sent atomic.Int64

	mu      sync.Mutex
	answers map[string]int
}

// piece is one kind of junk.
type piece struct {
	data  []byte
	ends  bool // the connection cannot be used after it
	holds bool // it is half a request: the connection stays for a moment
}

func (f *junkFlood) String() string {
	var parts []string
	for _, answer := range slices.SortedFunc(maps.Keys(f.answers), func(a, b string) int { return cmp.Compare(f.answers[b], f.answers[a]) }) {
		parts = append(parts, fmt.Sprintf("%d × %s", f.answers[answer], answer))
	}
	return strings.Join(parts, ", ")
}

// send sends one piece after the other over a connection at a time, at this worker's share of the rate.
func (f *junkFlood) send(ctx context.Context, address string) {
	const share = time.Second * floodAddresses * floodWorkers / floodRate
	counted := map[string]int{}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for answer, n := range counted {
			f.answers[answer] += n
		}
	}()
	var c net.Conn
	var answers *bufio.Reader
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	next := time.Now().Add(rand.N(share))
	for ctx.Err() == nil {
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		}
		next = next.Add(share)
		if behind := time.Since(next); behind > time.Second { // the machine makes no more
			next = next.Add(behind)
		}
		if c == nil {
			var err error
			if c, err = from(address).DialContext(ctx, "tcp", f.addr); err != nil {
				counted["no connection"]++
				c = nil
				continue
			}
			c.(*net.TCPConn).SetLinger(0)
			answers = bufio.NewReader(c)
		}
		p := f.junk[rand.IntN(len(f.junk))]
		answer := f.one(c, answers, p)
		f.sent.Add(1)
		counted[answer]++
		if p.ends || answer == "closed" || answer == "no answer" {
			c.Close()
			c = nil
		}
	}
}

// one sends a piece, and says what came back.
func (f *junkFlood) one(c net.Conn, answers *bufio.Reader, p piece) string {
	c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write(p.data); err != nil {
		return "closed"
	}
	if p.holds {
		c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	}
	response, err := http.ReadResponse(answers, nil)
	switch {
	case os.IsTimeout(err) && p.holds:
		return "half a request"
	case os.IsTimeout(err):
		return "no answer"
	case err != nil:
		return "closed"
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.Close {
		return "closed after " + fmt.Sprint(response.StatusCode)
	}
	return fmt.Sprint(response.StatusCode)
}

// junk is every kind that comes to mind: what is no HTTP, HTTP that asks for nothing there is, pictures that are none, half of either.
func junk(t *testing.T) (all []piece) {
	picture := read(t, torchtest.File(t, "examples/cat.png"))
	post := func(path, headers string, body []byte) []byte {
		return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n", path, headers, len(body)), body...)
	}
	random := make([]byte, 2000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	jpeg := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"), random...)
	form := []byte("--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nx\r\n--b--\r\n")
	for _, answered := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
		[]byte("GET /%00/../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n"),
		[]byte("DELETE /predict HTTP/1.1\r\nHost: h\r\n\r\n"),
		[]byte("BREW /predict HTTP/1.1\r\nHost: h\r\n\r\n"),
		[]byte("GET /api/v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer vidi_wrong\r\n\r\n"),
		[]byte("GET /x HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("\xff", 4000) + "\r\n\r\n"),
		post("/predict", "", nil),
		post("/predict", "Content-Type: image/jpeg\r\n", random),
		post("/predict", "Content-Type: image/jpeg\r\n", jpeg),
		post("/predict", "Content-Type: image/png\r\n", picture[:3000]),
		post("/predict?top_k=-1", "", []byte("\x89PNG\r\n\x1a\n")),
		post("/predict", "Content-Type: application/json\r\n", []byte(strings.Repeat("[", 1000))),
		post("/predict", "Content-Type: application/json\r\n", []byte(`{"image": "%%%"}`)),
		post("/predict", "Content-Type: multipart/form-data; boundary=b\r\n", form),
		post("/predict", "Content-Encoding: gzip\r\n", random[:100]),
		post("/predict", "X-API-Key: "+string(bytes.Repeat([]byte("k"), 200))+"\r\n", []byte("GIF89a")),
	} {
		all = append(all, piece{data: answered})
	}
	for _, last := range [][]byte{
		random, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(random[:300]) + "\r\n\r\n"), []byte("\r\n\r\n\r\n"),
		[]byte("GET / HTTP/9.9\r\n\r\n"), []byte("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), []byte("GET  /  HTTP/1.1\n\n"),
		[]byte("GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 40_000) + "\r\n\r\n"),
		[]byte("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("a: b\r\n", 500) + "\r\n"),
		[]byte("POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		[]byte("POST /predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
		[]byte("POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n"),
	} {
		all = append(all, piece{data: last, ends: true})
	}
	for _, half := range []string{"G", "GET / HTTP/1.1\r\nHost: h\r\nX: ", "POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n\xff\xd8"} {
		all = append(all, piece{data: []byte(half), ends: true, holds: true})
	}
	return all
}
