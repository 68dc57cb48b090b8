package httpapi

import (
	"time"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/connections"
)

// clientOf is whose the request is, for its share of the server: its key's, or else its address's.
func clientOf(c echo.Context) string {
	if key := requestOf(c).key; key != "" {
		return "key " + key
	}
	return connections.ClientOf(c.Request().RemoteAddr)
}

// uploadEnd is by when the request's body must have come; zero is never.
func (s *Server) uploadEnd(r *request) time.Time {
	if s.cfg.ReadTimeout == 0 {
		return time.Time{}
	}
	return r.begun.Add(s.cfg.ReadTimeout)
}

// refuse is the answer to what there is no room for, or no longer, and counts it.
func (s *Server) refuse(reason admission.Reason) error {
	s.cfg.Telemetry.Refused(reason)
	switch reason {
	case admission.SlowUpload:
		return fail(api.RequestTimeout, "the request's body comes too slowly: at least %s a second are needed, on average over %v; "+
			"send a smaller picture, or over a faster line", size(admission.MinPace), admission.PaceTime)
	case admission.GaveWay:
		return fail(api.RequestTimeout, "the server has little room, and this request's body came the most slowly; send it again, or over a faster line")
	}
	use := s.room.Use()
	f := fail(api.QueueFull, "the server has as much work as it takes at one time (%d pictures, %s of uploads and answers); try again in a moment",
		use.Pictures, size(use.Bytes))
	switch reason {
	case admission.Share:
		f = fail(api.QueueFull, "this client's requests hold as much memory as one client may; let some of them end first")
	case admission.Displaced:
		f = fail(api.QueueFull, "the server has more work than it takes at one time, and most of it came with this picture; send it again later, with fewer at once")
	}
	f.retryAfter = s.room.RetryAfter()
	return f
}
