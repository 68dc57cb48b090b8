// Command vidi says what is in a picture, on your own machine.
//
// Exit codes: 0 all good, 1 some inputs failed, 2 wrong use, 3 could not start (model, port, libtorch).
// Results go to standard output, everything else to standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"
	"go.uber.org/automaxprocs/maxprocs"

	"github.com/vidi-vision/vidi/service/logs"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/service/userfile"
)

const (
	exitSomeFailed = 1
	exitWrongUse   = 2
	exitNoStart    = 3
)

type cli struct {
	Classify classifyCmd `cmd:"" help:"Say what is in pictures: files, folders, patterns, or - for standard input."`
	Serve    serveCmd    `cmd:"" help:"Answer over HTTP."`
	Bench    benchCmd    `cmd:"" help:"Measure a model on this machine, and find the best settings for it."`
	Eval     evalCmd     `cmd:"" help:"Count how often a model is right, on pictures whose classes are known."`
	Models   modelsCmd   `cmd:"" help:"List, add, show, check and delete models."`
	Rules    rulesCmd    `cmd:"" help:"Check a rules file, and list the names that rules can use."`
	Keys     keysCmd     `cmd:"" help:"Make and list the keys that a server asks for."`
	Doctor   doctorCmd   `cmd:"" help:"Look for what would keep a server from working here, and say what to change."`
	Health   healthCmd   `cmd:"" help:"Ask a running server whether it is ready; for container probes."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
	Help     helpCmd     `cmd:"" help:"Explain a command: vidi help classify."`

	Completion completionCmd `cmd:"" help:"Print a script that has a shell complete commands, options and models."`
	Complete   completeCmd   `cmd:"" hidden:"" passthrough:"" help:"What the script of vidi completion asks; for its own use."`
}

// app is what commands see of the world; tests put buffers in.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	printed sync.Once // what models print is shown

	lines *logs.Writer // what stderr is while a server runs; nil elsewhere

	held        int        // the ABI of Landlock that holds this process, 0 for none
	kept        []*os.File // what was opened before it was held: a server's ports
	environment []string   // where misspelt variables are looked for, as os.Environ has it
}

// interruptible is a context that ends with the first SIGINT or SIGTERM. The second one ends the process: what waits for standard
// input, or writes a large file, does not look at a context.
func (a *app) interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(a.ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// exitError is an error with the exit code it leads to. A nil err means that everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func startFailure(err error) error { return &exitError{code: exitNoStart, err: err} }
func usageError(err error) error   { return &exitError{code: exitWrongUse, err: err} }

func main() {
	held, kept := sandbox.Entered()
	followQuota()
	os.Exit(run(os.Args[1:], &app{ctx: context.Background(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		held: held, kept: kept, environment: os.Environ()}))
}

// followQuota makes GOMAXPROCS the whole cores of a container's CPU quota, at least one. Go alone rounds the quota up, and
// never below two: the thread plan would then use more than there is, and the kernel would stop all of it for a while in
// each period. GOMAXPROCS in the environment wins.
func followQuota() {
	_, _ = maxprocs.Set(maxprocs.Min(1)) // an error means that the quota could not be read; Go's own count stands
}

// exited carries kong's wish to exit (after --help) through a panic, so that run can return the code to its caller.
type exited int

func run(args []string, a *app) (code int) {
	defer func() {
		if a.lines != nil {
			a.lines.Close(flushTime)
		}
		if v := recover(); v != nil {
			wish, ok := v.(exited)
			if !ok {
				panic(v)
			}
			code = int(wish)
		}
	}()
	a.stdout, a.stderr = forPeople(a.stdout), forPeople(a.stderr)
	options := append(rawStrings(),
		kong.Name("vidi"),
		kong.Description("vidi tells what is in a picture, on your own machine: no account, no key, no network."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(a.stdout, a.stderr),
		kong.Vars{"models": string(model.DefaultFolder())},
		kong.Exit(func(code int) { panic(exited(code)) }),
	)
	parser, err := kong.New(&cli{}, options...)
	if err != nil {
		panic(err) // the declarations above are wrong: any test finds it
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	// Not a flag of kong's: it would take the place of `vidi models add --version`.
	case len(args) == 1 && (args[0] == "--version" || args[0] == "-V"):
		args = []string{"version"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.stderr, "vidi: %s\n", userfile.Explain(err))
		fmt.Fprintln(a.stderr, "Run `vidi --help`, or `vidi COMMAND --help`, to see what there is.")
		return exitWrongUse
	}
	if printsVariables(command.Command()) {
		printUnknownVariables(a.stderr, a.environment, knownVariables(parser.Model))
	}
	err = command.Run(a)
	if err == nil {
		return 0
	}
	text := userfile.Explain(err)
	if errors.Is(err, context.Canceled) { // by a signal, while something was under way that has no better words
		text = "interrupted"
	}
	if text != "" {
		fmt.Fprintf(a.stderr, "vidi: %s\n", text)
	}
	var withCode *exitError
	if errors.As(err, &withCode) {
		return withCode.code
	}
	return exitSomeFailed
}
