package connections

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/vidi-vision/vidi/service/api"
)

const (
	toldAtOnce = 32
	tellTime   = time.Second
)

// tell answers a request that has not been read. What the client is still sending is taken in for a moment: closing before it is
// there would reset the connection, and the answer with it.
func (l *Listener) tell(c net.Conn, reason Reason) {
	defer func() { <-l.telling }()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(tellTime))
	const status = http.StatusTooManyRequests
	detail := fmt.Sprintf("the server has as many connections as it keeps open (%d)", l.limits.Most)
	if reason == Share {
		detail = fmt.Sprintf("this address has its share of the %d connections that the server keeps open", l.limits.Most)
	}
	body, err := json.Marshal(api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: api.QueueFull,
		Detail: detail + "; try again in a moment, and use one for many requests"})
	if err != nil {
		panic(err) // strings and numbers only
	}
	answer(c, status, api.ProblemType+"\r\nRetry-After: 1", body)
}

// tellTooManyFields answers as net/http itself does where a header has too many bytes.
func tellTooManyFields(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(tellTime / 2))
	const status = http.StatusRequestHeaderFieldsTooLarge
	answer(c, status, "text/plain; charset=utf-8",
		fmt.Appendf(nil, "%d %s: a request may have %d headers", status, http.StatusText(status), HeaderFields))
}

// answer sends the last answer of c, and takes in what the client is still sending.
func answer(c net.Conn, status int, kind string, body []byte) {
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), kind, len(body), body)
	if half, ok := c.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 64<<10))
	}
}
