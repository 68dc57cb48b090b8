package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/service/spelling"
	"github.com/vidi-vision/vidi/torchbind"
)

// variablePrefix begins the name of every environment variable of ours.
const variablePrefix = "VIDI_"

// kubernetesLink is a variable that Kubernetes sets in each pod for a Service whose name begins
// with vidi.
var kubernetesLink = regexp.MustCompile(`^VIDI_([A-Z0-9_]+_)?(` +
	`SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?=|` +
	`PORT_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?=|` +
	`PORT=(tcp|udp)://)`)

// otherNames are what people call a setting that has another name here.
var otherNames = map[string]string{
	"VIDI_PORT": "VIDI_ADDR", "VIDI_HOST": "VIDI_ADDR", "VIDI_LISTEN": "VIDI_ADDR",
	"VIDI_ADDRESS": "VIDI_ADDR", "VIDI_API_KEY": "VIDI_KEYS", "VIDI_TIMEOUT": "VIDI_DEADLINE",
	"VIDI_DEADLINE_MS": "VIDI_DEADLINE", "VIDI_MODEL_DIR": "VIDI_MODELS",
	"VIDI_MODEL_PATH": "VIDI_MODEL", "VIDI_LOG": "VIDI_LOG_LEVEL",
}

// knownVariables are the environment variables that any command of the program reads.
func knownVariables(program *kong.Application) map[string]bool {
	known := map[string]bool{torchbind.LibraryVariable: true, codec.LibraryVariable: true, sandbox.Variable: true, "VIDI_ADMIN_KEY": true, "VIDI_KEY": true}
	_ = kong.Visit(program, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, name := range flag.Envs {
				known[name] = true
			}
		}
		return next(nil)
	})
	return known
}

// unknownVariables are those of environment, as os.Environ has it, that look like ours and are
// not, each with the name that was probably meant, or "".
func unknownVariables(environment []string, known map[string]bool) map[string]string {
	unknown := map[string]string{}
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, variablePrefix) || known[name] || kubernetesLink.MatchString(variable) {
			continue
		}
		unknown[name] = nearestVariable(name, known)
	}
	return unknown
}

func nearestVariable(name string, known map[string]bool) (nearest string) {
	if other := otherNames[strings.ToUpper(name)]; known[other] {
		return other
	}
	own := strings.TrimPrefix(strings.ToUpper(name), variablePrefix)
	least := spelling.Tolerance(own) + 1
	if len(own) > 5 {
		least = max(least, 3) // two letters that have changed places are two wrong ones
	}
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if distance := spelling.Distance(own, strings.TrimPrefix(candidate, variablePrefix), least); distance < least {
			nearest, least = candidate, distance
		}
	}
	return nearest
}

// unknownSays is what is said of variables that change nothing, since their names are not known: a
// slip would otherwise go unseen.
const unknownSays = "this environment variable is unknown, and changes nothing; "

// warnOfVariables tells the log of variables that are not known.
func warnOfVariables(log *slog.Logger, environment []string, known map[string]bool) {
	unknown := unknownVariables(environment, known)
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		if meant := unknown[name]; meant != "" {
			log.Warn(unknownSays+"is another meant?", "variable", name, "meant", meant)
		} else {
			log.Warn(unknownSays+"vidi serve --help lists those there are", "variable", name)
		}
	}
}

// printUnknownVariables is warnOfVariables for commands without a log.
func printUnknownVariables(w io.Writer, environment []string, known map[string]bool) {
	unknown := unknownVariables(environment, known)
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		help := "vidi COMMAND --help lists those there are"
		if meant := unknown[name]; meant != "" {
			help = "is " + meant + " meant?"
		}
		fmt.Fprintf(w, "vidi: %s: %s%s\n", printable(name), unknownSays, help)
	}
}

// ownWarning are the commands that tell of unknown variables themselves, or do not: scripts, probes
// and vidi itself run these.
var ownWarning = []string{"serve", "complete", "completion", "health", "version", "help", "models try"}

// printsVariables reports whether a command, "classify <path>", tells of unknown variables at its start.
func printsVariables(command string) bool {
	return !slices.ContainsFunc(ownWarning, func(own string) bool {
		return command == own || strings.HasPrefix(command, own+" ")
	})
}
