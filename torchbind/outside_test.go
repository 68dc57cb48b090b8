package torchbind_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

const outsideProgram = `package main

import (
	"fmt"

	"github.com/vidi-vision/vidi/torchbind"
)

func main() {
	x, err := torchbind.NewFloat32([]int64{1}, []float32{42})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer x.Close()
	values, err := x.Float32s()
	fmt.Println(values, err)
}
`

// A module outside this one builds against torchbind without a built shim, and finds the shim at run time in each of the
// documented places.
func TestAnotherModuleCanUseTorchbind(t *testing.T) {
	library := torchtest.File(t, "bin/lib/libtorchbind.so")
	root := filepath.Dir(torchtest.File(t, "go.mod"))
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	version := goVersion(t, root)
	write("go.mod", "module example.com/outside\n\ngo "+version+"\n\nrequire github.com/vidi-vision/vidi v0.0.0\n\nreplace github.com/vidi-vision/vidi => "+root+"\n")
	write("main.go", outsideProgram)
	build := func(args ...string) string {
		t.Helper()
		program := filepath.Join(dir, "out", "program")
		cmd := exec.Command("go", append(append([]string{"build"}, args...), "-o", program, ".")...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		return program
	}
	expect := func(what, program, want string, env ...string) {
		t.Helper()
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: got %q (%v), want %q", what, out, err, want)
		}
	}
	const good = "[42] <nil>"
	expect("the source tree", build(), good)

	// With -trimpath, as releases are built, the source tree is not known.
	program := build("-trimpath")
	expect("nothing to find", program, "was not found; build it with `make shim`")
	expect("the variable", program, good, torchbind.LibraryVariable+"="+library)
	expect("a wrong variable", program, "no such file", torchbind.LibraryVariable+"=/nowhere/libtorchbind.so")
	must(t, os.Symlink(filepath.Dir(library), filepath.Join(dir, "out", "lib")))
	expect("lib beside the program", program, good)
}

// goVersion is the go line of the module's go.mod.
func goVersion(t *testing.T, root string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if version, ok := strings.CutPrefix(line, "go "); ok {
			return strings.TrimSpace(version)
		}
	}
	t.Fatal("go.mod has no go line")
	return ""
}
