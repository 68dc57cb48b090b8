package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/httpapi"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/rules"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/torchbind"
)

type serveCmd struct{ config.Serve }

// boundHeap makes Go collect garbage before the heap passes what decoding may use: pictures of 200 MB come and go, and the
// collector alone would let twice that pile up. GOMEMLIMIT, if it is set, is the operator's own choice.
func (c *serveCmd) boundHeap() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.DecodeMemory.N)
	}
}

// Run serves until a signal. Signals are caught before anything else: one that comes while the model loads would kill.
func (c *serveCmd) Run(a *app) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	c.boundHeap()
	return c.serve(a, signals, c.load)
}

// loaded is a model that is ready, and what the log says about it.
type loaded struct {
	httpapi.Model
	plan       engine.Plan
	engine     func() telemetry.Engine
	bf16IsSlow bool        // it was chosen, and this CPU does not have it
	rules      *rules.Book // nil without --rules
	// complete does what need not be waited for, and logs it: the second module, what bf16 would gain here.
	complete func(ctx context.Context, log *slog.Logger)
	close    func() error
}

// load finds, loads and warms the model. The rules are read first: mistakes in them are found at once.
func (c *serveCmd) load(ctx context.Context, log *slog.Logger) (*loaded, error) {
	book, err := openRules(c.Rules)
	if err != nil {
		return nil, err
	}
	path, err := findModel(ctx, c.Models, c.ModelName(), c.Engine().Precision, func(path string) {
		log.Info("this model is new here: trying it in a process of its own first", "file", path)
	})
	if err != nil {
		return nil, err
	}
	classifier, err := classify.Open(ctx, path, classify.Config{Engine: c.Engine(), Limits: c.Limits(), Rules: book})
	if err != nil {
		return nil, err
	}
	if err := book.Check(classifier.Card()); err != nil {
		classifier.Close()
		return nil, err
	}
	e := classifier.Engine()
	precision := string(e.Precision())
	quantised := classifier.Card().Precision == "int8"
	if quantised {
		precision = "int8"
	}
	cpu, _ := torchbind.Runtime() // it was opened by now
	return &loaded{
		Model:      httpapi.Model{Classifier: classifier, Precision: precision, Workers: e.Plan().Workers},
		plan:       e.Plan(),
		engine:     engineSnapshot(classifier, precision),
		bf16IsSlow: !cpu.HasNativeBF16 && e.Precision() == torchbind.BF16,
		rules:      book,
		complete: func(ctx context.Context, log *slog.Logger) {
			logAlone(log, e)
			if cpu.HasNativeBF16 && !quantised && e.Precision() == torchbind.FP32 {
				logBF16Gain(ctx, log, e)
			}
		},
		close: classifier.Close,
	}, nil
}

// engineSnapshot tells how busy the engine is whenever it is asked.
func engineSnapshot(c *classify.Classifier, precision string) func() telemetry.Engine {
	e := c.Engine()
	card, plan := c.Card(), e.Plan()
	return func() telemetry.Engine {
		use := e.Pool().Use()
		return telemetry.Engine{Model: card.Name, Version: card.Version, Precision: precision,
			Workers: plan.Workers, Threads: plan.Threads, Alone: plan.Alone, Busy: use.Busy, Waiting: use.Waiting}
	}
}

func logAlone(log *slog.Logger, e *engine.Engine) {
	if err := e.WaitAlone(); err != nil {
		log.Warn("a picture that comes alone gets no more threads than others", "error", err)
	} else if plan := e.Plan(); plan.TwoModules() {
		log.Info("a picture that comes alone now gets all its threads", "threads", plan.Alone)
	}
}

// logBF16Gain tells, on a CPU that computes bf16 natively, what choosing it would bring.
func logBF16Gain(ctx context.Context, log *slog.Logger, e *engine.Engine) {
	gain, err := e.BF16Gain(ctx)
	switch {
	case err != nil:
		log.Debug("bf16 was not measured", "error", err)
	case gain > 1.2:
		log.Info(fmt.Sprintf("--precision bf16 would be faster on this CPU: its convolutions take 1/%.1f of the time of fp32, and "+
			"probabilities differ slightly", gain))
	default:
		log.Info(fmt.Sprintf("--precision bf16 would gain little on this CPU, although it has bf16 instructions: convolutions are %.1f × as fast", gain))
	}
}

// serve listens first, so that a taken port is found out at once and probes are answered while load works.
func (c *serveCmd) serve(a *app, signals <-chan os.Signal, load func(context.Context, *slog.Logger) (*loaded, error)) error {
	begun := time.Now()
	log := c.logger(a)
	beside, err := c.newOperators(log)
	if err != nil {
		return startFailure(err)
	}
	ports, err := c.listen()
	if err != nil {
		return startFailure(err)
	}
	url := "http://" + ports.public.Addr().String()
	server := httpapi.New(c.api(beside), log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ports.public) }()
	log.Info("listening; the model is loading", "url", url)
	beside.start(ports)
	defer beside.close()
	now, cancelled := context.WithCancel(a.ctx)
	cancelled() // to shut down without waiting

	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	type outcome struct {
		model *loaded
		err   error
	}
	loading := make(chan outcome, 1)
	go func() {
		m, err := load(ctx, log)
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

	beside.serving(m)
	server.Ready(m.Model)
	logReady(log, url, m, time.Since(begun))
	var completing sync.WaitGroup
	completing.Go(func() { m.complete(ctx, log) })
	if m.rules != nil {
		log.Info("pictures are tagged by rules", "file", c.Rules, "rules", m.rules.Rules().Count())
		cards := func() []model.Card { return []model.Card{m.Classifier.Card()} }
		completing.Go(func() {
			m.rules.Watch(ctx, log, cards, func() { beside.telemetry.RulesReloaded(true) }, func() { beside.telemetry.RulesReloaded(false) })
		})
	}
	defer completing.Wait()
	defer cancel()
	select {
	case sig := <-signals:
		if sig == syscall.SIGTERM && c.DrainDelay.D > 0 { // a Ctrl-C comes from a person, not from something that balances loads
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
	if err := c.stop(a, server, signals); err != nil {
		return err
	}
	cancel()
	completing.Wait()
	if err := m.close(); err != nil {
		log.Warn("the model was not freed", "error", err)
	}
	log.Info("stopped")
	return nil
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
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("stopped by a second signal; %d requests were cut off", server.Unfinished())}
	}
}

func logReady(log *slog.Logger, url string, m *loaded, took time.Duration) {
	card := m.Classifier.Card()
	log.Info("ready", "url", url, "model", card.Name, "version", card.Version, "precision", m.Precision,
		"plan", m.plan.String(), "seconds", took.Round(10*time.Millisecond).Seconds())
	if card.Assumed {
		log.Warn("the model has no card: assuming ImageNet preprocessing and " + assumedLabels(card))
	}
	if m.bf16IsSlow {
		log.Warn("this CPU does not compute bf16 natively: it is emulated, several times slower than --precision fp32")
	}
}

func (c *serveCmd) api(beside *operators) httpapi.Config {
	cfg := httpapi.Default()
	cfg.MaxBody, cfg.MaxImages, cfg.Image = c.MaxBody.N, int(c.MaxImages.N), c.Image()
	cfg.MaxQueue, cfg.MaxQueueBytes, cfg.Deadline = int(c.Queue.N), c.QueueMemory.N, c.Deadline.D
	cfg.MaxConnections = c.Connections()
	cfg.Keys, cfg.CORSOrigins, cfg.Telemetry, cfg.Tracing = beside.ring, c.CORSOrigin, beside.telemetry, beside.tracer
	return cfg
}

func (c *serveCmd) logger(a *app) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level()}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}
