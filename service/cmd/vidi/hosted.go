package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/httpapi"
	"github.com/vidi-vision/vidi/service/logs"
	"github.com/vidi-vision/vidi/service/machine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/registry"
	"github.com/vidi-vision/vidi/service/rules"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/service/trial"
	"github.com/vidi-vision/vidi/torchbind"
)

// hosted is the models of a server, and the workers that they share.
type hosted struct {
	registry *registry.Registry
	command  *serveCmd
	log      *slog.Logger

	book    *rules.Book // nil without --rules
	once    sync.Once   // starts the workers, with the first model: the server listens before
	workers *classify.Host
	err     error
	second  sync.WaitGroup // waits for second modules, to log
	first   *classify.Classifier
}

// host makes a registry that loads models as this command says. It must be closed.
func (c *serveCmd) host(log *slog.Logger, t *telemetry.Telemetry) *hosted {
	h := &hosted{command: c, log: log}
	h.registry = registry.New(registry.Config{Folder: model.Folder(c.Models), Try: h.try, Memory: c.modelMemory(machine.MemoryLimit()), Log: log,
		Changed: t.ModelsChanged, Seen: t.ModelsSeen})
	return h
}

// libraryMemory is what libtorch takes before there is a model.
const libraryMemory = 160 << 20

// modelMemory is what all models together may take: what the operator says, or what is left by everything else, at least half.
func (c *serveCmd) modelMemory(limit machine.Memory) int64 {
	if c.ModelMemory.Given || limit.Bytes == 0 {
		return c.ModelMemory.N
	}
	others := c.DecodeMemory.N + c.QueueMemory.N + connections.Memory(c.Connections(limit.Bytes)) + config.Reserve + libraryMemory
	return max(limit.Bytes-others, limit.Bytes/2)
}

// logNative has what libtorch and models print become lines of the log: written as it is, it could block the server, and look like
// lines of the log's own.
func logNative(log *slog.Logger) error {
	fd, err := logs.Native(logs.LogNative(log))
	if err != nil {
		return err
	}
	return torchbind.SendOutputTo(fd)
}

// loadModels finds, loads and warms the models that the command names. The rules are read first: mistakes in them are found at
// once.
func loadModels(ctx context.Context, h *hosted) (_ *loaded, err error) {
	c := h.command
	if h.book, err = openRules(c.Rules); err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range c.ModelNames() {
		path, err := locateModel(c.Models, name, c.Engine().Precision)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	if err := logNative(h.log); err != nil {
		return nil, err
	}
	if err := h.registry.Start(ctx, paths); err != nil {
		return nil, err
	}
	if err := h.book.Check(h.registry.Cards()...); err != nil {
		return nil, err
	}
	pool := h.workers.Pool()
	plan := pool.Plan()
	return &loaded{
		models: served{h.registry, pool}, workers: plan.Workers, plan: plan, rules: h.book,
		engine: func() telemetry.Engine {
			use := pool.Use()
			return telemetry.Engine{Workers: plan.Workers, Threads: plan.Threads, Alone: plan.Alone, Busy: use.Busy, Waiting: use.Waiting,
				Stuck: use.Stuck, AllStuck: pool.Stuck()}
		},
		complete: h.complete,
	}, nil
}

// try tries the file in a process of its own, if it is new here. The registry calls it for one file at a time.
func (h *hosted) try(ctx context.Context, path string) (registry.Candidate, error) {
	settings := h.command.Engine()
	file, verdict, err := ensureTried(ctx, path, settings.Trust, settings.Precision, func(path string) {
		h.log.Info("this model is new here: trying it in a process of its own first", "file", path)
	})
	if err != nil {
		return registry.Candidate{}, err
	}
	candidate := registry.Candidate{Open: func(ctx context.Context) (registry.Opened, error) { return h.open(ctx, file, verdict) }}
	if m := verdict.Memory; m.Known() {
		candidate.Need = registry.Measured(m.Loaded, m.Most, file.Bytes, file.Origin.Quantised)
	}
	return candidate, nil
}

// open loads the file and warms it.
func (h *hosted) open(ctx context.Context, file *model.File, verdict trial.Verdict) (registry.Opened, error) {
	h.once.Do(func() {
		h.workers, h.err = classify.NewHost(classify.Config{Engine: h.command.Engine(), Limits: h.command.Limits(), Rules: h.book})
	})
	if h.err != nil {
		return registry.Opened{}, h.err
	}
	c, err := h.workers.Open(ctx, file, verdict.Engine, verdict.Memory)
	if err != nil {
		return registry.Opened{}, err
	}
	if h.first == nil {
		h.first = c
	}
	card, e := c.Card(), c.Engine()
	logEngine(h.log, e, card)
	if card.Assumed {
		h.log.Warn("the model has no card: assuming ImageNet preprocessing and "+assumedLabels(card), "model", card.Name)
	}
	// The start checks the names against all of its models together. Of one that comes later, or stands beside others, only a person
	// can tell whether it should know them.
	if len(h.registry.Cards()) > 0 {
		if err := h.book.Check(card); err != nil {
			h.log.Warn("some rules never hold for this model, which does not know what they name", "model", card.Name, "version", card.Version, "error", err.Error())
		}
	}
	h.second.Go(func() { logAlone(h.log, e, card) })
	return registry.Opened{Model: c, Precision: computesIn(c), Engine: c.Engine().Prepared()}, nil
}

// logEngine says which engine runs the model, and which ones were to and cannot.
func logEngine(log *slog.Logger, e *engine.Engine, card model.Card) {
	log = log.With("model", card.Name, "version", card.Version)
	for _, f := range e.Failures() {
		log.Warn("an engine cannot run this model; a simpler one does", "engine", string(f.Engine), "error", f.Failure)
	}
	if unlisted := e.Unlisted(); unlisted != nil {
		log.Warn("this model uses operators that are not on the list: somebody has trusted it", "operators", strings.Join(unlisted, ", "))
	}
	log.Info("the model is loaded", "engine", string(e.Prepared()), "precision", string(e.Precision()))
}

// computesIn is the precision as people call it.
func computesIn(c *classify.Classifier) string {
	if c.Card().Precision == "int8" {
		return "int8"
	}
	return string(c.Engine().Precision())
}

func logAlone(log *slog.Logger, e *engine.Engine, card model.Card) {
	plan := e.Plan()
	if !plan.TwoModules() {
		return
	}
	outcome, err := e.WaitAlone(context.Background()) // closing the engine ends it
	log = log.With("model", card.Name, "version", card.Version, "threads", plan.Alone)
	if outcome.Among > 0 {
		log = log.With("ms", rounded(outcome.Alone), "ms_on_a_worker", rounded(outcome.Among))
	}
	switch {
	case err != nil:
		log.Warn("a picture that comes alone gets no more threads than others", "error", err)
	case outcome.Used:
		log.Info("a picture that comes alone now gets all its threads")
	case outcome.Among > 0: // otherwise the model was unloaded first
		log.Info("a picture that comes alone gets no more threads than others: this model is not faster with them here")
	}
}

func rounded(d time.Duration) float64 { return math.Round(classify.Milliseconds(d)*100) / 100 }

// complete tells what the first model's precision means on this CPU.
func (h *hosted) complete(ctx context.Context, log *slog.Logger) {
	cpu, _ := torchbind.Runtime() // it was opened by now
	switch precision := computesIn(h.first); {
	case precision == string(engine.BF16) && !cpu.HasNativeBF16:
		log.Warn("this CPU does not compute bf16 natively: it is emulated, several times slower than --precision fp32")
	case precision == string(engine.BF16) && !cpu.HasFastBF16:
		log.Warn("--precision fp32 would be faster on this CPU, although it has bf16 instructions; `vidi bench` measures a model")
	case precision == string(engine.FP32) && cpu.HasNativeBF16:
		h.first.Engine().WaitCompiled(ctx) // its compiling would disturb the measurement
		logBF16Gain(ctx, log, h.first.Engine())
	}
}

// close frees the models, then the workers; the error is ctx's, if that ends before.
func (h *hosted) close(ctx context.Context) error {
	if h.workers != nil && h.workers.Pool().Use().Stuck > 0 {
		return errors.New("an inference is stuck, and would be waited for in vain")
	}
	if err := h.registry.Close(ctx); err != nil {
		return err
	}
	if err := waitFor(ctx, &h.second); err != nil {
		return err
	}
	if h.workers != nil {
		h.workers.Close()
	}
	return nil
}

// served is the registry as the API sees it.
type served struct {
	registry *registry.Registry
	pool     *engine.Pool
}

func (s served) Pick(ref, requestID string) (httpapi.Lease, error) {
	lease, err := s.registry.Pick(ref, requestID)
	if err != nil {
		return nil, err
	}
	return lease, nil
}

func (s served) List() []api.ModelInfo { return s.registry.List() }

func (s served) Stuck() bool { return s.pool.Stuck() }
