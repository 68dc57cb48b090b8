package connections

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusals counts what a listener refused.
type refusals struct {
	mu    sync.Mutex
	count map[Reason]int
}

func (r *refusals) add(reason Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		r.count = map[Reason]int{}
	}
	r.count[reason]++
}

func (r *refusals) of(reason Reason) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[reason]
}

// serve answers on a port of its own until the test ends.
func serve(t *testing.T, limits Limits, handler http.HandlerFunc) (addr string, l *Listener) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	Guard(server)
	l = Limit(inner, limits)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return inner.Addr().String(), l
}

func echo(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, n)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// ask sends a request on c, and answers with its status and body.
func ask(t *testing.T, c net.Conn, header string) (int, string) {
	t.Helper()
	picture := ""
	if header == "" {
		picture = strings.Repeat("p", 40_000)
	}
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", header, len(picture), picture)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", response.Header.Get("Retry-After"))
	}
	return response.StatusCode, string(body)
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in 30 s", what)
		}
	}
}

// One connection too many is told so, also in the middle of its upload, and its place is the next one's as soon as another closes.
func TestConnectionsAreBounded(t *testing.T) {
	var refused refusals
	addr, _ := serve(t, Limits{Most: 2, Refused: refused.add}, echo)
	first, second := dial(t, addr), dial(t, addr)
	for _, c := range []net.Conn{first, second} {
		if status, answer := ask(t, c, ""); status != http.StatusOK || answer != "40000" {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if status, answer := ask(t, dial(t, addr), ""); status != http.StatusTooManyRequests ||
		!strings.Contains(answer, "queue_full") || !strings.Contains(answer, "connections") {
		t.Errorf("the third connection of two got %d %s", status, answer)
	}
	if refused.of(AllTaken) != 1 {
		t.Errorf("refused: %v", refused.count)
	}
	first.Close()
	waitFor(t, "place", func() bool { status, _ := ask(t, dial(t, addr), ""); return status == http.StatusOK })
}

// An address alone gets three quarters. However many are greedy, another one gets in.
func TestNoAddressTakesAll(t *testing.T) {
	fill := func(l *Listener, greedy int) {
		for refused := 0; refused < greedy; {
			refused = 0
			for n := range greedy {
				if l.admit(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 32)) != "" {
					refused++
				}
			}
		}
	}
	for greedy, want := range map[int]int{1: 750, 2: 856, 16: 976} {
		l := Limit(nil, Limits{Most: 1000})
		fill(l, greedy)
		if l.open < want || l.open > want+greedy {
			t.Errorf("%d greedy addresses hold %d of 1000, want %d", greedy, l.open, want)
		}
		other := netip.MustParsePrefix("2001:db8::/64")
		for n := range 10 {
			if reason := l.admit(other); reason != "" {
				t.Errorf("beside %d greedy addresses, connection %d of another: %s", greedy, n, reason)
			}
		}
	}
	if l := Limit(nil, Limits{Most: 10}); l.admit(netip.Prefix{}) != "" {
		t.Error("a socket without addresses has no place")
	}
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
	} {
		if got := networkOf(&net.TCPAddr{IP: net.ParseIP(address), Zone: ""}).String(); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

// Row R4: of headers that do not end, the oldest go when there are too many bytes of them; who is in a body or between two
// requests stays, and whoever sends a whole header is answered at once.
func TestUnfinishedHeadersAreDroppedOldestFirst(t *testing.T) {
	var refused refusals
	addr, l := serve(t, Limits{Most: 2000, Refused: refused.add}, echo)
	idle, uploading := dial(t, addr), dial(t, addr)
	ask(t, idle, "")
	fmt.Fprintf(uploading, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	header := "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", HeaderBytes-100)
	fit := unfinishedBytes / len(header)
	waiting := func() (int, int) { l.mu.Lock(); defer l.mu.Unlock(); return l.unfinished.Len(), l.bytes }
	waitFor(t, "upload that has begun", func() bool { n, _ := waiting(); return n == 0 })
	var first, last net.Conn
	for n := range 3 * fit {
		last = dial(t, addr)
		if _, err := io.WriteString(last, header); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = last
			waitFor(t, "first header", func() bool { n, _ := waiting(); return n == 1 })
		}
	}
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("the oldest was answered")
	}
	waitFor(t, "dropped headers", func() bool { return refused.of(Header) >= 2*fit-1 })
	if n, bytes := waiting(); bytes > unfinishedBytes || n < fit-1 || n > fit+1 {
		t.Errorf("%d headers of %d bytes wait, want about %d", n, bytes, fit)
	}
	if status, answer := ask(t, idle, ""); status != http.StatusOK {
		t.Errorf("who was between two requests: %d %s", status, answer)
	}
	if status, _ := ask(t, dial(t, addr), ""); status != http.StatusOK {
		t.Errorf("somebody else: %d", status)
	}
	fmt.Fprint(uploading, strings.Repeat("p", 100_000))
	if response, err := http.ReadResponse(bufio.NewReader(uploading), nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("who was uploading: %v %v", response, err)
	}
	fmt.Fprint(last, "\r\nConnection: close\r\n\r\n")
	if answer, _ := io.ReadAll(last); !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("the last, once it has ended: %.100q", answer)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	addr, _ := serve(t, Limits{Most: 100}, echo)
	for name, c := range map[string]struct {
		header string
		want   int
	}{
		"100 fields": {strings.Repeat("A: b\r\n", HeaderFields-3), 200},
		"too many":   {strings.Repeat("A: b\r\n", HeaderFields-2), 431},
		"pipelined":  {strings.Repeat("A: b\r\n", 60) + "\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + strings.Repeat("A: b\r\n", 60), 200},
		"15 KiB":     {"A: " + strings.Repeat("b", HeaderBytes-1<<10) + "\r\n", 200},
		"17 KiB":     {"A: " + strings.Repeat("b", HeaderBytes+1<<10) + "\r\n", 431},
		"60 KiB":     {"A: " + strings.Repeat("b", 60<<10) + "\r\n", 431},
	} {
		conn := dial(t, addr)
		go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"+c.header+"\r\n")
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", c.want)) {
			t.Errorf("%s: %.100q %v", name, answer, err)
		}
	}
}

// Empty lines before a request, and a request that net/http could answer by itself, hide none of the fields that follow.
func TestFieldsAreCountedInEveryRequest(t *testing.T) {
	addr, _ := serve(t, Limits{Most: 10}, echo)
	many := "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", HeaderFields) + "\r\n"
	for _, before := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn := dial(t, addr)
		answers := bufio.NewReader(conn)
		fmt.Fprint(conn, before)
		first, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, first.Body)
		time.Sleep(50 * time.Millisecond) // the connection is idle now
		fmt.Fprint(conn, "\r\n"+many)
		response, err := http.ReadResponse(answers, nil)
		if err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("after %.20q: %v %v", before, response, err)
		}
	}
}

// Row R4: what a connection takes, in each of the ways to make it dear, is what [Memory] says.
func TestCosts(t *testing.T) {
	held := make(chan struct{})
	wait := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-held
		}
		fmt.Fprint(w, "ok")
	}
	addr, _ := serve(t, Limits{Most: 1000}, wait)
	t.Cleanup(func() { close(held) })
	tiny := func(bytes int) string { // distinct names, as short as they can be
		var b strings.Builder
		for n := 0; b.Len() < bytes; n++ {
			fmt.Fprintf(&b, "%s:\r\n", string([]byte{byte('A' + n%26), byte('a' + n/26%26), byte('a' + n/676)}))
		}
		return b.String()[:bytes]
	}
	full := strings.Repeat("A"+":"+strings.Repeat("b", (HeaderBytes-slop)/HeaderFields)+"\r\n", HeaderFields-2)
	for name, sent := range map[string]string{
		"open":               "",
		"idle":               "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a request":          "GET /hold HTTP/1.1\r\nHost: x\r\n" + full + "\r\n",
		"a packet after one": "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n" + tiny(4000),
		"and another":        "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n" + tiny(4000) + full,
		"unfinished fields":  "GET / HTTP/1.1\r\n" + tiny(300) + full[:len(full)/2],
		"one line":           "GET / HTTP/1.1\r\nA: " + strings.Repeat("b", HeaderBytes-500),
	} {
		before := inUse()
		var open []net.Conn
		for range 200 {
			conn := dial(t, addr)
			go io.WriteString(conn, sent)
			open = append(open, conn)
		}
		time.Sleep(300 * time.Millisecond) // they have no answer to wait for
		each := (inUse() - before) / len(open)
		t.Logf("%s: %d bytes each", name, each)
		if each > memory {
			t.Errorf("%s takes %d bytes, want %d", name, each, memory)
		}
		for _, conn := range open {
			conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// inUse is the memory that Go holds for objects and stacks, after a collection.
func inUse() int {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// What a proxy took for the rest of a chunked body is not run as a request.
func TestAChunkedRequestIsTheLastOfItsConnection(t *testing.T) {
	addr, _ := serve(t, Limits{Most: 10}, echo)
	c := dial(t, addr)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, _ := io.ReadAll(c); strings.Count(string(answer), "HTTP/1.1 ") != 1 {
		t.Errorf("answers: %q", answer)
	}
}

// A server that is shut down keeps nothing.
func TestPlacesAreGivenBack(t *testing.T) {
	addr, l := serve(t, Limits{Most: 50}, echo)
	for range 10 {
		ask(t, dial(t, addr), "")
		c := dial(t, addr)
		fmt.Fprint(c, "GET / HTTP/1.1\r\nA: b")
		c.Close()
	}
	waitFor(t, "closed connections", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.unfinished.Len() == 0 && l.bytes == 0 && l.open <= 10
	})
}

// Where every place is taken, a header that does not end gives its place to who comes.
func TestUnfinishedHeadersGiveWay(t *testing.T) {
	var refused refusals
	const most = 8
	addr, l := serve(t, Limits{Most: most, Refused: refused.add}, echo)
	for n := range 5 * most {
		fmt.Fprint(dial(t, addr), "GET / HTTP/1.1\r\nX: ")
		waitFor(t, "begun header", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.unfinished.Len() >= min(n+1, most/2)
		})
		c := dial(t, addr)
		status, answer := ask(t, c, "")
		c.Close()
		if status != http.StatusOK {
			t.Fatalf("beside %d of them: %d %s", n+1, status, answer)
		}
	}
	if refused.of(AllTaken)+refused.of(Share) > 0 || refused.of(Header) < 3*most {
		t.Errorf("refused: %v", refused.count)
	}
}

// A header that has come whole does not give way, although net/http has not read it to its end
// yet; and one that gave way makes no request any more, whatever comes of it before it is closed.
func TestOnlyUnfinishedHeadersGiveWay(t *testing.T) {
	l := Limit(nil, Limits{Most: 2})
	open := func() (*connection, net.Conn) {
		t.Helper()
		if reason := l.admit(netip.Prefix{}); reason != "" {
			t.Fatal(reason)
		}
		inner, client := net.Pipe()
		t.Cleanup(func() { client.Close() })
		return &connection{Conn: inner, of: l, inHeader: true}, client
	}
	read := func(c *connection, client net.Conn, sent string) error {
		go io.WriteString(client, sent)
		_, err := c.Read(make([]byte, 100))
		return err
	}
	whole, wholeClient := open()
	if err := read(whole, wholeClient, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if l.dropOldest(netip.Prefix{}, AllTaken) {
		t.Error("a whole header gave way")
	}
	half, halfClient := open()
	if err := read(half, halfClient, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	l.limits.Refused = func(Reason) { // it has given way, and is not closed yet
		if err := read(half, halfClient, "Host: x\r\n\r\n"); err != net.ErrClosed {
			t.Errorf("a header that gave way is read: %v", err)
		}
	}
	if !l.dropOldest(netip.Prefix{}, AllTaken) {
		t.Error("an unfinished header did not give way")
	}
	if l.open != 1 || l.unfinished.Len() != 1 {
		t.Errorf("%d connections are open, %d headers unfinished", l.open, l.unfinished.Len())
	}
}

// Where everything is taken all the time, whoever sends a whole header is answered, or told that
// there is no room: no answer is cut off.
func TestNoAnswerIsCutOff(t *testing.T) {
	const most = 40 // of which one address gets three quarters; the rest can be told at the same time
	addr, _ := serve(t, Limits{Most: most}, echo)
	stop := make(chan struct{})
	var slow, whole sync.WaitGroup
	for range most * 3 / 4 {
		slow.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX: ")
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				_, _ = c.Read(make([]byte, 1))
				c.Close()
			}
		})
	}
	answered := make(chan int, 400)
	for range 4 {
		whole.Go(func() {
			for range 100 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if response, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
					t.Errorf("no answer: %v", err)
				} else {
					response.Body.Close()
					answered <- response.StatusCode
				}
				c.Close()
			}
		})
	}
	whole.Wait()
	close(stop)
	slow.Wait()
	close(answered)
	count := map[int]int{}
	for status := range answered {
		count[status]++
	}
	t.Log(count)
	if count[http.StatusOK] == 0 {
		t.Error("nobody was answered")
	}
}

// Who bounds memory by the connections hears before they are more than it has heard, and when they are gone.
func TestOpenConnectionsAreTold(t *testing.T) {
	var heard []int
	l := Limit(nil, Limits{Most: 10_000, Open: func(most int) { heard = append(heard, most) }})
	var open []*connection
	for i := range 1000 {
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		if reason := l.admit(from); reason != "" {
			t.Fatal(reason)
		}
		if last := heard[len(heard)-1]; last < i+1 {
			t.Fatalf("%d are open, and %d were told", i+1, last)
		}
		open = append(open, &connection{of: l, from: from})
	}
	up := len(heard)
	for _, c := range open {
		l.closed(c)
	}
	if last := heard[len(heard)-1]; up != 4 || len(heard) > 2*up || last > 2*openStep {
		t.Errorf("told: %v", heard)
	}
}
