package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
)

// wantQueueFull checks for a refusal that says when to come again.
func wantQueueFull(t *testing.T, response *http.Response) {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	checkProblem(t, response.StatusCode, response.Header, body, api.QueueFull)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > admission.MaxRetryAfter {
		t.Errorf("Retry-After: %q", response.Header.Get("Retry-After"))
	}
}

func readResponse(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestFullQueueRefusesAtTheDoor(t *testing.T) {
	f, begun, release := blocker()
	s, _ := ready(f, func(c *Config) { c.MaxQueue = 2 })
	addr := listen(t, s)
	first, second := send(addr, "first"), send(addr, "second")
	<-begun
	<-begun
	// The body of this one never comes: it must be refused without it.
	conn := dial(t, addr)
	fmt.Fprint(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
	wantQueueFull(t, readResponse(t, conn))
	if n := s.room.Use().Pictures; n != 2 {
		t.Errorf("%d pictures in the queue", n)
	}
	close(release)
	for _, answer := range []chan string{first, second} {
		if got := <-answer; !strings.HasPrefix(got, "200 ") {
			t.Error(got)
		}
	}
	eventually(t, "the queue is empty", func() bool { return s.room.Use().Pictures == 0 })
	wantAlive(t, s)
}

func TestQueueCountsPicturesNotRequests(t *testing.T) {
	f, begun, release := blocker()
	s, _ := ready(f, func(c *Config) { c.MaxQueue = 3 })
	addr := listen(t, s)
	one := send(addr, "one")
	<-begun
	many := func(n int) string {
		return `{"images": [` + strings.Repeat(`"`+b64("picture")+`",`, n-1) + `"` + b64("picture") + `"]}`
	}
	response, err := http.Post("http://"+addr+"/predict", "application/json", strings.NewReader(many(3)))
	if err != nil {
		t.Fatal(err)
	}
	wantQueueFull(t, response)
	close(release)
	<-one
	eventually(t, "the queue is empty", func() bool { return s.room.Use().Pictures == 0 })
	// Alone, a request may be larger than the queue.
	response, err = http.Post("http://"+addr+"/predict", "application/json", strings.NewReader(many(5)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("five pictures alone: %s", response.Status)
	}
}

func TestQueueBoundsTheBytesOfUploads(t *testing.T) {
	f, begun, release := blocker()
	s, _ := ready(f, func(c *Config) { c.MaxQueueBytes = 100_000 })
	addr := listen(t, s)
	large := bytes.Repeat([]byte("p"), 80_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err := http.Post("http://"+addr+"/predict", "image/png", bytes.NewReader(large))
		if err != nil {
			t.Error(err)
			return
		}
		response.Body.Close()
	}()
	<-begun
	response, err := http.Post("http://"+addr+"/predict", "image/png", bytes.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	wantQueueFull(t, response)
	// What a slow sender has announced takes no room.
	slow := dial(t, addr)
	fmt.Fprint(slow, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000\r\n\r\nabc")
	small := send(addr, "small")
	<-begun
	close(release)
	if got := <-small; !strings.HasPrefix(got, "200 ") {
		t.Errorf("a small one beside: %s", got)
	}
	<-done
	slow.Close()
	eventually(t, "all room is given back", func() bool { return s.room.Use() == admission.Use{} })
}

func TestDefaultDeadline(t *testing.T) {
	f, _, _ := blocker()
	s, _ := ready(f, func(c *Config) { c.Deadline = 20 * time.Millisecond })
	wantProblem(t, post(s, "/predict", "", strings.NewReader("picture")), api.DeadlineExceeded)
	if n := s.room.Use().Pictures; n != 0 {
		t.Errorf("%d pictures stayed in the queue", n)
	}
}

// Between the signal and the end, everything that comes is answered, and each answer says that the connection closes.
func TestLeavingAnswersAndClosesConnections(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	addr := listen(t, s)
	s.Leave()
	wantProblem(t, get(s, "/readyz"), api.Draining)
	response, err := http.Post("http://"+addr+"/predict", "image/png", strings.NewReader("picture"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("%s, closes %v", response.Status, response.Close)
	}
}
