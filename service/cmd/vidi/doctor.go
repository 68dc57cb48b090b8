package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/sandbox"
)

// doctorCmd takes the flags of serve, so that it looks at what a server with these flags would meet.
type doctorCmd struct {
	config.Serve
	Format string `help:"${enum}." short:"f" enum:"text,json" default:"text"`
}

// verdict is how a check went.
type verdict string

const (
	good    verdict = "ok"
	doubt   verdict = "warn" // it works, and could be better
	failing verdict = "fail" // a server would not start, or not answer
)

// finding is what one check found out.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Says    string  `json:"says"`
	Advice  string  `json:"advice,omitempty"` // what to change; "" where nothing needs to be
}

func (f finding) String() string {
	line := fmt.Sprintf("%-5s %-9s %s", f.Verdict, f.Check, strings.ReplaceAll(f.Says, "\n", " "))
	if f.Advice != "" {
		line += "; " + f.Advice
	}
	return line
}

// Run prints one line for each check as soon as it is done, and fails if one of them did.
func (c *doctorCmd) Run(a *app) error {
	findings := make([]finding, 0, 8)
	failed, doubts := 0, 0
	a.showPrinted()
	c.examine(a.ctx, func(f finding) {
		findings = append(findings, f)
		switch f.Verdict {
		case failing:
			failed++
		case doubt:
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

// examine makes the checks in an order in which each can use what those before it found.
func (c *doctorCmd) examine(ctx context.Context, report func(finding)) {
	report(checkLibrary())
	report(checkCPU())
	report(checkSandbox(sandbox.Wanted()))
	resident := c.checkModels(ctx, report)
	report(c.checkMemory(resident, memoryLimit()))
	report(checkFiles(openFiles()))
	report(checkPort("port", "--addr", c.Addr))
	if c.AdminAddr != "" {
		report(checkPort("admin", "--admin-addr", c.AdminAddr))
	}
	report(c.checkKeys())
}
