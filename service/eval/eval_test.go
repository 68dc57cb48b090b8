package eval

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

var labels = []model.Label{
	{Label: "alp", WNID: "n09193705", Names: map[string]string{"en": "alp", "zh": "高山"}},
	{Label: "tiger cat", Names: map[string]string{"zh": "虎纹猫"}},
	{Label: "cliff"},
}

// write makes a file of the text, and the folders above it.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(d *Dataset) []string {
	var all []string
	for _, item := range d.Items {
		all = append(all, fmt.Sprintf("%s=%d", item.Name, item.Class))
	}
	return all
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"Tiger_Cat/b.jpg", "Tiger_Cat/deep/a.PNG", "n09193705/x.jpeg", "高山/y.webp", "class_2/z.gif", "alp/notes.txt", "alp/z.heic", "alp/.small/a.jpg", ".hidden/h.jpg"} {
		write(t, filepath.Join(dir, file), "")
	}
	d, err := Open(dir, labels, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Tiger_Cat/b.jpg=1", "Tiger_Cat/deep/a.PNG=1", "class_2/z.gif=2", "n09193705/x.jpeg=0", "高山/y.webp=0"}
	if got := names(d); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := d.LeftOut.String(); !strings.Contains(got, "1 HEIC, which vidi does not read") || !strings.Contains(got, "1 whose names do not end like a picture's (.txt)") {
		t.Errorf("left out: %q", got)
	}

	write(t, filepath.Join(dir, "tigercat/c.jpg"), "")
	var unknown *UnknownLabels
	if _, err := Open(dir, labels, false); !errors.As(err, &unknown) || !strings.Contains(err.Error(), `"tigercat" (did you mean "tiger cat"?)`) {
		t.Errorf("got %v", err)
	}
	if d, err := Open(dir, labels, true); err != nil || len(d.Items) != len(want) {
		t.Errorf("with the unknown left out: %v, %v", d, err)
	}
	if _, err := Open(t.TempDir(), labels, false); err == nil || !strings.Contains(err.Error(), "sub-folders named like classes") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none"), labels, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestCSV(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "set.csv")
	write(t, file, "\ufefflabel,file,note\nalp,a.jpg,\n\"tiger cat\",\"sub/b, c.jpg\",x\n")
	d, err := Open(file, labels, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(d); !slices.Equal(got, []string{"a.jpg=0", "sub/b, c.jpg=1"}) || d.Items[0].Path != filepath.Join(dir, "a.jpg") {
		t.Errorf("got %q, %+v", got, d.Items)
	}
	write(t, file, "\ufefffile;note;label\r\na.jpg;\"1;2\";alp\r\n") // as Excel writes it where the comma is in numbers
	if d, err := Open(file, labels, false); err != nil || !slices.Equal(names(d), []string{"a.jpg=0"}) {
		t.Errorf("with semicolons: %v", err)
	}
	for text, want := range map[string]string{"\xff\xfef\x00i\x00l\x00e\x00": "UTF-16", "": "neither a folder nor a CSV", "file,class\n": "needs file and label", "file,label\na\n": "wrong number of fields", "file,label\na,dog\n": `"dog"`} {
		write(t, file, text)
		if _, err := Open(file, labels, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// knowing answers with the class that the file's text names first, and 0.7.
type knowing struct{ asked atomic.Int64 }

func (k *knowing) Classify(_ context.Context, data []byte, o classify.Options) (*classify.Result, error) {
	k.asked.Add(1)
	first := slices.IndexFunc(labels, func(l model.Label) bool { return l.Label == string(data) })
	if first < 0 {
		return nil, &preprocess.Error{Code: preprocess.CorruptImage, Detail: "not a picture"}
	}
	r := &classify.Result{Predictions: []classify.Prediction{{ClassID: first, Probability: 0.7}}}
	for class := range labels {
		if class != first {
			r.Predictions = append(r.Predictions, classify.Prediction{ClassID: class, Probability: 0.15})
		}
	}
	return r, nil
}

// A run that goes on asks only for what is missing: new pictures, and those that could not be read.
func TestRunGoesOn(t *testing.T) {
	dir := t.TempDir()
	set, path := filepath.Join(dir, "set"), filepath.Join(dir, "journal")
	write(t, filepath.Join(set, "alp/1.jpg"), "alp")
	write(t, filepath.Join(set, "alp/2.jpg"), "cliff")
	write(t, filepath.Join(set, "cliff/3.jpg"), "broken")
	subject := Subject{Model: "m", Version: "1"}
	run := func(subject Subject) ([]Record, int64, error) {
		t.Helper()
		d, err := Open(set, labels, false)
		if err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, subject)
		if err != nil {
			return nil, 0, err
		}
		defer j.Close()
		k := &knowing{}
		steps := atomic.Int64{}
		records, err := Run(context.Background(), k, d, j, preprocess.Options{}, func() { steps.Add(1) })
		if err == nil && steps.Load() != int64(len(d.Items)) {
			t.Errorf("%d steps for %d pictures", steps.Load(), len(d.Items))
		}
		return records, k.asked.Load(), err
	}
	records, asked, err := run(subject)
	if err != nil || asked != 3 || len(records) != 3 {
		t.Fatalf("%v, asked %d, %v", records, asked, err)
	}
	if r := records[1]; r.Correct(1) || !r.Correct(5) || r.Right != 0.15 || r.Top[0] != (Guess{Class: 2, Probability: 0.7}) {
		t.Errorf("%+v", r)
	}
	if r := records[2]; r.Error != "not a picture" {
		t.Errorf("%+v", r)
	}

	// A crash in the middle of a line, a file mended, one new, one moved.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"file":"alp/4.j`)
	f.Close()
	write(t, filepath.Join(set, "cliff/3.jpg"), "cliff")
	write(t, filepath.Join(set, "cliff/4.jpg"), "cliff")
	again, asked, err := run(subject)
	if err != nil || asked != 2 || len(again) != 4 || again[0].Right != records[0].Right || again[2].Error != "" {
		t.Fatalf("%v, asked %d, %v", again, asked, err)
	}
	if _, _, err := run(Subject{Model: "m", Version: "1", Dataset: "/other"}); err == nil || !strings.Contains(err.Error(), "dataset") {
		t.Errorf("answers for other pictures were taken: %v", err)
	}
	if _, _, err := run(Subject{Model: "m", Version: "2"}); err == nil || !strings.Contains(err.Error(), "--fresh") {
		t.Errorf("another model's journal: %v", err)
	}
	write(t, path, "what is this\n")
	if _, _, err := run(subject); err == nil || !strings.Contains(err.Error(), "no journal") {
		t.Errorf("another file: %v", err)
	}
}

// alps is a dataset of that many pictures, and its journal.
func alps(t *testing.T, pictures int) (*Dataset, *Journal) {
	t.Helper()
	dir := t.TempDir()
	for i := range pictures {
		write(t, filepath.Join(dir, fmt.Sprintf("set/alp/%d.jpg", i)), "alp")
	}
	d, err := Open(filepath.Join(dir, "set"), labels, false)
	if err != nil {
		t.Fatal(err)
	}
	j, err := OpenJournal(filepath.Join(dir, "journal"), Subject{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return d, j
}

func TestRunEndsWithItsContext(t *testing.T) {
	d, j := alps(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, &knowing{}, d, j, preprocess.Options{}, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A full disk ends a run at once: what the model says could not be kept.
func TestRunEndsWithItsJournal(t *testing.T) {
	d, j := alps(t, 500)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	j.file = full
	k := &knowing{}
	if _, err := Run(context.Background(), k, d, j, preprocess.Options{}, func() {}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if asked := k.asked.Load(); asked > 400 {
		t.Errorf("%d of 500 pictures were asked for", asked)
	}
}

// A file that was put in a picture's place is looked at, and not the old one's answer taken for it.
func TestAnotherFileIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	j, err := OpenJournal(filepath.Join(dir, "journal"), Subject{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	k := &knowing{}
	picture := filepath.Join(dir, "set/alp/a.jpg")
	for n, text := range []string{"alp", "alp", "cliff"} {
		if n != 1 {
			write(t, picture, text)
		}
		d, err := Open(filepath.Join(dir, "set"), labels, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(context.Background(), k, d, j, preprocess.Options{}, func() {}); err != nil {
			t.Fatal(err)
		}
		if want := []int64{1, 1, 2}[n]; k.asked.Load() != want {
			t.Errorf("the model was asked %d times, want %d", k.asked.Load(), want)
		}
	}
}

// Records are of a picture and its class: where a table's labels are corrected, the pictures are looked at again.
func TestACorrectedLabelIsLookedAtAgain(t *testing.T) {
	dir := t.TempDir()
	set := filepath.Join(dir, "set.csv")
	write(t, filepath.Join(dir, "a.jpg"), "alp")
	j, err := OpenJournal(filepath.Join(dir, "journal"), Subject{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for label, want := range map[string]float64{"cliff": 0.15, "alp": 0.7} {
		write(t, set, "file,label\na.jpg,"+label+"\n")
		d, err := Open(set, labels, false)
		if err != nil {
			t.Fatal(err)
		}
		records, err := Run(context.Background(), &knowing{}, d, j, preprocess.Options{}, func() {})
		if err != nil || records[0].Class != d.Items[0].Class || records[0].Right != want {
			t.Errorf("%s: %+v, %v; want a probability of %g", label, records, err, want)
		}
	}
}

func TestLogits(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "alp/1.jpg"), "broken")
	write(t, filepath.Join(dir, "cliff/2.jpg"), "alp")
	d, err := Open(dir, labels, false)
	if err != nil {
		t.Fatal(err)
	}
	steps := atomic.Int64{}
	logits, right, err := Logits(context.Background(), &knowing{}, d, 2, preprocess.Options{}, func() { steps.Add(1) })
	if err != nil || len(logits) != 1 || !slices.Equal(right, []int{2}) || steps.Load() != 2 {
		t.Fatalf("%v, %v, %v, %d steps", logits, right, err, steps.Load())
	}
	p, err := model.Probabilities(model.Softmax, 2, logits[0])
	if err != nil || math.Abs(p[0]-0.7) > 1e-6 || math.Abs(p[2]-0.15) > 1e-6 {
		t.Errorf("back to probabilities: %v, %v", p, err)
	}
}

func record(class, first int, p, right float64) Record {
	return Record{File: fmt.Sprint(class, first, p), Class: class, Top: []Guess{{first, p}, {(first + 1) % 3, (1 - p) / 2}}, Right: right}
}

func TestMeasure(t *testing.T) {
	records := []Record{
		record(0, 0, 0.95, 0.95), record(0, 0, 0.95, 0.95), record(0, 1, 0.55, 0.1), record(1, 1, 0.55, 0.55), {File: "broken", Class: 2, Error: "x"},
	}
	m := Measure(records)
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("top-1", m.Top1, 0.75)
	near("top-5", m.Top5, 0.75) // the second guess of the wrong one is class 2
	near("balanced", m.Balanced, (2.0/3+1)/2)
	near("log loss", m.MeanNLL, -(2*math.Log(0.95)+math.Log(0.1)+math.Log(0.55))/4)
	near("ECE", m.ECE, (2*0.05+2*0.05)/4) // bins: two at 0.95, all right; two at 0.55, half right
	if m.Pictures != 4 || m.Failed != 1 || len(m.Classes) != 2 || m.Classes[0].Class != 0 || m.Classes[1].Precision != 0.5 {
		t.Errorf("%+v", m)
	}
	if len(m.Confused) != 1 || m.Confused[0] != (Pair{Right: 0, Said: 1, Count: 1}) {
		t.Errorf("%+v", m.Confused)
	}
	if worst := Worst(records, 9); len(worst) != 1 || worst[0].Class != 0 {
		t.Errorf("%+v", worst)
	}
	if m := Measure(nil); m.Pictures != 0 || m.Top1 != 0 {
		t.Errorf("of nothing: %+v", m)
	}
}

// Figures of SciPy: binomtest(hits, n).proportion_ci(method="wilson") and binomtest(min(a, b), a+b).pvalue.
func TestStatistics(t *testing.T) {
	for _, c := range []struct {
		hits, n   int
		low, high float64
	}{{8, 10, 0.4901625, 0.9433178}, {0, 10, 0, 0.2775328}, {900, 1000, 0.8798480, 0.9170906}} {
		if low, high := wilson(c.hits, c.n); math.Abs(low-c.low) > 1e-6 || math.Abs(high-c.high) > 1e-6 {
			t.Errorf("%d of %d: %.5f to %.5f", c.hits, c.n, low, high)
		}
	}
	for _, c := range []struct {
		a, b int
		p    float64
	}{{0, 0, 1}, {1, 2, 1}, {0, 5, 0.0625}, {10, 2, 0.03857422}, {400, 300, 0.00017848}} {
		if p := signTest(c.a, c.b); math.Abs(p-c.p) > 1e-7 {
			t.Errorf("%d against %d: p %.6f, want %.6f", c.a, c.b, p, c.p)
		}
	}
}

func TestCompare(t *testing.T) {
	named := func(file string, r Record) Record {
		r.File = file
		return r
	}
	first := []Record{named("a", record(0, 0, 0.9, 0.9)), named("b", record(1, 2, 0.9, 0.1)), named("c", record(2, 2, 0.9, 0.9)), {File: "d", Error: "x"},
		named("only here", record(0, 0, 0.9, 0.9))}
	other := []Record{named("only there", record(1, 1, 0.9, 0.9)), named("a", record(0, 0, 0.8, 0.8)), named("b", record(1, 1, 0.6, 0.6)),
		named("c", record(2, 1, 0.6, 0.1)), named("d", record(0, 0, 1, 1))}
	c := Compare(first, other, func(a, b int) bool { return a == b })
	if c.Pictures != 3 || c.OnlyFirst != 1 || c.OnlyOther != 1 || math.Abs(c.Agree-1.0/3) > 1e-9 {
		t.Errorf("%+v", c)
	}
}

// Names come from files and cards, and stay text in the report.
func TestReportIsText(t *testing.T) {
	const evil = `<script>alert(1)</script>`
	hostile := []model.Label{{Label: evil + "a"}, {Label: evil + "b"}}
	wrong := Record{File: evil + ".jpg", Class: 0, Top: []Guess{{1, 0.9}, {0, 0.1}}, Right: 0.1}
	records := []Record{wrong, {File: evil + "2.jpg", Error: evil}}
	r := &Report{Dataset: evil, Side: Side{Subject: Subject{Model: evil, SHA256: strings.Repeat("0", 64)}, Labels: hostile, Records: records, Measures: Measure(records)},
		Picture: func(string) []byte { return Thumbnail(make([]byte, 2*3*3), 2, 3) }}
	r.Other = &Other{Side: r.Side}
	var page bytes.Buffer
	if err := r.Write(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if strings.Contains(text, "<script") || strings.Contains(text, "ZgotmplZ") || !strings.Contains(text, "data:image/jpeg;base64,") {
		t.Errorf("the report is\n%s", text)
	}
}
