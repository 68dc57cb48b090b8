package connections

import (
	"context"
	"net"
	"net/http"
)

// connectionKey finds a request's connection in its context.
type connectionKey struct{}

// slop is what net/http reads of a header beyond http.Server.MaxHeaderBytes.
const slop = 4 << 10

// Guard makes server, which has its handler already, keep to the limits of the listeners that [Limit] returned, and to
// those of one request.
func Guard(server *http.Server) {
	server.MaxHeaderBytes = HeaderBytes - slop
	server.DisableGeneralOptionsHandler = true // it answers without the handler below
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if c, ok := conn.(*connection); ok && state == http.StateIdle {
			c.of.headerBegins(c)
		}
	}
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			c.of.headerEnds(c)
		}
		if len(r.TransferEncoding) > 0 {
			// net/http prefers chunks where a Content-Length contradicts them, and does not tell. What a proxy in front took
			// for the rest of the body must not run as a request of its own, so nothing more is read from this connection
			// (RFC 9112, 6.1).
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
