package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
)

// upload is a request's body, counted. Its Read fails with a *failure, which it also keeps: parsers in between may hide it.
type upload struct {
	body    io.ReadCloser
	length  int64 // as announced; -1 if it was not
	limit   int64
	read    int64
	came    time.Time // when the last Read ended, or else when the request came
	begun   bool      // Read was called: a client that asked with Expect: 100-continue was told to go on
	ended   bool
	sent    time.Time // when the answer was out, where the body was read further; zero elsewhere
	failure *failure
	visit   *admission.Visit             // that its bytes are counted for; nil if they are not
	refuse  func(admission.Reason) error // says that there is no room
	wait    patience                     // for more of it
	held    int64                        // of the visit's bytes
}

func newUpload(r *http.Request, limit int64) *upload {
	return &upload{body: r.Body, length: r.ContentLength, limit: limit, came: time.Now(), ended: r.ContentLength == 0}
}

// arrived is when the last of the body came, as far as it was read. Deadlines count from then.
func (u *upload) arrived() time.Time { return u.came }

// cut reports whether the body stopped coming before its end, so that there was nothing to answer.
func (u *upload) cut() bool {
	return u.failure != nil && (u.failure.gone || u.failure.code == api.RequestTimeout)
}

// within makes the bytes that arrive from now on take room, and holds them to a pace; where there is no room, reading fails with
// what refuse gives.
func (u *upload) within(v *admission.Visit, wait patience, refuse func(admission.Reason) error) {
	u.visit, u.wait, u.refuse = v, wait, refuse
	if !u.ended {
		u.wait.extend(v.Begin(u.wait.stop))
	}
}

// arrive counts n bytes that have come.
func (u *upload) arrive(n int) error {
	until := u.visit.Moved(int64(n)) // first: what holds bytes and has not moved counts as slow
	if reason := u.visit.Take(int64(n)); reason != "" {
		return u.refuse(reason)
	}
	u.held += int64(n)
	u.wait.extend(until)
	if u.visit.Ended() { // perhaps before the connection was told to wait on
		return u.refuse(admission.GaveWay)
	}
	return nil
}

// done ends the transfer, once all that is wanted has been read.
func (u *upload) done() {
	u.visit.End()
	switch {
	case u.ended:
		_ = u.wait.set(time.Time{}) // what is waited for now is that the client leaves
	case u.failure == nil:
		_ = u.wait.set(u.wait.end)
	}
}

// forget gives the room of the body back, once nobody has its bytes any more.
func (u *upload) forget() {
	u.visit.Give(u.held)
	u.held = 0
}

// late says why no more was waited for.
func (u *upload) late() error {
	switch {
	case u.visit != nil && u.visit.Ended():
		return u.refuse(admission.GaveWay)
	case u.visit != nil && (u.wait.end.IsZero() || u.wait.until.Before(u.wait.end)):
		return u.refuse(admission.SlowUpload)
	}
	return fail(api.RequestTimeout, "the request's body did not arrive in time; send a smaller picture, or over a faster line")
}

// announced refuses a body whose announced length is over the limit, before any of it is read.
func (u *upload) announced() error {
	if u.length > u.limit {
		return u.tooLarge()
	}
	return nil
}

func (u *upload) tooLarge() *failure {
	return fail(api.BodyTooLarge, "the request's body is larger than %s, which is this server's limit; send fewer or smaller pictures", size(u.limit))
}

// Read reads up to the limit.
func (u *upload) Read(p []byte) (int, error) {
	if u.failure != nil {
		return 0, u.failure
	}
	u.begun = true
	if rest := u.limit - u.read + 1; int64(len(p)) > rest {
		p = p[:rest] // one byte more than is allowed tells whether the body goes on
	}
	n, err := u.body.Read(p)
	u.came = time.Now()
	u.read += int64(n)
	if u.visit != nil && n > 0 {
		if refused := u.arrive(n); refused != nil {
			u.failure = asFailure(refused)
			return 0, u.failure
		}
	}
	switch {
	case u.read > u.limit:
		u.failure = u.tooLarge()
		return n - 1, u.failure
	case err == io.EOF:
		u.ended = true
	case errors.Is(err, os.ErrDeadlineExceeded):
		u.failure = asFailure(u.late()).because(err)
		err = u.failure
	case err != nil:
		u.failure = fail(api.BadRequest, "the request's body could not be read to its end: it was cut short, or its chunks are malformed").because(err)
		u.failure.gone = true
		err = u.failure
	}
	return n, err
}

// Close closes the body.
func (u *upload) Close() error { return u.body.Close() }

// all reads the whole body. The buffer grows as bytes arrive: an announced length is only a promise.
func (u *upload) all() ([]byte, error) { return readAll(u, u.length) }

// onTrust is how many bytes are allocated on a client's word; it must send as many before it is believed the rest.
const onTrust = 1 << 20

// readAll is io.ReadAll for a source whose length may be known (-1: not), with less copying.
func readAll(r io.Reader, length int64) ([]byte, error) {
	data := make([]byte, 0, min(max(length, 16<<10), onTrust)+1)
	for {
		if len(data) == cap(data) {
			room := 2 * int64(cap(data))
			if int64(cap(data)) <= length {
				room = length + 1 // the one more is for the read that finds the end
			}
			data = append(make([]byte, 0, room), data...)
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

const (
	// net/http itself reads up to this much of a left-over body before it answers, and then keeps the connection.
	leftToServer = 256 << 10
	// How much longer an upload is read once its refusal was sent.
	drainBytes = 64 << 20
	drainTime  = 5 * time.Second
)

// answerBefore sends the answer while some of the body may be unread. Closing then would reset the connection and the
// client would lose the answer. So the answer goes out first, for clients that watch for it and stop; for those that first
// send everything, the rest is read for a bounded while.
func (u *upload) answerBefore(c echo.Context, send func()) {
	rest := u.length - u.read
	control := http.NewResponseController(c.Response())
	short := u.length >= 0 && rest <= leftToServer
	// What stands still would hold up the answer as long as net/http waits for its end; and where the connection closes after the
	// answer, as those of nginx's plain proxy_pass do, it does not wait.
	if u.ended || short && u.failure == nil && !c.Request().Close || control.EnableFullDuplex() != nil {
		send()
		return
	}
	c.Response().Header().Set(echo.HeaderConnection, "close")
	waiting := !u.begun && c.Request().Header.Get("Expect") != "" // for the word to go on, which it does not get
	broken := u.failure != nil && u.failure.code != api.BodyTooLarge && u.failure.code != api.QueueFull
	send()
	if waiting || broken {
		return // net/http sends the answer once the request is counted, and reads no more
	}
	_ = control.Flush()
	u.sent = time.Now()
	_ = control.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, u.body, drainBytes)
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }
