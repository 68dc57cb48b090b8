// Package httpapi is vidi's HTTP API. It is the only package that imports echo.
//
// A [Server] answers as soon as it listens: /livez at once, everything else with 503 until [Server.Ready] hands it a warm
// model. A request's way: observe.go (id, headers, log, panics) → predict.go → input*.go (the forms a picture can come in)
// → parameters.go → the [Classifier] → the answer. Handlers only return errors; problem.go turns every one into an answer.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/service/tracing"
)

// Classifier says what is in a picture; [*classify.Classifier] is the real one. It must be safe for concurrent use.
type Classifier interface {
	// Cost is what a picture is estimated to take.
	Cost(data []byte, o classify.Options) admission.Cost
	Classify(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error)
	Card() model.Card
}

// Models is where requests find what answers them; the registry is the real one. It must be safe for concurrent use.
type Models interface {
	// Pick is the model that a request means: NAME, NAME@VERSION, NAME@ALIAS, or "" for the default. The error, for the client,
	// says that there is none and what there is.
	Pick(ref, requestID string) (Lease, error)
	// List is what can be picked, the default first.
	List() []api.ModelInfo
	// Stuck reports whether every worker hangs in a picture, so that nothing will be answered any more.
	Stuck() bool
}

// Lease is a classifier for one request, which releases it after its answer.
type Lease interface {
	Classifier
	Release()
}

// Config is the server's limits and its defaults for requests that do not choose.
type Config struct {
	MaxBody   int64 // bytes
	MaxImages int   // pictures in one request
	Image     preprocess.Options
	// MaxQueue is how many pictures may wait or be worked on at one time, and MaxQueueBytes how large the uploads may be together;
	// more are refused with 429.
	MaxQueue       int
	MaxQueueBytes  int64         // of answers, too
	MaxConnections int           // open at one time; more are answered 429 and closed
	Connections    func(int)     // hears how many may be open until it hears again; may be nil, must not block
	Deadline       time.Duration // of a request that does not choose, from the end of its upload; 0 is none
	MaxDeadline    time.Duration // that a request may choose; a longer one counts as this, or as Deadline where that is longer

	Keys        *keys.Ring           // nil: nobody is asked for a key
	CORSOrigins []string             // whose pages in browsers may use the API: "https://example.org", or "*" for all; and its names
	Telemetry   *telemetry.Telemetry // hears of every request and picture; nil: one that nobody looks at
	Tracing     *tracing.Tracer      // nil: no traces are made

	ReadHeaderTimeout time.Duration
	ReadTimeout       time.Duration // headers and body; a body that is later is answered 408
	WriteTimeout      time.Duration // from the end of the upload to the end of the answer; longer where the deadline is
	IdleTimeout       time.Duration // between two requests on a connection
}

// Default is 20 MiB, 64 pictures, and two minutes for an upload: 20 MiB in that time are 1.4 Mbit/s.
func Default() Config {
	return Config{
		MaxBody: 20 << 20, MaxImages: 64, MaxQueue: 128, MaxQueueBytes: 256 << 20, MaxConnections: 2000,
		Deadline: 30 * time.Second, MaxDeadline: 2 * time.Minute,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
	}
}

// longest is the longest deadline of a request that has one.
func (c *Config) longest() time.Duration { return max(c.Deadline, c.MaxDeadline) }

// Server answers HTTP requests. All its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	log      *slog.Logger
	echo     *echo.Echo
	http     *http.Server
	serving  atomic.Pointer[serving] // nil until ready
	requests inflight                // predictions under way
	room     *admission.Room
	leaving  atomic.Bool     // Leave was called
	known    map[string]bool // the routes' templates: the only addresses that become metrics
}

// New makes a server; it answers once Serve is called.
func New(cfg Config, log *slog.Logger) *Server {
	if cfg.Telemetry == nil {
		cfg.Telemetry = telemetry.New()
	}
	s := &Server{cfg: cfg, log: log, echo: echo.New(), room: admission.New(admission.Limits{Pictures: cfg.MaxQueue, Bytes: cfg.MaxQueueBytes, Deadline: cfg.longest()})}
	s.echo.HTTPErrorHandler = s.answerError
	s.echo.Use(s.observe, s.keepToThisMachine, s.allowOrigin, s.authorize)
	s.routes()
	s.expectRoutes()
	s.http = &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout, ReadTimeout: cfg.ReadTimeout,
		// net/http begins to count at the end of the headers.
		WriteTimeout: cfg.ReadTimeout + cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s.http.BaseContext = tellIfLocal
	connections.Guard(s.http)
	return s
}

func (s *Server) routes() {
	for _, path := range predictionRoutes {
		s.echo.POST(path, s.predict)
	}
	get := func(path string, handler echo.HandlerFunc) {
		s.echo.Match([]string{http.MethodGet, http.MethodHead}, path, handler)
	}
	get("/", s.welcome)
	get("/web/*", s.pageFile)
	get("/openapi.yaml", s.openapi)
	get("/docs", s.docs)
	get("/livez", s.livez)
	get("/readyz", s.readyz)
	get("/api/v1/models", s.models)
}

// ServeHTTP answers one request, without the timeouts and header limits that Serve adds.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Serve answers requests on l until Shutdown; it then returns nil.
func (s *Server) Serve(l net.Listener) error {
	limits := connections.Limits{Most: s.cfg.MaxConnections, Refused: s.cfg.Telemetry.ConnectionRefused, Open: s.cfg.Connections}
	if err := s.http.Serve(connections.Limit(l, limits)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serving is what answers predictions.
type serving struct {
	models  Models
	workers int
}

// Ready makes models, which are warm, what answers, and the server ready. workers is how many pictures they infer at the same
// time, all together.
func (s *Server) Ready(models Models, workers int) {
	s.room.SetWorkers(workers)
	s.serving.Store(&serving{models, workers})
	s.cfg.Telemetry.SetReady(true)
}

// Leave begins the end: /readyz says so at once, so that nobody new is sent here, while everything that still comes is answered,
// on connections that close after it. Call Shutdown once those who send requests have had time to notice.
func (s *Server) Leave() { s.leaving.Store(true) }

// linger is how long connections are kept after the last answer, for what is still on its way over a network.
const linger = 200 * time.Millisecond

// Shutdown turns new predictions away at once (503 draining, as /readyz says too), lets those under way finish, and closes
// the listener after the last one: until then a load balancer can learn that this server is leaving. When ctx ends first,
// connections are cut, and the error wraps ctx's and says how many.
func (s *Server) Shutdown(ctx context.Context) error {
	announced := s.leaving.Swap(true)
	idle := s.requests.close()
	s.cfg.Telemetry.SetReady(false)
	select {
	case <-idle:
	case <-ctx.Done(): // http.Server.Shutdown below finds out whether anything was left to wait for
	}
	if announced {
		// Requests that were sent before anyone could know are still on their way: they get their 503, not a reset.
		select {
		case <-time.After(linger):
		case <-ctx.Done():
		}
	}
	unfinished := s.requests.count() // before they are cut off
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return fmt.Errorf("%d requests were not finished: %w", unfinished, err)
	}
	return nil
}

// Unfinished is how many predictions are under way.
func (s *Server) Unfinished() int { return s.requests.count() }
