package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/tracing"
)

// request is what the server knows about a request beside its bytes.
type request struct {
	id      string
	begun   time.Time
	upload  *upload
	failure *failure // why it was refused; nil if it was not
	key     string   // the name of the key it came with, "" where none is asked for
	trace   *tracing.Request
}

// answered is when the answer was out: now, or earlier where the rest of a refused body was read.
func (r *request) answered() time.Time {
	if r.upload.sent.IsZero() {
		return time.Now()
	}
	return r.upload.sent
}

// uploadTime is how long the body took to arrive, as far as it was read.
func (r *request) uploadTime() time.Duration { return r.upload.arrived().Sub(r.begun) }

const requestKey = "vidi.request"

func requestOf(c echo.Context) *request { return c.Get(requestKey).(*request) }

// observe wraps every request: it gives it an id, sets the headers that every answer has, catches panics, and logs.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		u := newUpload(req, s.cfg.MaxBody)
		r := &request{id: requestID(req), begun: u.arrived(), upload: u}
		req.Body = r.upload
		c.Set(requestKey, r)
		if req.Method == http.MethodPost { // probes and looks would drown the rest
			var ctx context.Context
			if ctx, r.trace = s.cfg.Tracing.Begin(req); r.trace != nil {
				c.SetRequest(req.WithContext(ctx))
			}
		}
		setHeaders(c.Response().Header(), r.id)
		if s.leaving.Load() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}
		if u.ended && s.cfg.WriteTimeout > 0 { // nothing will be uploaded, so the time to write has begun
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(r.begun.Add(s.cfg.WriteTimeout))
		}
		s.cfg.Telemetry.Begin()
		defer s.count(c, r) // also after a panic that catch lets through
		if err := catch(func() error { return next(c) }); err != nil {
			c.Error(err)
		}
		s.logRequest(c, r)
		return nil
	}
}

// catch runs f and returns its panic as a *panicError.
func catch(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

func setHeaders(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// requestID is the client's own id where it is harmless in headers, logs and files, else a new one.
func requestID(req *http.Request) string {
	id := req.Header.Get("X-Request-Id")
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	if id == "" || len(id) > 128 || strings.IndexFunc(id, func(r rune) bool { return !harmless(r) }) >= 0 {
		return rand.Text()
	}
	return id
}

func (s *Server) logRequest(c echo.Context, r *request) {
	req, res := c.Request(), c.Response()
	status, level := res.Status, slog.LevelInfo
	if req.Method != http.MethodPost && (status < 400 || status == http.StatusServiceUnavailable) {
		level = slog.LevelDebug // probes and looks
	}
	attributes := []slog.Attr{
		slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Int("status", 0),
		slog.Float64("ms", classify.Milliseconds(r.answered().Sub(r.begun))), slog.Int64("bytes_in", r.upload.read), slog.Int64("bytes_out", res.Size),
		slog.String("remote", req.RemoteAddr), slog.String("request_id", r.id),
	}
	if r.upload.begun {
		attributes = append(attributes, slog.Float64("upload_ms", classify.Milliseconds(r.uploadTime())))
	}
	if r.key != "" {
		attributes = append(attributes, slog.String("key", r.key))
	}
	if id := r.trace.ID(); id != "" {
		attributes = append(attributes, slog.String("trace_id", id))
	}
	if f := r.failure; f != nil {
		if f.gone {
			status = statusClientGone
		} else {
			attributes = append(attributes, slog.String("code", string(f.code)), slog.String("detail", f.detail))
		}
		attributes = append(attributes, causes(f)...)
	}
	if status >= 500 && r.failure != nil && r.failure.cause != nil {
		level = slog.LevelError
	}
	attributes[2] = slog.Int("status", status)
	s.log.LogAttrs(context.WithoutCancel(req.Context()), level, "request", attributes...)
}

// causes is what the client was not told.
func causes(f *failure) []slog.Attr {
	var attributes []slog.Attr
	if f.cause != nil {
		attributes = append(attributes, slog.String("cause", f.cause.Error()))
	}
	if native := backend.DetailOf(f.cause); native != "" {
		attributes = append(attributes, slog.String("native", native))
	}
	var panicked *panicError
	if errors.As(f.cause, &panicked) {
		attributes = append(attributes, slog.String("stack", string(panicked.stack)))
	}
	return attributes
}
