package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/logs"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/trial"
	"github.com/vidi-vision/vidi/service/userfile"
	"github.com/vidi-vision/vidi/torchbind"
)

type modelsCmd struct {
	config.Folder

	List       modelsListCmd      `cmd:"" aliases:"ls" default:"withargs" help:"List the models on this machine (the default)."`
	Add        modelsAddCmd       `cmd:"" help:"Look at a model, try it, and put it into the folder with its card."`
	Show       modelsShowCmd      `cmd:"" help:"Say everything that is known of a model."`
	Verify     modelsVerifyCmd    `cmd:"" help:"Try models again: the same file, the same answer?"`
	Calibrate  modelsCalibrateCmd `cmd:"" help:"Make a model's percentages mean what they say, by pictures whose classes are known."`
	SetDefault modelsDefaultCmd   `cmd:"" help:"Choose the model that answers where none is named."`
	Rm         modelsRmCmd        `cmd:"" aliases:"remove,delete" help:"Delete a model's file."`

	Status   modelsStatusCmd   `cmd:"" group:"of a running server:" help:"Say what is served, and how a shadow compares."`
	Load     modelsLoadCmd     `cmd:"" group:"of a running server:" help:"Load a model of its folder, beside the others."`
	Unload   modelsUnloadCmd   `cmd:"" group:"of a running server:" help:"Let go of a model, or of one version."`
	Swap     modelsSwapCmd     `cmd:"" group:"of a running server:" help:"Have another version answer; no request is lost."`
	Rollback modelsRollbackCmd `cmd:"" group:"of a running server:" help:"Have the version answer that did before."`
	Canary   modelsCanaryCmd   `cmd:"" group:"of a running server:" help:"Have another version answer a share of the requests."`
	Shadow   modelsShadowCmd   `cmd:"" group:"of a running server:" help:"Have another version look at a share of the pictures, and compare."`

	Try modelsTryCmd `cmd:"" hidden:"" help:"The process that a model is tried in; for vidi's own use."`
}

func (m *modelsCmd) folder() model.Folder { return model.Folder(m.Models) }

// modelsTryCmd is started by trial.Run.
type modelsTryCmd struct{}

// Run is the other process.
func (c *modelsTryCmd) Run(a *app) error { return trial.Child(a.stdin) }

// tried is what this user's vidi remembers of models that it has tried.
func tried() trial.Tried { return trial.DefaultTried(version + revision()) }

// findModel is the file of the model that was asked for, by [locateModel], once it has passed
// [ensureTried], and the verdict on it.
func findModel(ctx context.Context, folder string, trust model.Trust, name string, precision engine.Precision, trying func(path string)) (*model.File, trial.Verdict, error) {
	path, err := locateModel(folder, name, precision)
	if err != nil {
		return nil, trial.Verdict{}, err
	}
	return ensureTried(ctx, path, trust, precision, trying)
}

// ensureTried has a file that is not known tried in a process of its own; trying, if it is not nil, is called before that takes its
// time. What came with the program was tried where that was put together, so that its verdict is open.
func ensureTried(ctx context.Context, path string, trust model.Trust, precision engine.Precision, trying func(path string)) (*model.File, trial.Verdict, error) {
	if model.BuiltIn().Has(path) {
		file, err := model.Inspect(path)
		return file, trial.Verdict{}, err
	}
	// Who has a file tried loads it next. It is read for its fingerprint first, while libtorch can be opened, which takes longer; an
	// error of that comes again where it is needed.
	go func() { _ = torchbind.Open() }()
	memory := tried()
	memory.Trust = trust
	return memory.Ensure(ctx, path, precision, trying)
}

// locateModel is the path of the model that was asked for; where int8 was asked for as well, that of its quantised twin.
func locateModel(folder, name string, precision engine.Precision) (string, error) {
	if precision == engine.Int8 {
		return model.Folder(folder).FindQuantised(name)
	}
	return model.Folder(folder).Find(name)
}

// sayTrying tells a person who watches why the start takes longer this time.
func (a *app) sayTrying(path string) {
	if isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "vidi: %s is new here: trying it in a process of its own first\n", path)
	}
}

// showPrinted has what libtorch and the model print shown on standard error, as text that no terminal obeys: standard output is for
// the results alone. Call it before a model is loaded.
func (a *app) showPrinted() {
	a.printed.Do(func() {
		fd, err := logs.Native(func(line string, leftOut int) {
			if leftOut > 0 {
				fmt.Fprintf(a.stderr, "vidi: %d lines that libtorch or the model wrote are left out\n", leftOut)
			}
			fmt.Fprintf(a.stderr, "vidi: libtorch or the model wrote: %s\n", line)
		})
		if err == nil {
			_ = torchbind.SendOutputTo(fd) // loading the model fails of the same, and says so
		}
	})
}

type modelsListCmd struct {
	Format string `help:"${enum}." short:"f" enum:"text,json" default:"text"`
}

// modelLine is one model in the JSON form of `vidi models`.
type modelLine struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Precision   string `json:"precision"`
	Classes     int    `json:"classes"` // 0 for a file without a card: known when it is loaded
	Bytes       int64  `json:"bytes"`
	Licence     string `json:"licence"`
	Description string `json:"description"`
	File        string `json:"file"`
	Default     bool   `json:"default"`
	Error       string `json:"error,omitempty"`
}

// Run lists the models by looking at their files; libtorch is not opened.
func (c *modelsListCmd) Run(m *modelsCmd, a *app) error {
	looked, finish := a.slowProgress("%d of %d models ")
	entries, err := m.folder().ListWatched(looked)
	finish()
	if err != nil {
		return startFailure(err)
	}
	if len(entries) == 0 && c.Format == "text" {
		fmt.Fprintf(a.stderr, "There is no model in %s yet. `vidi models add FILE` adds a TorchScript file (.pt); `make model` in vidi's source tree makes one.\n", m.folder())
		return nil
	}
	lines := make([]modelLine, 0, len(entries))
	for i, e := range entries {
		line := modelLine{Name: e.Name, File: e.Path}
		if e.Err != nil {
			line.Error = userfile.Explain(e.Err)
		} else {
			line.Version, line.Bytes, line.Default = e.Version, e.File.Bytes, i == 0 // those that can be used come first
			if card := e.File.Card; card != nil {
				line.Precision, line.Classes = cmp.Or(card.Precision, "fp32"), len(card.Labels)
				line.Licence, line.Description = card.Licence, card.Description
			} else {
				line.Version, line.Description = "", "a TorchScript file without a card"
			}
		}
		lines = append(lines, line)
	}
	if c.Format == "json" {
		return printJSON(a, lines)
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tPRECISION\tCLASSES\tMB\tLICENCE\tDESCRIPTION")
	for _, l := range lines {
		if l.Error != "" {
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\t-\tcannot be used: %s\n", l.Name, shortened(printable(strings.SplitN(l.Error, "\n", 2)[0])))
			continue
		}
		name := l.Name
		if l.Default {
			name += " (default)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.1f\t%s\t%s\n", name, orDash(l.Version), orDash(l.Precision), orDash(zeroBlank(l.Classes)),
			float64(l.Bytes)/1e6, orDash(l.Licence), l.Description)
	}
	return table.Flush()
}

type modelsDefaultCmd struct {
	Model string `arg:"" help:"NAME, whose newest version is meant then, or NAME@VERSION."`
}

// Run writes the choice into the folder's manifest.
func (c *modelsDefaultCmd) Run(m *modelsCmd, a *app) error {
	entry, err := m.folder().SetDefault(c.Model)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s answers where no model is named. A running server keeps its model until it starts again.\n", entry.Name, entry.Version)
	return nil
}

type modelsRmCmd struct {
	Model string `arg:"" help:"NAME, or NAME@VERSION."`
	All   bool   `help:"Delete all versions of the name."`
}

// Run deletes and says what.
func (c *modelsRmCmd) Run(m *modelsCmd, a *app) error {
	removed, err := m.folder().Remove(c.Model, c.All)
	for _, e := range removed {
		fmt.Fprintf(a.stdout, "deleted %s %s (%s, %.1f MB)\n", e.Name, e.Version, e.Path, float64(e.File.Bytes)/1e6)
	}
	return err
}

func printJSON(a *app, value any) error {
	encoder := json.NewEncoder(logs.PrintableJSON(raw(a.stdout)))
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func zeroBlank(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
