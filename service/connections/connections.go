// Package connections bounds what the connections to a port may take before anyone has shown a key: how many are open,
// how many of them one address has, and the memory of headers whose end has not come.
package connections

import (
	"bytes"
	"container/list"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
)

const (
	// HeaderBytes is how long a request's line and headers may be together.
	HeaderBytes = 16 << 10
	// HeaderFields is how many headers a request may have.
	HeaderFields = 100
	// unfinishedBytes is how much of headers may have come, over all connections, whose end has not.
	unfinishedBytes = 4 << 20
	// memory is what a connection takes at the most: where a packet of the shortest fields came behind a whole request.
	memory = 96 << 10
)

// Memory is how many bytes so many connections, open at one time, may take at most, bodies and answers aside.
func Memory(most int) int64 { return int64(most) * memory }

// Fit is how many connections so many bytes are enough for.
func Fit(bytes int64) int64 { return bytes / memory }

// Reason is why a connection was closed that had no fair chance to be used.
type Reason string

// The reasons.
const (
	AllTaken Reason = "all"     // as many are open as may be
	Share    Reason = "address" // its address has too many for what is left
	Header   Reason = "header"  // room was needed, and of the unfinished headers its was the oldest; or it has too many fields
)

// Reasons are all reasons.
var Reasons = []Reason{AllTaken, Share, Header}

// Limits are those of one listener.
type Limits struct {
	Most    int          // open at one time
	Refused func(Reason) // hears of every connection that was closed for a reason; nil: nobody does
	// Open hears how many connections may be open from now on before it hears again; nil: nobody does.
	// It must not block.
	Open func(most int)
}

// Listener is a listener whose connections are bounded. The server that uses it must be guarded by [Guard].
type Listener struct {
	net.Listener
	limits  Limits
	telling chan struct{} // bounds the connections that are being told, which need descriptors too; more are just closed

	mu         sync.Mutex
	open       int
	told       int                  // what Limits.Open has heard last
	of         map[netip.Prefix]int // open, by address
	unfinished *list.List           // of *connection, by when the first byte of their header came; the first to go
	bytes      int                  // of their headers
}

// Limit bounds the connections of l. One too many is told so with 429, without a look at its request, and closed; waiting
// unseen in the kernel's queue would tell nobody anything.
func Limit(l net.Listener, limits Limits) *Listener {
	if limits.Refused == nil {
		limits.Refused = func(Reason) {}
	}
	return &Listener{Listener: l, limits: limits, telling: make(chan struct{}, min(toldAtOnce, limits.Most)), of: map[netip.Prefix]int{},
		unfinished: list.New()}
}

// Accept returns the next connection that there is room for.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := networkOf(c.RemoteAddr())
		reason := l.admit(from)
		if reason != "" && l.dropOldest(from, reason) {
			reason = l.admit(from)
		}
		if reason == "" {
			return &connection{Conn: c, of: l, from: from, inHeader: true}, nil
		}
		l.limits.Refused(reason)
		select {
		case l.telling <- struct{}{}:
			go l.tell(c, reason)
		default:
			c.Close()
		}
	}
}

// share is how many connections an address may have for each that is free. One address alone gets three quarters of all
// and n greedy ones get 3/(3n+1) each, so that there is always room for another; and a proxy in front, which is one address,
// needs no settings. Network switches share their buffers out in this way ("dynamic thresholds").
const share = 3

// admit counts a connection, or says why there is no room for it.
func (l *Listener) admit(from netip.Prefix) Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := l.limits.Most - l.open
	switch {
	case free <= 0:
		return AllTaken
	case l.of[from] >= share*free:
		return Share
	}
	l.open++
	l.of[from]++
	l.tellOpen()
	return ""
}

// openStep is how many connections come or go before [Limits.Open] hears of it.
const openStep = 256

// tellOpen says how many connections to expect where that has changed. It goes down a step late, so that
// a single connection that comes and goes is nothing to tell. l.mu is locked.
func (l *Listener) tellOpen() {
	if l.limits.Open == nil || l.told > 0 && l.open <= l.told && l.open > l.told-2*openStep {
		return
	}
	l.told = (l.open/openStep + 1) * openStep
	l.limits.Open(l.told)
}

// dropOldest closes the connection that has been sending its header for the longest time, of those that are in the way.
func (l *Listener) dropOldest(from netip.Prefix, reason Reason) bool {
	l.mu.Lock()
	oldest := l.oldest(func(c *connection) bool { return reason != Share || c.from == from })
	if oldest != nil {
		l.drop(oldest)
	}
	l.mu.Unlock()
	if oldest == nil {
		return false
	}
	l.limits.Refused(Header)
	oldest.Close()
	return true
}

// oldest is the connection that has been sending its header for the longest time, of those that
// count; nil where there is none. A header that has come whole is not unfinished, although
// net/http may not have read it to its end yet. l.mu is locked.
func (l *Listener) oldest(counts func(*connection) bool) *connection {
	for at := l.unfinished.Front(); at != nil; at = at.Next() {
		if c := at.Value.(*connection); !c.header.ended && counts(c) {
			return c
		}
	}
	return nil
}

// drop ends c for its reader: what comes of its header before c is closed makes no request of it,
// whose answer would be cut off. l.mu is locked.
func (l *Listener) drop(c *connection) {
	c.dropped = true
	l.forget(c)
}

// connection gives its place back when it is closed.
type connection struct {
	net.Conn
	of   *Listener
	from netip.Prefix
	once sync.Once

	// Under of.mu.
	inHeader bool // what is read belongs to a header, not to a body
	dropped  bool // it is about to be closed
	header   header
	place    *list.Element // among the unfinished; nil where none of it has come
}

// Read counts what belongs to headers, and ends the connection at one too many: net/http would take them all in, at many
// times their length, before anybody could count.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	switch came := c.of.came(c, p[:n]); came {
	case nil:
		return n, err
	case errTooManyFields:
		c.of.limits.Refused(Header)
		tellTooManyFields(c.Conn)
		return 0, io.EOF // net/http closes without a word of its own
	default:
		return 0, came
	}
}

var errTooManyFields = errors.New("a header with too many fields")

// Close closes the connection, once.
func (c *connection) Close() error {
	c.once.Do(func() { c.of.closed(c) })
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer before it closes the connection on bytes that it has not read: the client would get a
// reset in the place of the answer's end.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// came counts what came of a header. The error is errTooManyFields, or that c was dropped. It closes the connections that have
// been sending their headers for the longest time if all of them are too much. An honest header comes in one packet, and is read
// at once.
func (l *Listener) came(c *connection, data []byte) error {
	l.mu.Lock()
	if c.dropped {
		l.mu.Unlock()
		return net.ErrClosed
	}
	if !c.inHeader {
		l.mu.Unlock()
		return nil
	}
	if c.place == nil {
		c.place = l.unfinished.PushBack(c)
	}
	c.header.add(data)
	l.bytes += len(data)
	few := c.header.lines <= 1+HeaderFields+1 // the request's own line, and the empty one
	if !few {
		c.inHeader = false
		l.forget(c)
	}
	var late []*connection
	for l.bytes > unfinishedBytes {
		oldest := l.oldest(func(*connection) bool { return true })
		if oldest == nil {
			break // all have come whole, and are being read
		}
		l.drop(oldest)
		late = append(late, oldest)
	}
	gone := c.dropped
	l.mu.Unlock()
	for _, c := range late {
		l.limits.Refused(Header)
		c.Close()
	}
	switch {
	case !few:
		return errTooManyFields
	case gone:
		return net.ErrClosed
	}
	return nil
}

// headerEnds is told by the server when c's header was read to its end, and headerBegins when the next request may come.
func (l *Listener) headerEnds(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.inHeader = false
	l.forget(c)
}

func (l *Listener) headerBegins(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(c) // where net/http has answered by itself
	c.inHeader = true
}

func (l *Listener) closed(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.inHeader = false
	l.forget(c)
	l.open--
	l.tellOpen()
	if l.of[c.from]--; l.of[c.from] == 0 {
		delete(l.of, c.from)
	}
}

// forget takes c out of the unfinished.
func (l *Listener) forget(c *connection) {
	if c.place != nil {
		l.unfinished.Remove(c.place)
		l.bytes -= c.header.bytes
		c.place = nil
	}
	c.header = header{}
}

// header is what has come of a request's header.
type header struct {
	bytes, lines int
	begun        bool // a line has come that is not empty; net/http skips empty ones before
	line         bool // something of the next line has come
	ended        bool // by an empty line; what follows is a body, or another request in the same packet
}

func (h *header) add(data []byte) {
	h.bytes += len(data)
	for !h.ended && len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		h.line = h.line || len(bytes.TrimSuffix(line, []byte("\r"))) > 0
		if !whole {
			return
		}
		h.ended = h.begun && !h.line
		h.begun = h.begun || h.line
		h.lines++
		h.line, data = false, rest
	}
}
