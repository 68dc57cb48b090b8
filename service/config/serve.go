// Package config is what `vidi serve` can be told: flags, each of which is also the environment variable VIDI_<FLAG>.
// Mistakes are reported all at once, each by the name that the operator typed.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// Serve is the settings of `vidi serve`. The tags are kong's; kong's variable "models" must be set to the default folder.
type Serve struct {
	Addr      string   `help:"Address and port to listen on." short:"a" default:"127.0.0.1:5000" env:"VIDI_ADDR"`
	AdminAddr string   `help:"Address and port for operators: metrics, /stats, profiles; empty is none." default:"127.0.0.1:5001" env:"VIDI_ADMIN_ADDR"`
	Model     []string `short:"m" help:"A model to serve: its name, NAME@VERSION, or a TorchScript file; repeatable, and the first answers where none is named. Default: the folder's own default." env:"VIDI_MODEL" placeholder:"NAME|FILE"`
	Folder
	Watch       bool   `help:"Look at the folder every second: a new version of a served model is tried, and takes over if it is good." env:"VIDI_WATCH"`
	ModelMemory Bytes  `help:"Memory for all models together, by estimate; one more is refused before it is loaded. Default: what there is, less what everything else may take; 0 is no limit." env:"VIDI_MODEL_MEMORY"`
	Precision   string `help:"fp32, bf16, int8 (needs such a model), or auto." short:"p" default:"fp32" env:"VIDI_PRECISION"`
	Decode      string `help:"exact: the pixels that Pillow gives; fast: let the JPEG decoder shrink large pictures. Requests may choose otherwise." default:"exact" env:"VIDI_DECODE"`
	NoExif      bool   `help:"Do not turn pictures as their EXIF orientation says. Requests may choose otherwise." env:"VIDI_NO_EXIF"`

	Workers      Count `help:"Pictures worked on at the same time; 0 is one per core." default:"0" env:"VIDI_WORKERS"`
	Threads      Count `help:"Threads of each worker for inference; 0 shares the cores out among the workers." default:"0" env:"VIDI_THREADS"`
	ThreadsAlone Count `help:"Threads for a picture that has the machine to itself; 0 is all cores for models that are faster with them, 1 means no special treatment." default:"0" env:"VIDI_THREADS_ALONE"`

	MaxBody      Bytes    `help:"Largest request body." default:"20MiB" env:"VIDI_MAX_BODY"`
	MaxPixels    Count    `help:"Most pixels of one picture." default:"52M" env:"VIDI_MAX_PIXELS"`
	MaxImages    Count    `help:"Most pictures in one request." default:"64" env:"VIDI_MAX_IMAGES"`
	DecodeTime   Duration `help:"CPU time that decoding one picture may take." default:"2s" env:"VIDI_DECODE_TIME"`
	DecodeMemory Bytes    `help:"Memory for decoding, all pictures together." default:"1GiB" env:"VIDI_DECODE_MEMORY"`

	Queue          Count    `help:"Most pictures that wait or are worked on at one time; more get 429." default:"128" env:"VIDI_QUEUE"`
	QueueMemory    Bytes    `help:"Largest sum of the uploads that are being received or worked on, and of the answers that are being sent." default:"256MiB" env:"VIDI_QUEUE_MEMORY"`
	MaxConnections Count    `help:"Most connections open at one time; 0 is what an eighth of the memory is enough for, 10k at most. Fewer where the process may open fewer files." default:"0" env:"VIDI_MAX_CONNECTIONS"`
	UploadTimeout  Duration `help:"How long a request may take to arrive; a slower one is answered 408." default:"2m" env:"VIDI_UPLOAD_TIMEOUT"`
	Deadline       Duration `help:"How long a request may take, from the end of its upload, that does not say deadline_ms; 0s is for ever." default:"30s" env:"VIDI_DEADLINE"`
	MaxDeadline    Duration `help:"Longest deadline_ms that counts: a request that asks for more gets this, or --deadline where that is longer. Work that cannot be done in that time is refused." default:"2m" env:"VIDI_MAX_DEADLINE"`
	DrainDelay     Duration `help:"How long to go on answering after SIGTERM, while /readyz says no: the time that load balancers need to notice." default:"1s" env:"VIDI_DRAIN_DELAY"`

	Keys       string   `help:"File of the keys that requests need (vidi keys new); without it nobody is asked for one." env:"VIDI_KEYS" placeholder:"FILE"`
	CORSOrigin []string `help:"Origin whose web pages may use the API from browsers, such as https://example.org; also this server's own, where a proxy on this machine passes it on under that name. Repeatable." env:"VIDI_CORS_ORIGIN" placeholder:"ORIGIN" sep:","`

	Rules string `help:"File of rules that give pictures tags of your own (docs/rules.md); changes to it count within seconds." env:"VIDI_RULES" placeholder:"FILE"`

	Traces      string  `help:"OpenTelemetry collector to send traces of requests to (OTLP over HTTP), such as http://127.0.0.1:4318; without it none are made." env:"VIDI_TRACES" placeholder:"URL"`
	TracesShare float64 `help:"Share of the requests to trace, 0 to 1; a caller's own decision (traceparent) has precedence." default:"1" env:"VIDI_TRACES_SHARE"`

	Grace     Duration `help:"How long to finish accepted requests after a signal to stop." default:"25s" env:"VIDI_GRACE"`
	LogFormat string   `help:"text or json." default:"text" env:"VIDI_LOG_FORMAT"`
	LogLevel  string   `help:"debug, info, warn or error." default:"info" env:"VIDI_LOG_LEVEL"`
}

// Validate reports every mistake at once, one line each. kong calls it.
func (s Serve) Validate() error {
	m := &mistakes{}
	m.add("--addr", checkAddress(s.Addr))
	if s.AdminAddr != "" {
		m.add("--admin-addr", checkAddress(s.AdminAddr))
		if collide(s.Addr, s.AdminAddr) {
			m.add("--admin-addr", fmt.Errorf(`%s takes the port of --addr %s; choose another, or "" to do without`, s.AdminAddr, s.Addr))
		}
	}
	if s.Traces != "" {
		m.add("--traces", checkCollector(s.Traces))
	}
	if !(s.TracesShare >= 0 && s.TracesShare <= 1) { // NaN too
		m.add("--traces-share", tooFar(fmt.Sprint(s.TracesShare), "0", "1"))
	}
	for _, origin := range s.CORSOrigin {
		m.add("--cors-origin", checkOrigin(origin))
	}
	for _, name := range s.Model {
		if name == "" {
			m.add("--model", errors.New("is empty; give a model's name or a file, or leave it out"))
		}
	}
	_, err := engine.ParsePrecision(s.Precision)
	m.add("--precision", err)
	m.add("--decode", oneOf(s.Decode, string(preprocess.Exact), string(preprocess.Fast)))
	m.add("--workers", s.Workers.between(0, 1024))
	m.add("--threads", s.Threads.between(0, 1024))
	m.add("--threads-alone", s.ThreadsAlone.between(0, 1024))
	m.add("--model-memory", s.ModelMemory.between(0, 1<<50))
	m.add("--max-body", s.MaxBody.between(1<<10, 2<<30))
	m.add("--max-pixels", s.MaxPixels.CheckPixels())
	m.add("--max-images", s.MaxImages.between(1, 10_000))
	m.add("--decode-time", s.DecodeTime.between(time.Millisecond, time.Hour))
	m.add("--decode-memory", s.DecodeMemory.between(1<<20, 1<<50))
	m.add("--queue", s.Queue.between(1, 1_000_000))
	m.add("--queue-memory", s.QueueMemory.between(1<<20, 1<<50))
	m.add("--max-connections", s.MaxConnections.between(0, 1_000_000))
	m.add("--upload-timeout", s.UploadTimeout.between(time.Second, 24*time.Hour))
	m.add("--deadline", s.Deadline.between(0, 24*time.Hour))
	m.add("--max-deadline", s.MaxDeadline.between(time.Second, 24*time.Hour))
	m.add("--drain-delay", s.DrainDelay.between(0, time.Hour))
	m.add("--grace", s.Grace.between(0, time.Hour))
	m.add("--log-format", oneOf(s.LogFormat, "text", "json"))
	m.add("--log-level", new(slog.Level).UnmarshalText([]byte(s.LogLevel)))
	return m.err()
}

// Limits are what one picture, and all together, may cost to decode.
func (s Serve) Limits() preprocess.Limits {
	l := preprocess.DefaultLimits().WithMaxPixels(s.MaxPixels.N)
	l.MaxCPU, l.MaxMemory = s.DecodeTime.D, s.DecodeMemory.N
	return l
}

// inferenceNice puts inference behind the threads that read requests and refuse them: those need little, but soon.
const inferenceNice = 5

// Engine is how the model is to be run.
func (s Serve) Engine() engine.Config {
	return engine.Config{Precision: engine.Precision(s.Precision), Workers: int(s.Workers.N), Threads: int(s.Threads.N), Alone: int(s.ThreadsAlone.N),
		Nice: inferenceNice, Trust: s.Trusted()}
}

// Reserve is what a server needs beside its model, its decoding, its uploads and its connections, in bytes:
// stacks, what was decoded from requests (JSON, forms), the garbage before it is collected.
const Reserve = 128 << 20

// otherFiles are the descriptors that are not connections to the public port: libraries, the log, the operators' connections,
// a key file that is read, and one for each thread of C's that infers or decodes.
// The number of cores is known once the quota has been applied.
func otherFiles() int { return 128 + 2*runtime.GOMAXPROCS(0) }

// Connections is how many may be open: what was asked for, or what an eighth of the memory, in bytes, is enough for (0 is
// unknown); and fewer where the process may not open that many files.
func (s Serve) Connections(memory int64) int {
	most := int(s.MaxConnections.N)
	if most == 0 {
		const few, many = 500, 10_000
		most = int(min(max(connections.Fit(memory/8), few), many))
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Cur > math.MaxInt32 {
		return most
	}
	return min(most, max(int(files.Cur)-otherFiles(), int(files.Cur)/2))
}

// Image is what is done with a picture whose request does not choose.
func (s Serve) Image() preprocess.Options {
	return preprocess.Options{Decode: preprocess.Decode(s.Decode), IgnoreEXIF: s.NoExif}
}

// ModelNames are the models to serve, each once, the default first; "" is the folder's default.
func (s Serve) ModelNames() []string {
	var names []string
	for _, name := range s.Model {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// Level is the lowest level that is logged.
func (s Serve) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // Validate has checked it
	return level
}

// Loopback reports whether only this machine can reach address, a HOST:PORT. Names other than localhost count as reachable.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT; for example 127.0.0.1:5000, or 0.0.0.0:5000 to be reached from other machines", address)
	}
	return nil
}

// collide reports whether one of two addresses would take the other's port.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	everywhere := func(host string) bool { return host == "" || net.ParseIP(host).IsUnspecified() }
	return errA == nil && errB == nil && portA == portB && portA != "0" && (hostA == hostB || everywhere(hostA) || everywhere(hostB))
}

// checkOrigin wants what browsers send: scheme, host and port, nothing behind them.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin == "*" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host {
		return nil
	}
	return fmt.Errorf("%q is not an origin; for example https://example.org, without a slash at the end", origin)
}

// checkCollector wants the collector's address alone: the path is the protocol's.
func checkCollector(collector string) error {
	u, err := url.Parse(collector)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && collector == u.Scheme+"://"+u.Host {
		return nil
	}
	return fmt.Errorf("%q is not a collector's address; for example http://127.0.0.1:4318, without a path", collector)
}

func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%q is unknown; use %s", value, strings.Join(allowed, " or "))
}

// mistakes collects what is wrong, by flag.
type mistakes struct{ lines []string }

func (m *mistakes) add(flag string, err error) {
	if err != nil {
		variable := "VIDI_" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
		m.lines = append(m.lines, fmt.Sprintf("%s (or %s): %v", flag, variable, err))
	}
}

func (m *mistakes) err() error {
	switch len(m.lines) {
	case 0:
		return nil
	case 1:
		return errors.New(m.lines[0])
	}
	return fmt.Errorf("%d settings are wrong:\n  %s", len(m.lines), strings.Join(m.lines, "\n  "))
}

func tooFar(value, least, most string) error {
	return fmt.Errorf("is %s; it must be %s to %s", value, least, most)
}

const maxExact = 1 << 53 // the largest integer up to which float64 has every one

func wholeNumber(f float64) bool { return f == math.Trunc(f) && math.Abs(f) <= maxExact }
