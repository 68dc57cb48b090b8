package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/connections"
)

// keepToThisMachine keeps other web sites out while the server listens on loopback: it is meant for programs of this machine then, and
// a browser that visits a site is one of them. The site can have the browser send pictures here; and under a name of its own that
// leads to 127.0.0.1 (DNS rebinding) it could read the answers too. The sites of --cors-origin may, and so may names that are theirs.
// Beyond loopback anybody may ask, and there is no telling what the server is called there.
func (s *Server) keepToThisMachine(next echo.HandlerFunc) echo.HandlerFunc {
	if slices.Contains(s.cfg.CORSOrigins, "*") {
		return next
	}
	sites, names := http.NewCrossOriginProtection(), map[string]bool{}
	for _, origin := range s.cfg.CORSOrigins {
		u, err := url.Parse(origin)
		if err != nil || sites.AddTrustedOrigin(origin) != nil {
			continue // the configuration was checked: browsers send no such thing
		}
		names[strings.ToLower(u.Hostname())] = true
	}
	return func(c echo.Context) error {
		req := c.Request()
		if req.Context().Value(localKey{}) == nil {
			return next(c)
		}
		if name := connections.HostName(req.Host); !connections.Local(name) && !names[name] {
			return fail(api.ForeignSite, "this server listens on its own machine, where it is not called %.100q; use localhost or 127.0.0.1, "+
				"or start it with --cors-origin https://NAME if a proxy passes that site on", name)
		}
		if sites.Check(req) != nil {
			return fail(api.ForeignSite, "this server listens on its own machine, and takes nothing from the pages of other web sites; "+
				"start it with --cors-origin %s if they may", originOf(req))
		}
		return next(c)
	}
}

// originOf is the site that a browser says it is on.
func originOf(req *http.Request) string {
	origin := req.Header.Get(echo.HeaderOrigin)
	if u, err := url.Parse(origin); err != nil || u.Host == "" || len(origin) > 100 {
		return "ORIGIN"
	}
	return origin
}

// localKey is in the context of requests to a listener that only this machine reaches.
type localKey struct{}

func tellIfLocal(l net.Listener) context.Context {
	if at, ok := l.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() {
		return context.WithValue(context.Background(), localKey{}, true)
	}
	return context.Background()
}
