package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
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
