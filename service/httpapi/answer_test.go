package httpapi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
)

// longNames makes the fake's answers long, of 100 KB for a picture, and is a request with so many pictures of one byte.
func longNames(t *testing.T, pictures int) (body string) {
	t.Helper()
	old := fakeLabels[0].Label
	fakeLabels[0].Label = strings.Repeat("alp ", 25_000)
	t.Cleanup(func() { fakeLabels[0].Label = old })
	return `{"images": [` + strings.Repeat(`"YQ==",`, pictures-1) + `"YQ=="]}`
}

// A large answer arrives whole, with its length, and leaves no room taken; one that nobody reads ends.
func TestAnswersAreHeldToAPace(t *testing.T) {
	const pictures = 60 // more than a connection's buffers take
	body := longNames(t, pictures)
	s, logs := ready(&fake{}, nil)
	addr := listen(t, s)
	response, err := http.Post("http://"+addr+"/predict", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || int64(len(data)) != response.ContentLength || len(data) < pictures*100_000 || strings.Count(string(data), `"error":null`) != pictures {
		t.Errorf("%d bytes of %d, %v", len(data), response.ContentLength, err)
	}
	eventually(t, "all room is given back", func() bool { return s.room.Use() == admission.Use{} })

	unread := dial(t, addr)
	_ = unread.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(unread, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	eventually(t, "the answer waits", func() bool { return s.room.Use().Bytes > 100_000 })
	begun := time.Now()
	for s.room.Use().Bytes > 0 && time.Since(begun) < 2*admission.PaceTime {
		time.Sleep(50 * time.Millisecond)
	}
	if took := time.Since(begun); took > admission.PaceTime+5*time.Second {
		t.Errorf("an answer that nobody reads is kept for %v", took)
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(logs.String(), "status=499") })
}

// An answer that there is no room for is refused, in a batch picture by picture.
func TestAnswersTakeRoom(t *testing.T) {
	body := longNames(t, 7)
	s, _ := ready(&fake{}, func(c *Config) { c.MaxQueueBytes = 500_000 })
	w := post(s, "/predict", "application/json", strings.NewReader(body))
	if good, full := strings.Count(w.Body.String(), `"error":null`), strings.Count(w.Body.String(), `"code":"queue_full"`); w.Code != http.StatusOK ||
		good < 1 || full < 1 || good+full != 7 {
		t.Errorf("%d, %d were answered, %d were refused", w.Code, good, full)
	}
	if use := s.room.Use(); use != (admission.Use{}) {
		t.Errorf("%+v is left", use)
	}
}

// A request asks for an hour and gets what the operator allows.
func TestDeadlinesHaveAMost(t *testing.T) {
	f, _, _ := blocker()
	s, _ := ready(f, func(c *Config) { c.Deadline, c.MaxDeadline = 10*time.Millisecond, 50*time.Millisecond })
	begun := time.Now()
	wantProblem(t, post(s, "/predict?deadline_ms=3600000", "", strings.NewReader("picture")), api.DeadlineExceeded)
	if took := time.Since(begun); took < 50*time.Millisecond || took > 10*time.Second {
		t.Errorf("it ended after %v", took)
	}
}
