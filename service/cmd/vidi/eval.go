package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize/english"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/eval"
	"github.com/vidi-vision/vidi/service/pictures"
	"github.com/vidi-vision/vidi/service/preprocess"
)

type evalCmd struct {
	Dataset string `arg:"" help:"Folder with a sub-folder of pictures for each class, or a CSV file with the columns file and label."`
	Model   string `help:"A model's name, or a TorchScript file; default: that of vidi models set-default, else resnet18, else the first by name." short:"m" placeholder:"NAME|FILE" env:"VIDI_MODEL"`
	Against string `help:"A second model, to set beside the first on the same pictures." placeholder:"NAME|FILE"`
	config.Folder
	Out         string `help:"Folder for the report, and for what an interrupted run needs to go on." short:"o" default:"evaluation" type:"path" placeholder:"DIR"`
	Fresh       bool   `help:"Begin anew, whatever an earlier run left in the folder."`
	SkipUnknown bool   `help:"Leave out pictures of classes that the model does not have."`
	NoExif      bool   `help:"Do not turn pictures as their EXIF orientation says."`
	Decode      string `help:"exact or fast." enum:"exact,fast" default:"exact"`
	Precision   string `help:"fp32, bf16, int8 (needs such a model), or auto." default:"fp32" short:"p" placeholder:"fp32"`
	Format      string `help:"text or json." short:"f" enum:"text,json" default:"text"`
}

// Run measures one model, or two, and writes report.html and summary.json.
func (c *evalCmd) Run(a *app) error {
	precision, err := engine.ParsePrecision(c.Precision)
	if err != nil {
		return usageError(fmt.Errorf("--precision: %w", err))
	}
	ctx, stop := a.interruptible()
	defer stop()
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return startFailure(err)
	}
	report := &eval.Report{Dataset: c.Dataset}
	var pictures func(string) []byte
	err = c.measure(ctx, a, c.Model, precision, &report.Side, func(classifier *classify.Classifier, d *eval.Dataset) error {
		pictures = c.thumbnails(ctx, classifier, d, eval.Worst(report.Records, eval.MistakesShown))
		return nil
	})
	if err != nil {
		return err
	}
	report.Picture = pictures
	if c.Against != "" {
		other := &eval.Other{}
		if err := c.measure(ctx, a, c.Against, precision, &other.Side, nil); err != nil {
			return err
		}
		same := func(first, second int) bool { return report.Labels[first].Label == other.Labels[second].Label }
		other.Comparison = eval.Compare(report.Records, other.Records, same)
		report.Other = other
	}
	if err := c.write(report); err != nil {
		return err
	}
	return c.print(a, report)
}

// measure runs one model over the dataset; then, while the model is still loaded, after.
func (c *evalCmd) measure(ctx context.Context, a *app, name string, precision engine.Precision, side *eval.Side, after func(*classify.Classifier, *eval.Dataset) error) error {
	file, verdict, err := findModel(ctx, c.Models, c.Trusted(), name, precision, a.sayTrying)
	if err != nil {
		return startFailure(err)
	}
	a.showPrinted()
	classifier, err := classify.Open(ctx, file.Path, classify.Config{Engine: engine.Config{Precision: precision, Prepared: verdict.Engine, Alone: 1,
		Trust: c.Trusted()}}) // many pictures: none is ever alone
	if err != nil {
		return startFailure(err)
	}
	defer classifier.Close()
	card := classifier.Card()
	dataset, err := eval.Open(c.Dataset, card.Labels, c.SkipUnknown)
	if err != nil {
		return startFailure(err)
	}
	sayLeftOut(a, dataset)
	digest, err := file.SHA256()
	if err != nil {
		return startFailure(err)
	}
	where, err := filepath.Abs(c.Dataset)
	if err != nil {
		return startFailure(err)
	}
	side.Labels = card.Labels
	side.Subject = eval.Subject{Dataset: where, Model: card.Name, Version: card.Version, SHA256: digest, Precision: c.Precision, Decode: c.Decode, NoExif: c.NoExif}
	journalPath := filepath.Join(c.Out, fmt.Sprintf("%s-%s-%.8s.jsonl", card.Name, filepath.Base(card.Version), digest))
	if c.Fresh {
		if err := os.Remove(journalPath); err != nil && !errors.Is(err, os.ErrNotExist) {
			return startFailure(err)
		}
	}
	journal, err := eval.OpenJournal(journalPath, side.Subject)
	if err != nil {
		return startFailure(err)
	}
	defer journal.Close()
	bar := newProgress(a, len(dataset.Items), card.Name+": %d of %d pictures ")
	side.Records, err = eval.Run(ctx, classifier, dataset, journal, c.image(), bar.step)
	bar.finish()
	if ctx.Err() != nil {
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("interrupted; the same command goes on where it ended")}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", journalPath, err)
	}
	side.Measures = eval.Measure(side.Records)
	if after != nil {
		return after(classifier, dataset)
	}
	return nil
}

func (c *evalCmd) image() preprocess.Options {
	return preprocess.Options{Decode: preprocess.Decode(c.Decode), IgnoreEXIF: c.NoExif}
}

// thumbnails are what the network saw of the records' pictures.
func (c *evalCmd) thumbnails(ctx context.Context, classifier *classify.Classifier, d *eval.Dataset, records []eval.Record) func(string) []byte {
	paths := map[string]string{}
	for _, item := range d.Items {
		paths[item.Name] = item.Path
	}
	made := map[string][]byte{}
	for _, r := range records {
		data, err := pictures.ReadFile(paths[r.File])
		if err != nil {
			continue // it was there a moment ago; the report does without
		}
		if rgb, err := classifier.Input(ctx, data, c.image()); err == nil {
			made[r.File] = eval.Thumbnail(rgb, classifier.Card().Input.Width(), classifier.Card().Input.Height())
		}
	}
	return func(name string) []byte { return made[name] }
}

// evalSummary is summary.json, and what --format json prints.
type evalSummary struct {
	Dataset    string           `json:"dataset"`
	Model      eval.Subject     `json:"model"`
	Measures   eval.Measures    `json:"measures"`
	Against    *eval.Subject    `json:"against,omitempty"`
	AgainstHas *eval.Measures   `json:"against_measures,omitempty"`
	Comparison *eval.Comparison `json:"comparison,omitempty"`
}

func summaryOf(r *eval.Report) evalSummary {
	s := evalSummary{Dataset: r.Dataset, Model: r.Subject, Measures: r.Measures}
	if o := r.Other; o != nil {
		s.Against, s.AgainstHas, s.Comparison = &o.Subject, &o.Measures, &o.Comparison
	}
	return s
}

func (c *evalCmd) write(r *eval.Report) error {
	page, err := os.Create(filepath.Join(c.Out, "report.html"))
	if err != nil {
		return err
	}
	if err := errors.Join(r.Write(page), page.Close()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	data, err := json.MarshalIndent(summaryOf(r), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Out, "summary.json"), append(data, '\n'), 0o644)
}

func (c *evalCmd) print(a *app, r *eval.Report) error {
	if c.Format == "json" {
		return printJSON(a, summaryOf(r))
	}
	sides := []eval.Side{r.Side}
	if r.Other != nil {
		sides = append(sides, r.Other.Side)
	}
	for _, side := range sides {
		m := side.Measures
		fmt.Fprintf(a.stdout, "%s version %s: %s of %s", side.Subject.Model, side.Subject.Version,
			english.Plural(m.Pictures, "picture", ""), english.Plural(len(m.Classes), "class", "classes"))
		if m.Failed > 0 {
			fmt.Fprintf(a.stdout, ", and %d that could not be read", m.Failed)
		}
		fmt.Fprintf(a.stdout, "\n  first answer right    %5.1f %%  (%.1f to %.1f with 95 %% confidence)\n  among the first five  %5.1f %%\n  calibration error     %5.1f %%\n",
			m.Top1*100, m.Low*100, m.High*100, m.Top5*100, m.ECE*100)
		for i, pair := range m.Confused[:min(3, len(m.Confused))] {
			if i == 0 {
				fmt.Fprintln(a.stdout, "  most often mixed up")
			}
			fmt.Fprintf(a.stdout, "    %d × %s for %s\n", pair.Count, side.Labels[pair.Said].Label, side.Labels[pair.Right].Label)
		}
	}
	if r.Other != nil {
		fmt.Fprintf(a.stdout, "same first answer on %.1f %%. %s\n", r.Other.Comparison.Agree*100, r.Other.Comparison.Verdict())
	}
	_, err := fmt.Fprintf(a.stdout, "report: %s\n", filepath.Join(c.Out, "report.html"))
	if err == nil && r.Measures.Pictures == 0 {
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("no picture could be read")}
	}
	return err
}

// sayLeftOut tells which files of a dataset's folders are not looked at.
func sayLeftOut(a *app, d *eval.Dataset) {
	if text := d.LeftOut.String(); text != "" {
		fmt.Fprintln(a.stderr, "vidi: "+text)
	}
}
