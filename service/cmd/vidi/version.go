package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind"
)

// The release, which make lint holds every other part of the tree to, and the commit where Go cannot read it from a repository; the
// build may set both: -ldflags "-X main.version=…".
var (
	version = "0.1.0"
	commit  = ""
)

// What third_party/built-with.sh says of the libraries that the shim was built with; the build sets it.
var builtWith = "how the libraries were checked is not known: this program was not built by make"

type versionCmd struct {
	Verbose bool `short:"v" help:"Open libtorch too, and print its version and what it found on this CPU."`
}

// Run prints the version; without --verbose it does not open libtorch.
func (c *versionCmd) Run(a *app) error {
	fmt.Fprintln(a.stdout, versionLine())
	if !c.Verbose {
		return nil
	}
	info, err := torchbind.Runtime()
	if err != nil {
		return startFailure(err)
	}
	jpeg, err := codec.JPEGVersion()
	if err != nil {
		return startFailure(err)
	}
	fmt.Fprintf(a.stdout, "libtorch %s, libjpeg-turbo %s\n", info.TorchVersion, jpeg)
	fmt.Fprintf(a.stdout, "CPU %s, native bf16 %s, AMX %s, VNNI %s, graph fuser %s; cores for vidi: %d\n",
		info.CPUCapability, yesNo(info.HasNativeBF16), yesNo(info.HasAMX), yesNo(info.HasVNNI), yesNo(info.HasFuser), runtime.GOMAXPROCS(0))
	return nil
}

// versionLine is what --version and `vidi version` print.
func versionLine() string {
	return fmt.Sprintf("vidi %s%s, %s %s/%s", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// revision is the commit that the program was built from, as " (1a2b3c4d)", with a plus for uncommitted changes.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	commit, modified := commit, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+"
		}
	}
	if len(commit) < 8 {
		return ""
	}
	return " (" + commit[:8] + modified + ")"
}
