package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/telemetry"
)

// One connection too many is told so, also in the middle of its upload, and its place is the next one's as soon as another closes.
func TestConnectionsAreBounded(t *testing.T) {
	tm := telemetry.New()
	s, _ := ready(&fake{}, func(c *Config) { c.MaxConnections, c.Telemetry = 2, tm })
	addr := listen(t, s)
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	ask := func(c net.Conn) (status int, answer string) {
		t.Helper()
		picture := strings.Repeat("p", 40_000)
		fmt.Fprintf(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(picture), picture)
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
	first, second := dial(), dial()
	for _, c := range []net.Conn{first, second} {
		if status, answer := ask(c); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if status, answer := ask(dial()); status != http.StatusTooManyRequests || !strings.Contains(answer, string(api.QueueFull)) || !strings.Contains(answer, "connections") {
		t.Errorf("the third connection of two got %d %s", status, answer)
	}
	wantMetrics(t, tm, "vidi_http_connections_refused_total 1")
	first.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the server has yet to see it
		if status, answer := ask(dial()); status == http.StatusOK {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("after one was closed: %d %s", status, answer)
		}
	}
}
