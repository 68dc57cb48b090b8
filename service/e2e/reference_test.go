package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// inCI is set where a test that cannot run must fail instead of being skipped.
var inCI = os.Getenv("CI") != ""

// missing skips the test, or fails it in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if inCI {
		t.Fatalf("CI must have it: %s", what)
	}
	t.Skip(what)
}

// python is the project's Python environment, with the reference's torch.
func python(t *testing.T) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(torchtest.File(t, "go.mod")), "build", "venv", "bin", "python")
	if _, err := os.Stat(path); err != nil {
		missing(t, "there is no build/venv, so no live reference; `make python` makes it")
	}
	return path
}

// shared is the folder with test pictures that are not in the repository.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("VIDI_SHARED")
	if dir == "" {
		missing(t, "VIDI_SHARED is not set: the pictures under "+name+" are left out")
	}
	return filepath.Join(dir, name)
}

// reference is what tools/reference says of one picture.
type reference struct {
	Path         string
	Error        *string
	Width        int
	Height       int
	Mode         string
	Format       string
	PixelsSHA256 string `json:"pixels_sha256"`
	InputU8      string `json:"input_u8"`
	LogitsF32    string `json:"logits_f32"`
	TopK         []struct {
		ClassID     int `json:"class_id"`
		Label       string
		Probability float64
		Confidence  float64
	} `json:"top_k"`

	input  []byte    // crop × crop × 3, read from InputU8
	logits []float32 // read from LogitsF32
}

// runReference has Python classify the pictures with the model, and returns its results by path.
func runReference(t *testing.T, model string, flags []string, pictures []string) map[string]reference {
	t.Helper()
	interpreter, out := python(t), t.TempDir()
	list := filepath.Join(out, "pictures.txt")
	if err := os.WriteFile(list, []byte(strings.Join(pictures, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{torchtest.File(t, "tools/reference/reference.py"), "--model", model, "--out", out, "--list", list, "--top-k", "5"}, flags...)
	cmd := exec.Command(interpreter, args...)
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(asExit(err, &exit) && exit.ExitCode() == 1) { // 1: some pictures could not be read, which is an answer
		t.Fatalf("the reference failed: %v\n%s", err, output)
	}
	var index struct{ Pictures []reference }
	data, err := os.ReadFile(filepath.Join(out, "index.json"))
	if err == nil {
		err = json.Unmarshal(data, &index)
	}
	if err != nil {
		t.Fatal(err)
	}
	results := make(map[string]reference, len(index.Pictures))
	for _, r := range index.Pictures {
		if r.Error == nil {
			if r.input, err = os.ReadFile(filepath.Join(out, r.InputU8)); err != nil {
				t.Fatal(err)
			}
			if r.logits, err = readFloats(filepath.Join(out, r.LogitsF32)); err != nil {
				t.Fatal(err)
			}
		}
		results[r.Path] = r
	}
	if len(results) != len(pictures) {
		t.Fatalf("the reference answered for %d of %d pictures", len(results), len(pictures))
	}
	return results
}

func asExit(err error, target **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*target = e
	return ok
}

func readFloats(path string) ([]float32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data)%4 != 0 {
		return nil, fmt.Errorf("%s: %d bytes are not float32s", path, len(data))
	}
	floats := make([]float32, len(data)/4)
	for i := range floats {
		floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return floats, nil
}

// photographs are the examples and, where they are, the ImageNet samples.
func photographs(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{
		filepath.Join(filepath.Dir(torchtest.File(t, "examples/CREDITS.md")), "*.[jp][pn]g"),
		filepath.Join(shared(t, "photos/sample"), "*.JPEG"),
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			t.Fatalf("no photographs match %s (%v)", pattern, err)
		}
		paths = append(paths, matches...)
	}
	return paths
}

func deviation(v []float32) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range v {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	n := float64(len(v))
	return math.Sqrt(squares/n - sum/n*sum/n)
}
