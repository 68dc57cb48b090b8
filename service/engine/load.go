package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
)

// Load reads the model file at path and makes it ready, on workers of its own: when Load returns,
// the first image is as fast as any that comes together with others. An error says what is wrong with
// the file in words for its owner.
func Load(ctx context.Context, path string, cfg Config) (*Engine, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, err
	}
	return LoadFile(ctx, file, cfg)
}

// LoadFile is [Load] for a file that was looked at: no other one is loaded.
func LoadFile(ctx context.Context, file *model.File, cfg Config) (*Engine, error) {
	return onOwnPool(cfg, func(p *Pool) (*Engine, error) {
		return p.Load(ctx, file, cfg.Precision, cfg.Prepared, Memory{})
	})
}

// Load is the function LoadFile for a model that shares the pool's workers with others. It disturbs them
// little: the file is read and compiled on a thread of its own, which then ends. wanted is the engine to
// run it with; "" is the one in the card, or else the fused one. Where that one fails, a simpler one is
// taken ([Engine.Failures]). What it may take is what it took in its trial, where that is known. Close the engine before the pool.
func (p *Pool) Load(ctx context.Context, file *model.File, precision Precision, wanted model.Engine, trial Memory) (*Engine, error) {
	if err := file.Permit(p.trust); err != nil { // once more in open, but that would try each engine
		return nil, err
	}
	if wanted == "" && file.Card != nil && file.Card.Trial != nil {
		wanted = file.Card.Trial.Engine
	}
	library, err := backend.Pick(p.backends, file)
	if err != nil {
		return nil, err
	}
	e := &Engine{pool: p, backend: library, unlisted: file.UnlistedNames()}
	err = e.start(ctx, p.loadTime(file.Bytes), func(w backend.Worker) error { return e.load(w, file, precision, wanted, trial) })
	var late *LoadTimeError
	if errors.As(err, &late) {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// choices are the variants to try, in that order: the wanted one first, then simpler ones.
func choices(wanted model.Engine, variants []model.Engine) []model.Engine {
	return variants[max(0, slices.Index(variants, wanted)):]
}

// load runs inside the worker's Do.
func (e *Engine) load(w backend.Worker, file *model.File, precision Precision, wanted model.Engine, trial Memory) error {
	variants, err := e.backend.Variants()
	if err != nil {
		return err
	}
	e.card = file.CardOrBare(1) // how many outputs there are is known once it has run
	if err := precision.check(e.card); err != nil {
		return err
	}
	if e.precision, err = precision.Resolve(e.backend, e.card); err != nil {
		return err
	}
	for _, choice := range choices(wanted, variants) {
		e.prepared = choice
		err = e.loadWith(w, file, trial)
		var count *labelCountError
		if err == nil || errors.Is(err, backend.NotFound) || errors.As(err, &count) {
			return err // no other engine would mend it
		}
		e.failures = append(e.failures, model.EngineTime{Engine: choice, Failure: firstLine(err)})
		e.closeNetwork()
		e.network = nil
	}
	return err // of the plain engine, whose words are those of Python
}

// loadWith loads the file with the engine e.prepared, warms it, and holds what comes out against the
// card.
func (e *Engine) loadWith(w backend.Worker, file *model.File, trial Memory) (err error) {
	path := file.Path
	if e.network, err = open(e.backend, w, file, e.pool.trust, e.prepared, e.precision, trial); err != nil {
		return err
	}
	begun := time.Now()
	output, err := warm(w, e.network, e.card.Input)
	if err != nil {
		return fmt.Errorf("%s cannot classify an image of %v pixels: %w", path, e.card.Input.Crop, err)
	}
	_, peak := e.network.Peaks()
	e.network.SetLimits(runLimits(peak, time.Since(begun)))
	card := e.card
	if card.Assumed {
		card = model.BareCard(e.card.Name, len(output))
	} else if len(output) != len(card.Labels) {
		return &labelCountError{path: path, outputs: len(output), labels: len(card.Labels)}
	}
	if _, err := model.Probabilities(card.Activation, card.Temperature, output); err != nil {
		return fmt.Errorf("%s: %w, even for a plain grey picture", path, err)
	}
	e.card = card
	return nil
}

// labelCountError tells that a card does not fit its network.
type labelCountError struct {
	path            string
	outputs, labels int
}

// Error says both numbers.
func (e *labelCountError) Error() string {
	return fmt.Sprintf("%s: the network has %d outputs, but the card names %d labels", e.path, e.outputs, e.labels)
}

// open loads the network in the file, to be run in that way. It is the only way to a library: no file
// passes whose operators are neither listed nor trusted.
func open(b backend.Backend, w backend.Worker, file *model.File, trust model.Trust, prepared model.Engine,
	precision backend.Precision, trial Memory,
) (backend.Network, error) {
	if err := file.Permit(trust); err != nil {
		return nil, err
	}
	network, err := b.Load(w, file, backend.Options{Variant: prepared, Precision: precision,
		MaxBytes: trial.load(file.Bytes).Bytes})
	if err != nil {
		return nil, err
	}
	network.SetLimits(trial.warm(file.Bytes))
	return network, nil
}

// firstLine is an error without what the library says after its first line.
func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
