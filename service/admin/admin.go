// Package admin is the listener for operators: metrics, the page of the last minutes, changes of the models, profiles. It has a port
// of its own, so that no mistake in the public API's routes can show them to the world, and it is meant for this machine or a private
// network; and a UNIX socket, which tells who asks.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/service/web"
)

// Server answers operators. Its methods are safe for concurrent use.
type Server struct {
	http *http.Server
}

// New makes a server; it answers once Serve is called.
func New(t *telemetry.Telemetry, models Models, ring *keys.Ring, log *slog.Logger) *Server {
	d := &door{ring: ring, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "stats") // http.Redirect would write /stats, and lose the folder of a proxy
		w.WriteHeader(http.StatusFound)
	})
	mux.Handle("GET /metrics", d.guard(keys.Metrics, t.Handler()))
	// The page itself holds no figure; its script asks for a key where /stats.json does.
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if wantsJSON(r) {
			d.guard(keys.Metrics, http.HandlerFunc(t.ServeStats)).ServeHTTP(w, r)
			return
		}
		sendFile(w, r, web.StatsIndex)
	})
	mux.Handle("GET /stats.json", d.guard(keys.Metrics, http.HandlerFunc(t.ServeStats)))
	mux.HandleFunc("GET /web/{name...}", func(w http.ResponseWriter, r *http.Request) { sendFile(w, r, r.PathValue("name")) })
	routeModels(mux, d, models)
	// net/http/pprof also registers itself on http.DefaultServeMux, which nothing here serves.
	mux.Handle("GET /debug/pprof/", d.guard(keys.Admin, http.HandlerFunc(pprof.Index)))
	mux.Handle("GET /debug/pprof/cmdline", d.guard(keys.Admin, http.HandlerFunc(pprof.Cmdline)))
	mux.Handle("GET /debug/pprof/profile", d.guard(keys.Admin, http.HandlerFunc(pprof.Profile)))
	mux.Handle("GET /debug/pprof/symbol", d.guard(keys.Admin, http.HandlerFunc(pprof.Symbol)))
	mux.Handle("GET /debug/pprof/trace", d.guard(keys.Admin, http.HandlerFunc(pprof.Trace)))
	s := &Server{http: &http.Server{
		Handler: http.MaxBytesHandler(withHeaders(mux), 1<<20),
		// A profile of a minute and more must fit into the time to write; pprof refuses longer ones by itself.
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 3 * time.Minute, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	connections.Guard(s.http)
	return s
}

// most is how many connections may be open at one time, on the port and on the socket: their descriptors are kept from the public
// port's.
const most = 16

// Serve answers requests on l, the port or the socket, until Close; it then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(connections.Limit(l, connections.Limits{Most: most})); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends the server, and profiles that are being taken. Answers under way have ctx's time.
func (s *Server) Close(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

// ServeHTTP answers one request, without the limits that Serve adds.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// problem is an error answer, shaped as the public API's are.
func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
}
