package httpapi

import (
	"errors"
	"math"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/keys"
)

// open are the routes that need no key: probes, and what a person reads before having one. A route that is not named here
// needs one, so that a new one is closed until somebody thinks of it.
var open = map[string]bool{
	"/": true, "/web/*": true, "/livez": true, "/readyz": true,
	"/openapi.yaml": true, "/openapi.json": true, "/docs": true, "/docs/*": true,
}

// authorize asks for a key of role infer wherever the server has keys.
func (s *Server) authorize(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		route := s.route(c)
		if s.cfg.Keys == nil || open[route] || route == otherRoute {
			return next(c)
		}
		name, err := s.cfg.Keys.Check(c.Request().Header, keys.Infer)
		requestOf(c).key = name
		if err != nil {
			return keyFailure(err)
		}
		return next(c)
	}
}

func keyFailure(err error) error {
	var tooOften *keys.TooOften
	switch {
	case errors.As(err, &tooOften):
		f := fail(api.RateLimited, "this key's pictures come too fast; wait as long as Retry-After says")
		f.retryAfter = max(1, int(math.Ceil(tooOften.Wait.Seconds())))
		return f
	case errors.Is(err, keys.ErrForbidden):
		return fail(api.Forbidden, "this key does not allow predictions; it needs the role infer")
	case errors.Is(err, keys.ErrUnknown):
		return fail(api.Unauthorized, "the key is not known here; it may have been withdrawn")
	}
	return fail(api.Unauthorized, "this server asks for a key: send it as Authorization: Bearer KEY, or as X-API-Key: KEY")
}

// allowOrigin lets the pages of the configured origins use the API from browsers. By default there are none, and then browsers
// keep pages from elsewhere from reading any answer.
func (s *Server) allowOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	if len(s.cfg.CORSOrigins) == 0 {
		return next
	}
	all := slices.Contains(s.cfg.CORSOrigins, "*")
	return func(c echo.Context) error {
		req, h := c.Request(), c.Response().Header()
		origin := req.Header.Get(echo.HeaderOrigin)
		h.Add(echo.HeaderVary, echo.HeaderOrigin)
		if origin == "" || !all && !slices.Contains(s.cfg.CORSOrigins, origin) {
			return next(c)
		}
		// No Access-Control-Allow-Credentials: keys travel in a header, so a browser's cookies and passwords open nothing.
		h.Set(echo.HeaderAccessControlAllowOrigin, origin)
		h.Set(echo.HeaderAccessControlExposeHeaders, "X-Request-Id, Retry-After")
		if req.Method == http.MethodOptions && req.Header.Get(echo.HeaderAccessControlRequestMethod) != "" {
			h.Set(echo.HeaderAccessControlAllowMethods, "GET, HEAD, POST")
			h.Set(echo.HeaderAccessControlAllowHeaders, "Authorization, Content-Type, X-API-Key, X-Request-Id")
			h.Set(echo.HeaderAccessControlMaxAge, "600")
			return c.NoContent(http.StatusNoContent)
		}
		return next(c)
	}
}
