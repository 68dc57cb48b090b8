package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/httpapi"
	"github.com/vidi-vision/vidi/service/logs"
	"github.com/vidi-vision/vidi/service/machine"
	"github.com/vidi-vision/vidi/service/rules"
	"github.com/vidi-vision/vidi/service/telemetry"
)

type serveCmd struct {
	config.Serve
	held int        // the ABI of Landlock that holds this process, 0 for none
	kept []*os.File // the ports, where they were opened before it was held
}

// boundHeap makes Go collect garbage long before the heap has what decoding may use: pictures of 200 MB come and go, and the
// collector alone would let twice that pile up. Half is left for what Go does not see, the memory of libjpeg and libtorch; to collect
// more often costs little, for pixels have no pointers to follow. Uploads must fit in, and the connections that are open, and what the program itself
// needs: below what is in use, the collector would never rest.
// GOMEMLIMIT, if it is set, is the operator's own choice.
func (c *serveCmd) boundHeap(connected int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		const own = 64 << 20
		debug.SetMemoryLimit(max(c.DecodeMemory.N/2, c.QueueMemory.N) + connections.Memory(connected) + own)
	}
}

// stopSignals are those that end a server. SIGHUP is what a terminal sends that is closed; nohup has it ignored.
func stopSignals() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}

// stops are the signals that count. A SIGHUP after another signal does not: a closed terminal and its shell send one each, systemd one
// after its SIGTERM, and none of them means that requests should be cut off.
func stops(came <-chan os.Signal) <-chan os.Signal {
	counted := make(chan os.Signal, 2)
	go func() {
		first := true
		for sig := range came {
			if sig == syscall.SIGHUP && !first {
				continue
			}
			first = false
			select {
			case counted <- sig:
			default: // two are enough
			}
		}
	}()
	return counted
}

// flushTime is how long the end waits for whoever reads the log.
const flushTime = time.Second

// openConnections is how many connections a server with these settings keeps open on this machine.
func openConnections(s config.Serve) int { return s.Connections(machine.MemoryLimit().Bytes) }

// Run serves until a signal. Signals are caught before anything that takes time: one that comes while
// the model loads would kill.
func (c *serveCmd) Run(program *kong.Kong, a *app) error {
	if raw(a.stderr) == os.Stderr {
		if stderr := logs.UnblockStderr(); stderr != nil {
			os.Stderr, a.stderr = stderr, forPeople(stderr)
		}
	}
	if c.held, c.kept = a.held, a.kept; c.held == 0 {
		if err := c.confine(); err != nil {
			return startFailure(err)
		}
	}
	came := make(chan os.Signal, 4)
	signal.Notify(came, stopSignals()...)
	defer func() {
		signal.Stop(came)
		close(came)
	}()
	signals := stops(came)
	signal.Ignore(syscall.SIGPIPE) // else the server would end with the reader of its log
	c.boundHeap(0)
	a.lines = logs.NewWriter(raw(a.stderr))
	a.stderr = forPeople(a.lines) // run closes it, once it has said why the server ended
	log := c.logger(a)
	a.lines.Tell(func(lines int64) {
		log.Warn("lines of the log were dropped: they could not be written as fast as they came", "lines", lines)
	})
	slog.SetDefault(log) // for what libraries write with package log
	warnOfVariables(log, a.environment, knownVariables(program.Model))
	return c.serve(a, signals, loadModels)
}

// loaded is what is ready to answer, and what the log says about it.
type loaded struct {
	models  httpapi.Models
	workers int
	plan    engine.Plan
	engine  func() telemetry.Engine
	rules   *rules.Book // nil without --rules
	// complete does what need not be waited for, and logs it: what bf16 would gain here.
	complete func(ctx context.Context, log *slog.Logger)
}

// logBF16Gain tells, on a CPU that has instructions for bf16, what choosing it would bring.
func logBF16Gain(ctx context.Context, log *slog.Logger, e *engine.Engine) {
	gain, err := e.BF16Gain(ctx)
	switch {
	case err != nil:
		log.Debug("bf16 was not measured", "error", err)
	case gain > 1.2:
		log.Info(fmt.Sprintf("--precision bf16 would be faster on this CPU: 3 × 3 convolutions take 1/%.1f of the time of fp32, and "+
			"probabilities differ slightly; `vidi bench` measures a model", gain))
	default:
		log.Info(fmt.Sprintf("--precision bf16 would not be worth it on this CPU, although it has bf16 instructions: 3 × 3 convolutions are %.1f × as fast; "+
			"`vidi bench` measures a model", gain))
	}
}

// serve listens first, so that a taken port is found out at once and probes are answered while load works.
func (c *serveCmd) serve(a *app, signals <-chan os.Signal, load func(context.Context, *hosted) (*loaded, error)) error {
	begun := time.Now()
	log := c.logger(a)
	beside, err := c.newOperators(log, a.lines)
	if err != nil {
		return startFailure(err)
	}
	held := walls(c.held)
	beside.telemetry.SetSandbox(held)
	ports, err := c.listen()
	if err != nil {
		return startFailure(err)
	}
	url := "http://" + ports.public.Addr().String()
	server := httpapi.New(c.api(beside), log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ports.public) }()
	log.Info("listening; the model is loading", "url", url)
	logWalls(log, held)
	if addresses := machine.Addresses(ports.public.Addr()); len(addresses) > 0 {
		// 0.0.0.0 is no address to go to.
		log.Info("other machines reach it at", "urls", strings.Join(addresses, " "))
	}
	models := c.host(log, beside.telemetry)
	beside.start(ports, models.registry)
	defer beside.close()
	now, cancelled := context.WithCancel(a.ctx)
	cancelled()                                       // to shut down without waiting
	defer func() { _ = models.registry.Close(now) }() // where the way out is a short one

	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	type outcome struct {
		model *loaded
		err   error
	}
	loading := make(chan outcome, 1)
	go func() {
		m, err := load(ctx, models)
		loading <- outcome{m, err}
	}()
	var m *loaded
	select {
	case o := <-loading:
		if o.err != nil {
			_ = server.Shutdown(now)
			return startFailure(o.err)
		}
		m = o.model
	case sig := <-signals:
		// libtorch cannot be interrupted while it reads a file. It need not be: the process ends.
		log.Info("stopped while the model was loading", "signal", sig.String())
		_ = server.Shutdown(now)
		return nil
	case err := <-served:
		return startFailure(fmt.Errorf("cannot accept connections on %s: %w", c.Addr, err))
	}

	beside.serving(m, models.registry)
	server.Ready(m.models, m.workers)
	logReady(log, url, m, time.Since(begun))
	var completing sync.WaitGroup
	completing.Go(func() { m.complete(ctx, log) })
	if c.Watch {
		completing.Go(func() { models.registry.Watch(ctx) })
	}
	if m.rules != nil {
		log.Info("pictures are tagged by rules", "file", c.Rules, "rules", m.rules.Rules().Count())
		completing.Go(func() {
			m.rules.Watch(ctx, log, models.registry.Cards, func() { beside.telemetry.RulesReloaded(true) }, func() { beside.telemetry.RulesReloaded(false) })
		})
	}
	select {
	case sig := <-signals:
		if sig != os.Interrupt && c.DrainDelay.D > 0 { // a Ctrl-C comes from a person, not from something that balances loads
			server.Leave()
			log.Info("leaving: /readyz says no, requests are still answered", "for", c.DrainDelay.D.String())
			select {
			case <-time.After(c.DrainDelay.D):
			case <-signals:
			}
		}
		log.Info("stopping: finishing the requests under way; a second signal cuts them off", "signal", sig.String(),
			"requests", server.Unfinished(), "grace", c.Grace.D.String())
	case err := <-served:
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("cannot accept connections on %s any more: %w", c.Addr, err)}
	}
	err = c.stop(a, server, signals)
	signal.Reset(os.Interrupt, syscall.SIGTERM) // everything is answered: from now on a signal ends the process at once
	cancel()
	if err != nil {
		return err
	}
	closing, end := context.WithTimeout(a.ctx, closeTime)
	defer end()
	if err := errors.Join(waitFor(closing, &completing), models.close(closing)); err != nil {
		log.Warn("models were not freed; the process ends all the same", "error", err)
	}
	log.Info("stopped")
	return nil
}

// closeTime is how long is waited, once everything is answered, for models that are being loaded, compiled or used: libtorch cannot be
// interrupted.
const closeTime = 10 * time.Second

// waitFor waits until ctx ends at most; the error is ctx's.
func waitFor(ctx context.Context, running *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop finishes the requests under way, within the grace and until a second signal.
func (c *serveCmd) stop(a *app, server *httpapi.Server, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(a.ctx, c.Grace.D)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(ctx) }()
	select {
	case err := <-done:
		if err == nil {
			return nil
		}
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("stopped after --grace %v: %w", c.Grace.D, err)}
	case <-signals:
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("stopped by a second signal; requests that were cut off: %d", server.Unfinished())}
	}
}

func logReady(log *slog.Logger, url string, m *loaded, took time.Duration) {
	list := m.models.List()
	first := list[0]
	log.Info("ready", "url", url, "model", first.Name, "version", first.Version, "precision", first.Precision, "models", len(list),
		"plan", m.plan.String(), "seconds", math.Round(took.Seconds()*100)/100)
}

func (c *serveCmd) api(beside *operators) httpapi.Config {
	cfg := httpapi.Default()
	cfg.MaxBody, cfg.MaxImages, cfg.Image = c.MaxBody.N, int(c.MaxImages.N), c.Image()
	cfg.MaxQueue, cfg.MaxQueueBytes, cfg.Deadline, cfg.MaxDeadline = int(c.Queue.N), c.QueueMemory.N, c.Deadline.D, c.MaxDeadline.D
	cfg.MaxConnections, cfg.Connections, cfg.ReadTimeout = openConnections(c.Serve), c.boundHeap, c.UploadTimeout.D
	cfg.Keys, cfg.CORSOrigins, cfg.Telemetry, cfg.Tracing = beside.ring, c.CORSOrigin, beside.telemetry, beside.tracer
	return cfg
}

func (c *serveCmd) logger(a *app) *slog.Logger {
	return logs.New(raw(a.stderr), c.LogFormat, c.Level())
}
