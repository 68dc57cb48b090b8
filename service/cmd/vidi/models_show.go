package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/trial"
	"github.com/vidi-vision/vidi/service/userfile"
)

type modelsShowCmd struct {
	Model  string `arg:"" help:"NAME, NAME@VERSION, or a file."`
	Format string `help:"${enum}." short:"f" enum:"text,json" default:"text"`
}

// modelFacts is the JSON form of `vidi models show`.
type modelFacts struct {
	File     string      `json:"file"`
	Bytes    int64       `json:"bytes"`
	SHA256   string      `json:"sha256"`
	Recorded string      `json:"sha256_when_added,omitempty"` // absent for a file that was copied into the folder
	Writer   string      `json:"written_by"`
	Unlisted []string    `json:"operators_not_on_the_list,omitempty"`
	Trusted  bool        `json:"trusted,omitempty"` // for these operators
	Card     *model.Card `json:"card"`              // null for a bare file
}

// Run reads the file; no model runs.
func (c *modelsShowCmd) Run(m *modelsCmd, a *app) error {
	path, err := m.folder().Find(c.Model)
	if err != nil {
		return err
	}
	file, err := model.Inspect(path)
	if err != nil {
		return err
	}
	facts := modelFacts{File: path, Bytes: file.Bytes, Writer: file.Origin.String(), Card: file.Card}
	if facts.SHA256, err = model.SHA256(path); err != nil {
		return err
	}
	manifest, err := model.Folder(filepath.Dir(path)).Manifest()
	if err != nil {
		return err
	}
	facts.Recorded = manifest.SHA256[filepath.Base(path)]
	facts.Unlisted = file.UnlistedNames()
	refusal := file.Permit(m.Trusted())
	facts.Trusted = facts.Unlisted != nil && refusal == nil
	if c.Format == "json" {
		return printJSON(a, facts)
	}
	if file.Card != nil {
		printCard(a.stdout, *file.Card)
	} else {
		fmt.Fprintf(a.stdout, "model        %s, without a card: ImageNet preprocessing is assumed. `vidi models add %s` gives it one\n", model.NameOfFile(path), printable(path))
	}
	sum := "not recorded: the file was not put here by `vidi models add`"
	switch facts.Recorded {
	case "":
	case facts.SHA256:
		sum = "as when it was added"
	default:
		sum = "NOT as when it was added; run `vidi models verify`"
	}
	fmt.Fprintf(a.stdout, "file         %s, %.1f MB\nsha256       %s, %s\nwritten by   %s\n", printable(path), float64(file.Bytes)/1e6, facts.SHA256, sum, facts.Writer)
	switch {
	case facts.Trusted:
		fmt.Fprintf(a.stdout, "operators    not on the list, and trusted: %s\n", strings.Join(facts.Unlisted, ", "))
	case refusal != nil:
		fmt.Fprintf(a.stdout, "operators    NOT on the list, and not trusted: %s. It will not be loaded\n", strings.Join(facts.Unlisted, ", "))
	}
	return nil
}

type modelsVerifyCmd struct {
	Model      []string `arg:"" optional:"" help:"NAME, NAME@VERSION, or files; default: all of the folder."`
	trialFlags `embed:""`
}

// Run tries each model and prints a line for it as soon as it is done.
func (c *modelsVerifyCmd) Run(m *modelsCmd, a *app) error {
	if err := c.check(); err != nil {
		return usageError(err)
	}
	ctx, stop := a.interruptible()
	defer stop()
	var paths []string
	for _, ref := range c.Model {
		path, err := m.folder().Find(ref)
		if err != nil {
			return err
		}
		paths = append(paths, path)
	}
	if len(c.Model) == 0 {
		entries, err := m.folder().List()
		if err != nil {
			return err
		}
		for _, e := range entries {
			paths = append(paths, e.Path)
		}
	}
	failed := 0
	for i, path := range paths {
		if isTerminal(a.stderr) {
			fmt.Fprintf(a.stderr, "vidi: %d of %d: trying %s\n", i+1, len(paths), path)
		}
		says, err := c.verify(ctx, m.Trusted(), path)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			failed++
			says = strings.ReplaceAll(userfile.Explain(err), "\n", "\n      ")
			fmt.Fprintf(a.stdout, "fail  %s\n", says)
			continue
		}
		fmt.Fprintf(a.stdout, "ok    %s: %s\n", printable(path), says)
	}
	if failed > 0 {
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("of %s, %d cannot be relied on", english.Plural(len(paths), "model", ""), failed)}
	}
	return nil
}

// How far the answer to the golden picture may be from the one in the card: the project's bounds for another CPU's rounding.
const (
	goldenBound     = 0.005
	goldenBoundInt8 = 0.05
)

func goldenBoundOf(card model.Card) float64 {
	if card.Precision == "int8" {
		return goldenBoundInt8
	}
	return goldenBound
}

func (c *modelsVerifyCmd) verify(ctx context.Context, trust model.Trust, path string) (string, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return "", err
	}
	if err := file.Permit(trust); err != nil {
		return "", err
	}
	sum, err := file.SHA256()
	if err != nil {
		return "", err
	}
	if err := model.CheckSum(path, sum); err != nil {
		return "", err
	}
	if err := model.CheckRecords(path); err != nil {
		return "", err
	}
	report, err := trial.Run(ctx, trial.Request{Path: path, Identity: file.Identity, Limits: c.limits(file.Bytes), Trust: file.Trusted(sum)}, nil)
	if err != nil {
		return "", err
	}
	fastest := report.Trial.Engine
	card := file.Card
	if card == nil || card.Trial == nil {
		tried().Remember(sum, engine.FP32, report.Verdict())
		return fmt.Sprintf("it loads, gives %d outputs, and runs with the %s engine; its card holds no answer to compare with", report.Outputs, fastest), nil
	}
	bound := goldenBoundOf(*card)
	off := furthest(card.Trial.Golden, report.Trial.Golden)
	if off > bound {
		return "", fmt.Errorf("%s answers differently from when it was added: probabilities are off by up to %.4f (%.3f is allowed), then by libtorch %s, now by %s",
			path, off, bound, card.Trial.Torch, report.Trial.Torch)
	}
	tried().Remember(sum, engine.FP32, report.Verdict())
	return fmt.Sprintf("the same file, and the same answer (within %.4f); %.1f ms an image with the %s engine, %.1f when it was added",
		off, report.Trial.Milliseconds, fastest, card.Trial.Milliseconds), nil
}
