package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize/english"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/eval"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/service/trial"
)

// calibrationPictures bounds the pictures that a temperature is fitted to, whose outputs are all held in memory: 4 MB for every
// thousand with a thousand classes. One number needs no more.
const calibrationPictures = 5000

// fewPictures is how many leave the temperature uncertain by some ten percent.
const fewPictures = 100

type modelsCalibrateCmd struct {
	Name        string  `arg:"" help:"NAME or NAME@VERSION."`
	Dataset     string  `arg:"" help:"Folder with a sub-folder of pictures for each class, or a CSV file, as for vidi eval. Pictures that the model was not trained on."`
	Sure        float64 `help:"Also set from which percentage on an answer counts as sure: there, this share of the first answers was right; 0: leave it as it is." default:"0" placeholder:"90"`
	Version     string  `help:"Write a model of this version, and leave the old one; default: the card is changed in its place." placeholder:"VERSION"`
	SkipUnknown bool    `help:"Leave out pictures of classes that the model does not have."`
	DryRun      bool    `help:"Say what would be written, and write nothing."`
}

// Run finds the model's temperature, and writes it into its card.
func (c *modelsCalibrateCmd) Run(m *modelsCmd, a *app) error {
	if c.Version != "" && !model.ValidVersion(c.Version) {
		return usageError(fmt.Errorf("--version is %q; use letters, digits, dots, dashes and underscores, but not stable or canary", c.Version))
	}
	if c.Sure < 0 || c.Sure >= 100 {
		return usageError(errors.New("--sure is a percentage, 0 to less than 100"))
	}
	ctx, stop := a.interruptible()
	defer stop()
	file, verdict, err := findModel(ctx, m.Models, m.Trusted(), c.Name, engine.FP32, a.sayTrying)
	if err != nil {
		return startFailure(err)
	}
	path := file.Path
	if model.BuiltIn().Has(path) && c.Version == "" && !c.DryRun {
		return usageError(fmt.Errorf("%s is built in and cannot be changed; write a version of your own with --version", c.Name))
	}
	if !model.BuiltIn().Has(path) && !m.folder().Has(path) && c.Version == "" && !c.DryRun {
		return usageError(fmt.Errorf("%s is not in the folder of models, %s; add it first with `vidi models add`, or write a version into that folder with --version", c.Name, m.folder()))
	}
	card, err := c.calibrated(ctx, a, m.folder(), m.Trusted(), path, verdict.Engine)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was changed")
		}
		return err
	}
	if c.DryRun {
		return nil
	}
	return c.write(a, m.folder(), path, card, verdict)
}

// calibrated is the model's card as it should be. That its new version is free is found out before the pictures are looked at.
func (c *modelsCalibrateCmd) calibrated(ctx context.Context, a *app, folder model.Folder, trust model.Trust, path string, prepared model.Engine) (model.Card, error) {
	a.showPrinted()
	classifier, err := classify.Open(ctx, path, classify.Config{Engine: engine.Config{Prepared: prepared, Alone: 1, Trust: trust}}) // many pictures: none is ever alone
	if err != nil {
		return model.Card{}, startFailure(err)
	}
	defer classifier.Close()
	card := classifier.Card()
	if card.Activation != model.Softmax {
		return card, fmt.Errorf("%s has the activation %s; a temperature is for softmax", card.Name, card.Activation)
	}
	if c.Version != "" && !c.DryRun {
		switch err := folder.CheckFree(card.Name, c.Version); {
		case errors.Is(err, model.ErrExists):
			return card, usageError(fmt.Errorf("%s is there already; take another --version", model.Ref(card.Name, c.Version)))
		case err != nil:
			return card, startFailure(err)
		}
	}
	dataset, err := eval.Open(c.Dataset, card.Labels, c.SkipUnknown)
	if err != nil {
		return card, startFailure(err)
	}
	sayLeftOut(a, dataset)
	dataset = dataset.Sample(calibrationPictures)
	bar := newProgress(a, len(dataset.Items), card.Name+": %d of %d pictures ")
	logits, right, err := eval.Logits(ctx, classifier, dataset, card.Temperature, preprocess.Options{}, bar.step)
	bar.finish()
	if err != nil {
		return card, err
	}
	if failed := len(dataset.Items) - len(logits); failed > 0 {
		fmt.Fprintf(a.stderr, "vidi: %s could not be read: left out\n", english.Plural(failed, "picture", ""))
	}
	fit, err := model.FitTemperature(logits, right)
	if err != nil {
		return card, err
	}
	if fit.AtBound {
		return card, fmt.Errorf("no temperature fits: of %d pictures, %d have the right first answer. It takes some that are named rightly, and some wrongly: give more pictures, or harder ones", len(logits), rightAnswers(logits, right))
	}
	if len(logits) < fewPictures {
		fmt.Fprintf(a.stderr, "vidi: with only %d pictures these figures are rough\n", len(logits))
	}
	was := cmp.Or(card.Temperature, 1)
	card.Temperature = fit.Temperature
	fmt.Fprintf(a.stdout, "temperature  %.3f (was %.3f), of %d pictures; log loss %.3f without any, %.3f with this one\n",
		fit.Temperature, was, len(logits), fit.Before, fit.After)
	if c.Sure == 0 {
		return card, nil
	}
	threshold, share, err := model.SureFrom(logits, right, fit.Temperature, c.Sure/100)
	if err != nil {
		return card, err
	}
	card.UnsureBelow = threshold
	fmt.Fprintf(a.stdout, "not sure     below %.1f %%; %.1f %% of the answers are sure, and at least %g %% of those are right\n", threshold*100, share*100, c.Sure)
	return card, nil
}

func rightAnswers(logits [][]float32, right []int) (n int) {
	for i, row := range logits {
		if row[right[i]] == slices.Max(row) {
			n++
		}
	}
	return n
}

// write puts a file with the new card in the place of the old, or beside it.
func (c *modelsCalibrateCmd) write(a *app, folder model.Folder, path string, card model.Card, verdict trial.Verdict) error {
	card.Version = cmp.Or(c.Version, card.Version)
	file, err := model.Inspect(path)
	if err != nil {
		return err
	}
	draft, err := folder.Draft(path, card)
	if err != nil {
		return err
	}
	defer draft.Discard()
	placed, sum, err := draft.Place(c.Version == "")
	if err != nil {
		return err
	}
	verdict.Engine = cmp.Or(verdict.Engine, model.Fused)
	tried().Remember(sum, engine.FP32, verdict) // the network is the one that just ran
	fmt.Fprintf(a.stderr, "Wrote %s (%s).\n", model.Ref(card.Name, card.Version), placed)
	if file.Unlisted != nil {
		fmt.Fprintf(a.stderr, "It is another file than before; to trust it:  --trust %s\n", sum)
	}
	return nil
}
