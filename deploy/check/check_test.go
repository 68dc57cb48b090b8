// Package check holds tests of what lies in deploy/ and of docker-compose.yml: each is read by the parser of the program that
// will read it in earnest, and what it says of vidi is held against the Dockerfile and the built binary. It is a module of its
// own, so that none of this is among vidi's dependencies. `make test-deploy` runs it.
package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// root is the source tree; tests run in the folder of their package.
var root = func() string {
	folder, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return folder
}()

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// run is what a program of the tree prints; it must succeed.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, program), args...)
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

var variable = regexp.MustCompile(`VIDI_[A-Z_]+`)

// flags are the environment variables that the built `vidi serve` reads, as its help names them.
var flags = sync.OnceValues(func() (map[string]bool, error) {
	out, err := exec.Command(filepath.Join(root, "bin", "vidi"), "serve", "--help").Output()
	known := map[string]bool{}
	for _, name := range regexp.MustCompile(`\(\$(VIDI_[A-Z_]+)\)`).FindAllStringSubmatch(string(out), -1) {
		known[name[1]] = true
	}
	return known, err
})

// areFlags holds that each of the variables is one that vidi reads.
func areFlags(t testing.TB, where string, names ...string) {
	t.Helper()
	known, err := flags()
	if err != nil || len(known) < 20 {
		t.Fatalf("`vidi serve --help` names %d variables: %v", len(known), err)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("%s sets %s, which `vidi serve` does not know", where, name)
		}
	}
}

func areFlagsIn(t testing.TB, file string) {
	t.Helper()
	areFlags(t, file, variable.FindAllString(read(t, file), -1)...)
}

// The documents name no variable that there is not.
func TestVariables(t *testing.T) {
	for _, file := range []string{"docker-compose.yml", ".env.example", "deploy/helm/vidi/values.yaml", "deploy/systemd/vidi.service"} {
		areFlagsIn(t, file)
	}
}
