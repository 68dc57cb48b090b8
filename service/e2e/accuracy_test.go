package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// mode is one setting of the switches that trade exactness for speed. Its answers are held against fp32 with exact decode,
// which TestParity holds against Python.
type mode struct {
	name   string
	file   string
	engine engine.Precision
	decode preprocess.Decode
	clear  float64 // where fp32's first answer leads by more than this, it must stay
}

var modes = []mode{
	{"fp32, exact decode", "build/models/efficientnet-lite0.pt", engine.FP32, preprocess.Exact, marginFP32},
	{"fp32, fast decode", "build/models/efficientnet-lite0.pt", engine.FP32, preprocess.Fast, marginRough},
	{"bf16, exact decode", "build/models/efficientnet-lite0.pt", engine.BF16, preprocess.Exact, marginRough},
	{"bf16, fast decode", "build/models/efficientnet-lite0.pt", engine.BF16, preprocess.Fast, marginRough},
	{"int8, exact decode", lite0Int8, engine.Int8, preprocess.Exact, marginInt8},
	{"int8, fast decode", lite0Int8, engine.Int8, preprocess.Fast, marginInt8},
}

// A view is one picture of the comparison, as a JPEG, because only JPEGs are decoded fast.
type view struct {
	name string
	wnid string // of what is in it, where that is known
	data []byte
}

// TestAccuracyOfEverySwitch answers whether a switch changes what people are told. `make accuracy` writes its table to
// docs/accuracy.md.
func TestAccuracyOfEverySwitch(t *testing.T) {
	torchtest.NoLeaks(t)
	views := allViews(t)
	var exact []*classify.Result
	var rows []string
	native := nativeBF16(t)
	for _, m := range modes {
		if m.engine == engine.BF16 && !native {
			continue
		}
		c := openClassifier(t, torchtest.File(t, m.file), m.engine)
		results := make([]*classify.Result, len(views))
		for i, v := range views {
			r, err := c.Classify(context.Background(), v.data, classify.Options{TopK: 1000, Image: preprocess.Options{Decode: m.decode}})
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			results[i] = r
		}
		if exact == nil {
			exact = results
		}
		rows = append(rows, compare(t, m, views, results, exact))
	}
	table := "| mode | first answers kept | clear answers kept | probability moved: mean, largest | right on labelled pictures | calibration error |\n" +
		"|---|--:|--:|--:|--:|--:|\n" + strings.Join(rows, "\n") + "\n"
	t.Logf("%d pictures\n%s", len(views), table)
	if path := os.Getenv("VIDI_ACCURACY_FILE"); path != "" && !t.Failed() {
		if !native {
			t.Fatal("the table is not written without its rows of bf16; make it on a CPU that has bf16")
		}
		writeAccuracy(t, path, table, len(views))
	}
}

// compare is one row of the table; it fails the test where a clear answer changed.
func compare(t *testing.T, m mode, views []view, got, exact []*classify.Result) string {
	t.Helper()
	kept, clear, clearKept, moved, largest := 0, 0, 0, 0.0, 0.0
	for i, v := range views {
		first, second := exact[i].Predictions[0], exact[i].Predictions[1]
		lead := first.Probability - second.Probability
		same := got[i].Predictions[0].ClassID == first.ClassID
		if same {
			kept++
		}
		if lead > m.clear {
			clear++
			if same {
				clearKept++
			} else {
				t.Errorf("%s: %s became %s, although it led by %.1f points, more than %g", v.name+", "+m.name,
					first.Label.Label, got[i].Predictions[0].Label.Label, 100*lead, 100*m.clear)
			}
		} else if !same {
			t.Logf("%s: %s changed from a lead of %.1f points", m.name, v.name, 100*lead)
		}
		d := math.Abs(probabilityOf(got[i], first.ClassID) - first.Probability)
		moved += d / float64(len(views))
		largest = math.Max(largest, d)
	}
	right, labelled, calibration := judge(views, got)
	known := "– | –"
	if labelled > 0 {
		known = fmt.Sprintf("%d of %d | %.1f points", right, labelled, 100*calibration)
	}
	return fmt.Sprintf("| %s | %d of %d | %d of %d (lead over %g points) | %.1f, %.1f points | %s |",
		m.name, kept, len(views), clearKept, clear, 100*m.clear, 100*moved, 100*largest, known)
}

// judge counts right answers among pictures whose label is known, and gives the expected calibration error there: by how much
// the stated probability differs from the share of right answers, in ten bins of probability, weighted by their size.
func judge(views []view, got []*classify.Result) (right, labelled int, calibration float64) {
	var count, hits, stated [10]float64
	for i, v := range views {
		if v.wnid == "" {
			continue
		}
		labelled++
		answer := got[i].Predictions[0]
		bin := min(9, int(answer.Probability*10))
		count[bin]++
		stated[bin] += answer.Probability
		if answer.Label.WNID == v.wnid {
			right++
			hits[bin]++
		}
	}
	for bin := range count {
		calibration += math.Abs(stated[bin]-hits[bin]) / float64(max(1, labelled))
	}
	return right, labelled, calibration
}

func probabilityOf(r *classify.Result, class int) float64 {
	for _, p := range r.Predictions {
		if p.ClassID == class {
			return p.Probability
		}
	}
	return 0
}

// allViews are seven views of each photograph: 336 with the ImageNet samples, 56 of the examples alone.
func allViews(t *testing.T) []view {
	t.Helper()
	patterns := []string{filepath.Join(filepath.Dir(torchtest.File(t, "examples/CREDITS.md")), "*.[jp][pn]g")}
	if dir := os.Getenv("VIDI_SHARED"); dir != "" {
		patterns = append(patterns, filepath.Join(dir, "photos/sample", "*.JPEG"))
	} else {
		t.Log("VIDI_SHARED is not set: only the views of the examples are compared")
	}
	var views []view
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no photographs match %s (%v)", pattern, err)
		}
		for _, path := range paths {
			views = append(views, viewsOf(t, path)...)
		}
	}
	if want := 200; len(patterns) > 1 && len(views) < want {
		t.Fatalf("only %d views, want %d", len(views), want)
	}
	if os.Getenv("VIDI_ACCURACY_FILE") != "" {
		return views
	}
	const shares = 3
	var some []view
	for i := today(shares); i < len(views); i += shares {
		some = append(some, views[i])
	}
	t.Logf("%d of %d views are compared today; make accuracy compares all", len(some), len(views))
	return some
}

// viewsOf is the photograph as it is, mirrored, three cut-outs of four fifths of its sides, one of them mirrored, and two
// enlargements. Those are there for fast decode, which leaves small pictures alone: at a bit more than twice and four times the
// 256 pixels that the network's input is cut from, the decoder's share of the shrinking is as large as it gets, in one step and
// in two. Quality 95 keeps the views as good as a camera's.
func viewsOf(t *testing.T, path string) []view {
	t.Helper()
	photo, err := imaging.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, h := photo.Bounds().Dx(), photo.Bounds().Dy()
	cut := func(at imaging.Anchor) image.Image { return imaging.CropAnchor(photo, w*4/5, h*4/5, at) }
	enlarged := func(short int) image.Image {
		if w < h {
			return imaging.Resize(photo, short, 0, imaging.Lanczos) // 0 follows the other side
		}
		return imaging.Resize(photo, 0, short, imaging.Lanczos)
	}
	wnid, _, labelled := strings.Cut(filepath.Base(path), "_")
	if !labelled {
		wnid = ""
	}
	var views []view
	for _, v := range []struct {
		name string
		img  image.Image
	}{
		{"whole", photo}, {"mirrored", imaging.FlipH(photo)}, {"560 pixels", enlarged(560)}, {"1100 pixels", enlarged(1100)},
		{"upper left", cut(imaging.TopLeft)}, {"centre", cut(imaging.Center)}, {"lower right, mirrored", imaging.FlipH(cut(imaging.BottomRight))},
	} {
		var b bytes.Buffer
		if err := imaging.Encode(&b, v.img, imaging.JPEG, imaging.JPEGQuality(95)); err != nil {
			t.Fatal(err)
		}
		views = append(views, view{filepath.Base(path) + " (" + v.name + ")", wnid, b.Bytes()})
	}
	return views
}

const accuracyText = `# What the fast modes change

Every switch that makes vidi faster at the price of exactness, on %d pictures: seven views (whole, mirrored, cut out, enlarged) of each of the 8
sample photographs and 40 ImageNet samples, saved as JPEG with quality 95. EfficientNet-Lite0, held against fp32 with exact decode,
which [equals Python](parity.md). Made by ` + "`VIDI_SHARED=DIR make accuracy`" + ` on a CPU with %s; the same test runs in ` + "`make test`" + `.

%s
- *Clear answers* are those where fp32's first answer leads the second by more than the points in brackets: a switch may
  decide a close call otherwise, but no clear one. The tests fail if one changes.
- *Probability moved* is that of fp32's first answer.
- *Right* counts first answers that are the ImageNet sample's label. *Calibration error* is how far the stated probability lies
  from the share of right answers, in ten bins; with few pictures it is mostly noise, so compare the rows, not the figures.

Fast decode leaves at least twice the pixels that the resize makes of them. When it went down to once, fp32 with fast decode kept
326 of these 336 first answers and 301 of 303 clear ones, and a probability moved by up to 21.7 points.
`

func writeAccuracy(t *testing.T, path, table string, pictures int) {
	t.Helper()
	if pictures < 200 {
		t.Fatalf("%s is only written from at least 200 pictures; set VIDI_SHARED", path)
	}
	cpu, err := torchbind.Runtime()
	if err != nil {
		t.Fatal(err)
	}
	native := "native bf16 and VNNI"
	if !cpu.HasNativeBF16 || !cpu.HasVNNI {
		native = fmt.Sprintf("%s (native bf16: %v, VNNI: %v)", cpu.CPUCapability, cpu.HasNativeBF16, cpu.HasVNNI)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, accuracyText, pictures, native, table), 0o644); err != nil {
		t.Fatal(err)
	}
}
