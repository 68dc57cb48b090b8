package preprocess

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if live := codec.LiveStatuses(); live != 0 {
		fmt.Fprintf(os.Stderr, "%d statuses were left alive\n", live)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintf(os.Stderr, "goroutines were left running: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// imagenet is the spec of the usual ImageNet models.
var imagenet = Spec{Resize: model.ShorterSide(256), Crop: model.Square(224), Filter: codec.Bilinear}

// ok stands where a test expects a code, for a picture that is prepared.
const ok Code = ""

// prepare prepares a picture with the default limits, and checks what must hold of every answer.
func prepare(t testing.TB, data []byte, o Options) (*Picture, *Error) {
	t.Helper()
	picture, refusal := prepareWithin(t, DefaultLimits(), data, o)
	if o == (Options{}) {
		keepRow(t, data, refusal)
	}
	return picture, refusal
}

func prepareWithin(t testing.TB, limits Limits, data []byte, o Options) (*Picture, *Error) {
	t.Helper()
	p, err := New(limits)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := p.Prepare(context.Background(), data, imagenet, o)
	if err == nil {
		if picture.Width <= 0 || picture.Height <= 0 || formatNames[picture.Format] == "" || len(picture.RGB) != 224*224*3 {
			t.Errorf("a picture of %d × %d, format %q, with %d bytes", picture.Width, picture.Height, picture.Format, len(picture.RGB))
		}
		return picture, nil
	}
	var refusal *Error
	if !errors.As(err, &refusal) {
		t.Fatalf("an error without a code: %v", err)
	}
	if refusal.Code == "" || refusal.Detail == "" {
		t.Errorf("an empty code or detail: %#v", refusal)
	}
	return nil, refusal
}

// expect prepares a picture and holds the answer against the codes that are allowed.
func expect(t testing.TB, data []byte, codes ...Code) *Picture {
	t.Helper()
	picture, refusal := prepare(t, data, Options{})
	got := ok
	if refusal != nil {
		got = refusal.Code
	}
	for _, code := range codes {
		if got == code {
			return picture
		}
	}
	t.Errorf("got %q (%v), want one of %q", got, refusal, codes)
	return nil
}

var rowName = regexp.MustCompile(`^Test(?:Rows[ABC]/)?([ABC][0-9]+)`)

// keepRow leaves the input of a row of the catalogue, and its answer, in the folder that VIDI_ROWS names, if it names one: the
// tests of the real server send it too.
func keepRow(t testing.TB, data []byte, refusal *Error) {
	folder := os.Getenv("VIDI_ROWS")
	row := rowName.FindStringSubmatch(t.Name())
	if folder == "" || row == nil {
		return
	}
	answer := "ok"
	if refusal != nil {
		answer = string(refusal.Code)
	}
	name := fmt.Sprintf("%s-%x-%s", row[1], sha256.Sum256(data), answer)
	if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// missing ends a test whose tools or data are not on this machine: by skipping at a desk, as a failure in CI, where everything
// must run.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s; CI must have it", what)
	}
	t.Skipf("%s: skipped", what)
}

// corpus is the folder of hostile pictures, which is too large and too odd to be committed.
func corpus(t testing.TB) string {
	t.Helper()
	shared := os.Getenv("VIDI_SHARED")
	if shared == "" {
		missing(t, "VIDI_SHARED does not name a folder with hostile pictures in hostile/")
	}
	return filepath.Join(shared, "hostile")
}

func corpusFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(corpus(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
