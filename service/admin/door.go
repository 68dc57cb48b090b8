package admin

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/web"
)

// door lets in who comes over the socket, and who has a key with the right role. Figures it shows to this machine too.
type door struct {
	ring *keys.Ring
	log  *slog.Logger
}

func (d *door) guard(role keys.Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.letIn(w, r, role) {
			next.ServeHTTP(w, r)
		}
	})
}

func (d *door) letIn(w http.ResponseWriter, r *http.Request, role keys.Role) bool {
	// A key that was sent counts, from wherever it comes: a wrong one should not look like a right one.
	presented := keys.FromHeaders(r.Header) != ""
	if !presented && (overSocket(r) || role == keys.Metrics && fromThisMachine(r)) {
		d.note(r, "", role)
		return true
	}
	if d.ring == nil {
		d.refuse(w, r, "", http.StatusForbidden, "forbidden", needs(role))
		return false
	}
	name, err := d.ring.Check(r.Header, role)
	var tooOften *keys.TooOften
	switch {
	case err == nil:
		d.note(r, name, role)
		return true
	case errors.As(err, &tooOften):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(tooOften.Wait.Seconds()))))
		d.refuse(w, r, name, http.StatusTooManyRequests, "rate_limited", "this key's requests come too fast; wait as long as Retry-After says")
	case errors.Is(err, keys.ErrForbidden):
		d.refuse(w, r, name, http.StatusForbidden, "forbidden", "this key has not the role "+string(role))
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="vidi"`)
		d.refuse(w, r, "", http.StatusUnauthorized, "unauthorized", "send a key of role "+string(role)+" as Authorization: Bearer KEY")
	}
	return false
}

// needs tells what to do where the server has no keys.
func needs(role keys.Role) string {
	if role == keys.Metrics {
		return "this address answers to its own machine only, by its address or as localhost; " +
			"start the server with --keys FILE to ask from elsewhere, with a key of role " + string(role)
	}
	return "changes and profiles are for the server's user and root on its machine, over its UNIX socket: `vidi models` uses it, and " +
		"docs/operations.md shows how curl does; or start the server with --keys FILE, and send a key of role " + string(role)
}

// note logs what an operator does. Those who only look, such as Prometheus four times a minute, are logged like probes.
func (d *door) note(r *http.Request, key string, role keys.Role) {
	level := slog.LevelDebug
	if role == keys.Admin {
		level = slog.LevelInfo
	}
	d.log.Log(r.Context(), level, "admin request", "method", r.Method, "path", r.URL.Path, "key", key, "remote", r.RemoteAddr)
}

func (d *door) refuse(w http.ResponseWriter, r *http.Request, key string, status int, code, detail string) {
	d.log.Warn("admin request refused", "method", r.Method, "path", r.URL.Path, "status", status, "code", code, "key", key, "remote", r.RemoteAddr)
	problem(w, status, code, detail)
}

// fromThisMachine reports whether the request seems to be made by a program of this machine for this server. That is good enough for
// figures, no more: a proxy here passes strangers on, and says so only if it was told to; and a web page can make a browser ask
// 127.0.0.1 under a name of its own.
func fromThisMachine(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false // another web page asks, and could start profiles although it cannot read them
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false // likewise, from a browser that does not send Sec-Fetch-Site
	}
	return connections.Local(connections.HostName(r.Host))
}

func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// sendFile answers with one of the files that the operators' page is made of.
func sendFile(w http.ResponseWriter, r *http.Request, name string) {
	file, ok := web.FindStats(name)
	if !ok {
		problem(w, http.StatusNotFound, "not_found", "there is nothing at this address; /stats, /metrics and /debug/pprof/ are here")
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.Type)
	h.Set("Content-Security-Policy", web.Policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", file.ETag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.Data))
}
