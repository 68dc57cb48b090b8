// Package doctor looks for what would keep a server from working on this machine, and says what to change.
package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/machine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/service/trial"
)

// Doctor looks at what a server with these settings would meet.
type Doctor struct {
	config.Serve
	// BuiltWith says how the libraries were checked that the program was built with.
	BuiltWith string
	// Find finds a model as the server would, and has it tried if it is new.
	Find func(ctx context.Context, name string) (*model.File, trial.Verdict, error)
}

// Verdict is how a check went.
type Verdict string

// The verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // it works, and could be better
	Fail Verdict = "fail" // a server would not start, or not answer
)

// Finding is what one check found out.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"Verdict"`
	Says    string  `json:"says"`
	Advice  string  `json:"advice,omitempty"` // what to change; "" where nothing needs to be
}

// String is one line.
func (f Finding) String() string {
	line := fmt.Sprintf("%-5s %-9s %s", f.Verdict, f.Check, strings.ReplaceAll(f.Says, "\n", " "))
	if f.Advice != "" {
		line += "; " + f.Advice
	}
	return line
}

// Examine makes the checks in an order in which each can use what those before it found.
func (c *Doctor) Examine(ctx context.Context, report func(Finding)) {
	report(c.checkLibrary())
	report(checkCPU())
	report(checkSandbox(sandbox.Wanted()))
	resident := c.checkModels(ctx, report)
	report(c.checkMemory(resident, machine.MemoryLimit()))
	report(checkFiles(machine.OpenFiles()))
	report(checkPort("port", "--addr", c.Addr))
	if c.AdminAddr != "" {
		report(checkPort("admin", "--admin-addr", c.AdminAddr))
	}
	report(c.checkKeys())
}
