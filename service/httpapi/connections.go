package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/api"
)

// connections bounds how many connections are open at one time: each takes a file descriptor and some kilobytes, and a process
// without descriptors can do nothing any more, not even tell why. One too many is told so with 429 and closed, without a look at
// its request; waiting unseen in the kernel's queue would tell nobody anything.
type connections struct {
	net.Listener
	most    int
	open    atomic.Int64
	refused func() // hears of each that was refused
	// telling bounds the connections that are being told, which need descriptors too; more are just closed.
	telling chan struct{}
}

const (
	toldAtOnce = 32
	tellTime   = time.Second
)

func limitConnections(l net.Listener, most int, refused func()) *connections {
	return &connections{Listener: l, most: most, refused: refused, telling: make(chan struct{}, toldAtOnce)}
}

// Accept returns the next connection that there is room for.
func (l *connections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= int64(l.most) {
			return &connection{Conn: c, of: l}, nil
		}
		l.open.Add(-1)
		l.refused()
		select {
		case l.telling <- struct{}{}:
			go l.tell(c)
		default:
			c.Close()
		}
	}
}

// tell answers a request that has not been read. What the client is still sending is taken in for a moment: closing before it is
// there would reset the connection, and the answer with it.
func (l *connections) tell(c net.Conn) {
	defer func() { <-l.telling }()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(tellTime))
	const status = http.StatusTooManyRequests
	body, err := json.Marshal(api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: api.QueueFull,
		Detail: fmt.Sprintf("the server has as many connections as it keeps open (%d); try again in a moment, and use one for many requests", l.most)})
	if err != nil {
		panic(err) // strings and numbers only
	}
	_, err = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), api.ProblemType, len(body), body)
	if half, ok := c.(*net.TCPConn); ok && err == nil && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 64<<10))
	}
}

// connection gives its place back when it is closed.
type connection struct {
	net.Conn
	of   *connections
	once sync.Once
}

// Close is the connection's own.
func (c *connection) Close() error {
	c.once.Do(func() { c.of.open.Add(-1) })
	return c.Conn.Close()
}
