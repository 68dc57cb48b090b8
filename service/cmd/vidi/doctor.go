package main

import (
	"context"
	"fmt"

	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/doctor"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/trial"
)

// doctorCmd takes the flags of serve, so that it looks at what a server with these flags would meet.
type doctorCmd struct {
	config.Serve
	Format string `help:"${enum}." short:"f" enum:"text,json" default:"text"`
}

// Run prints one line for each check as soon as it is done, and fails if one of them did.
func (c *doctorCmd) Run(a *app) error {
	findings := make([]doctor.Finding, 0, 8)
	failed, doubts := 0, 0
	a.showPrinted()
	examiner := doctor.Doctor{Serve: c.Serve, BuiltWith: builtWith,
		Find: func(ctx context.Context, name string) (*model.File, trial.Verdict, error) {
			settings := c.Engine()
			return findModel(ctx, c.Models, settings.Trust, name, settings.Precision, nil)
		}}
	examiner.Examine(a.ctx, func(f doctor.Finding) {
		findings = append(findings, f)
		switch f.Verdict {
		case doctor.Fail:
			failed++
		case doctor.Warn:
			doubts++
		}
		if c.Format == "text" {
			fmt.Fprintln(a.stdout, f)
		}
	})
	if c.Format == "json" {
		if err := printJSON(a, map[string]any{"healthy": failed == 0, "findings": findings}); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("a server with these settings would not work: of %d checks, %d failed", len(findings), failed)}
	}
	switch {
	case c.Format != "text":
	case doubts > 0:
		fmt.Fprintln(a.stderr, "A server with these settings will work; the warnings are worth a look.")
	default:
		fmt.Fprintln(a.stderr, "A server with these settings will work.")
	}
	return nil
}
