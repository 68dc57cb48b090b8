package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/vidi-vision/vidi/service/bench"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/pictures"
	"github.com/vidi-vision/vidi/service/preprocess"
)

type benchCmd struct {
	Picture string `arg:"" optional:"" help:"Picture file to measure with; default: a made-up JPEG of 1280 × 960."`
	Model   string `help:"A model's name, or a TorchScript file; default: that of vidi models set-default, else resnet18, else the first by name." short:"m" placeholder:"NAME|FILE" env:"VIDI_MODEL"`
	config.Folder
	Precision []string      `help:"Precisions to compare; default: fp32 and bf16, or int8 for a model of that kind." short:"p" placeholder:"fp32,bf16"`
	Threads   []int         `help:"Threads of one inference; default: 1, 2, 4, … and all cores." placeholder:"N,…"`
	Workers   []int         `help:"Pictures at the same time; default: 1, 2, 4, … and one per core." placeholder:"N,…"`
	Batch     []int         `help:"Pictures in one forward pass." default:"1,4,8" placeholder:"N,…"`
	Decode    string        `help:"exact or fast." enum:"exact,fast" default:"exact"`
	Slice     time.Duration `help:"How long each thing is measured in each round." default:"500ms"`
	Rounds    int           `help:"Rounds; the median of them is reported." default:"5"`
	Format    string        `help:"text or json." short:"f" enum:"text,json" default:"text"`
	FindPlan  string        `help:"Write the best settings for this machine as environment variables of vidi serve to this file." placeholder:"FILE" type:"path"`
}

// Run measures and prints.
func (c *benchCmd) Run(a *app) error {
	cfg, err := c.config()
	if err != nil {
		return usageError(err)
	}
	if cfg.Picture, err = c.picture(); err != nil {
		return startFailure(err)
	}
	ctx, stop := a.interruptible()
	defer stop()
	cfg.Trust = c.Trusted()
	file, _, err := findModel(ctx, c.Models, cfg.Trust, c.Model, engine.FP32, a.sayTrying)
	if err != nil {
		return startFailure(err)
	}
	cfg.Model = file.Path
	a.showPrinted()
	cfg.Prepared = func(p engine.Precision) (model.Engine, error) {
		_, verdict, err := ensureTried(ctx, cfg.Model, cfg.Trust, p, a.sayTrying)
		return verdict.Engine, err
	}
	bar := progress{}
	cfg.Progress = func(done, all int) {
		if done == 1 {
			bar = newProgress(a, all, "%d of %d measurements ")
		}
		bar.step()
	}
	report, err := bench.Run(ctx, cfg)
	bar.finish()
	if err != nil {
		return startFailure(err)
	}
	if c.FindPlan != "" {
		if err := os.WriteFile(c.FindPlan, []byte(report.Best().Environment()), 0o644); err != nil {
			return fmt.Errorf("writing the plan: %w", err)
		}
		fmt.Fprintf(a.stderr, "vidi: wrote the best settings to %s; use them with: env $(grep -v '^#' %s) vidi serve\n", c.FindPlan, c.FindPlan)
	}
	if c.Format == "json" {
		return printJSON(a, report)
	}
	return printReport(a, report)
}

func (c *benchCmd) config() (bench.Config, error) {
	cfg := bench.Default()
	for _, name := range c.Precision {
		p, err := engine.ParsePrecision(name)
		if err != nil {
			return cfg, fmt.Errorf("--precision: %w", err)
		}
		if !slices.Contains(cfg.Precisions, p) {
			cfg.Precisions = append(cfg.Precisions, p)
		}
	}
	for flag, counts := range map[string]struct {
		from []int
		to   *[]int
	}{"--threads": {c.Threads, &cfg.Threads}, "--workers": {c.Workers, &cfg.Workers}, "--batch": {c.Batch, &cfg.Batches}} {
		for _, n := range counts.from {
			if n < 1 || n > 1024 {
				return cfg, fmt.Errorf("%s: %d is out of range; it must be 1 to 1024", flag, n)
			}
		}
		if len(counts.from) > 0 {
			*counts.to = counts.from
		}
	}
	if c.Slice <= 0 || c.Rounds < 1 {
		return cfg, fmt.Errorf("--slice and --rounds must be more than 0")
	}
	cfg.Decode, cfg.Slice, cfg.Rounds = preprocess.Decode(c.Decode), c.Slice, c.Rounds
	return cfg, nil
}

// picture is the file's content, or a made-up photograph: waves of several sizes compress about as photographs do.
func (c *benchCmd) picture() ([]byte, error) {
	if c.Picture != "" {
		return pictures.ReadFile(c.Picture)
	}
	img := image.NewRGBA(image.Rect(0, 0, 1280, 960))
	for y := range 960 {
		for x := range 1280 {
			fx, fy := float64(x), float64(y)
			wave := math.Sin(fx/97+fy/61) + math.Sin(fx/23-fy/31)/2 + math.Sin(fx*fy/4000)/3 + math.Sin(fx/5+fy/3)/8
			img.SetRGBA(x, y, color.RGBA{uint8(128 + 60*wave), uint8(128 + 50*math.Sin(wave*2)), uint8(128 - 55*wave), 255})
		}
	}
	var file bytes.Buffer
	err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 90})
	return file.Bytes(), err
}

// printReport is tables, and a bar for what is compared.
func printReport(a *app, r *bench.Report) error {
	fmt.Fprintf(a.stdout, "%s on %d cores\n\nOne inference, ms per picture (median, p95)\n\n", r.Model, r.Cores)
	slowest, fastest := 0.0, 0.0
	for _, i := range r.Inference {
		slowest = max(slowest, i.Median)
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "precision\tthreads\tbatch\tmedian\tp95\t\t")
	for _, i := range r.Inference {
		fmt.Fprintf(table, "%s\t%d\t%d\t%.2f\t%.2f\t%s\t\n", i.Precision, i.Threads, i.Batch, i.Median, i.P95, leftBar(i.Median/slowest))
	}
	table.Flush()
	fmt.Fprintf(a.stdout, "\nA picture of %d × %d from its bytes to the answer, all workers busy\n\n", r.Width, r.Height)
	for _, t := range r.Throughputs {
		fastest = max(fastest, t.Rate)
	}
	fmt.Fprintln(table, "precision\tworkers\tthreads\tpictures/s\t×\tmedian ms\tp95\tCPU ms\tdecode\tresize\tinference\t\t")
	for _, t := range r.Throughputs {
		fmt.Fprintf(table, "%s\t%d\t%d\t%.1f\t%.2f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t\n", t.Precision, t.Workers, t.Threads, t.Rate, t.Speedup, t.Latency, t.P95,
			t.CPU, t.Decode, t.Resize, t.Inference, leftBar(t.Rate/fastest))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s\n", r.Best())
	return err
}

// leftBar is a bar that a right-aligned column keeps to its left.
func leftBar(part float64) string { return runewidth.FillRight(barOf(part), 20) }
