package classify

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestMain(m *testing.M) {
	torchbind.OnLeak = func(kind string) { panic("a " + kind + " was garbage-collected without Close") }
	goleak.VerifyTestMain(m)
}

func open(t *testing.T) *Classifier {
	t.Helper()
	c, err := Open(context.Background(), torchtest.File(t, "build/models/efficientnet-lite0.pt"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func photo(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(torchtest.File(t, "examples/"+name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestClassifyImageIsTheArticlesFunction(t *testing.T) {
	torchtest.NoLeaks(t)
	c := open(t)
	answers, err := c.ClassifyImage(torchtest.File(t, "examples/espresso.png"), 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != 3 || answers[0].Label != "espresso" || math.Abs(answers[0].Confidence-95.7) > 0.1 {
		t.Errorf("answered %+v", answers)
	}
	if _, err := c.ClassifyImage("/no/such/picture.jpg", 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestOptions(t *testing.T) {
	torchtest.NoLeaks(t)
	c := open(t)
	classify := func(o Options) *Result {
		t.Helper()
		r, err := c.Classify(context.Background(), photo(t, "espresso.png"), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if n := len(classify(Options{}).Predictions); n != 3 {
		t.Errorf("no TopK: %d answers, want 3", n)
	}
	all := classify(Options{TopK: 1 << 40}).Predictions
	sum := 0.0
	for i, p := range all {
		sum += p.Probability
		if i > 0 && p.Probability > all[i-1].Probability {
			t.Errorf("answer %d is more likely than the one before", i)
		}
	}
	if len(all) != 1000 || math.Abs(sum-1) > 1e-9 {
		t.Errorf("%d answers that sum to %v", len(all), sum)
	}
	if n := len(classify(Options{TopK: 1000, Threshold: 0.5}).Predictions); n != 1 {
		t.Errorf("threshold 50 %%: %d answers, want 1", n)
	}
	if n := len(classify(Options{Threshold: 1}).Predictions); n != 0 {
		t.Errorf("threshold 100 %%: %d answers, want none", n)
	}
}

func TestParentsAreSumsOverAllClasses(t *testing.T) {
	torchtest.NoLeaks(t)
	c := open(t)
	classify := func(name string, o Options) *Result {
		t.Helper()
		r, err := c.Classify(context.Background(), photo(t, name), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	all := classify("cat.png", Options{TopK: 1000, Parents: true})
	sum, cats := 0.0, 0.0
	for _, p := range all.Predictions {
		if p.ClassID >= 281 && p.ClassID <= 285 {
			cats += p.Probability
		}
	}
	for _, p := range all.Parents {
		sum += p.Probability
	}
	if first := all.Parents[0]; first.Group.Display("zh") != "猫" || first.Confidence() < 90 || math.Abs(first.Probability-cats) > 1e-12 {
		t.Errorf("the likeliest group is %+v; its classes have %v", first, cats)
	}
	if len(all.Parents) < 30 || sum < 1 {
		t.Errorf("%d groups that sum to %v; every class is in one at least", len(all.Parents), sum)
	}
	if top := all.TopGroups; len(top) != 18 || top[0].Group.Group != "animal" || top[0].Probability < all.Parents[0].Probability || top[0].Probability > 1 {
		t.Errorf("the top-level groups are %+v", top)
	}
	for _, p := range all.Parents {
		if p.Group.Group == "animal" || p.Group.Group == "vehicle" {
			t.Errorf("%s is among the nearest groups", p.Group.Group)
		}
	}
	if one := classify("cat.png", Options{TopK: 1, Parents: true}); len(one.Parents) != 1 || one.Parents[0].Probability != all.Parents[0].Probability {
		t.Errorf("of one answer: %+v", one.Parents)
	}
	if none := classify("cat.png", Options{Threshold: 0.95, Parents: true}); none.Parents == nil || len(none.Parents) != 0 {
		t.Errorf("threshold 95 %%: %+v", none.Parents)
	}
	if unasked := classify("cat.png", Options{}); unasked.Parents != nil || unasked.Tags != nil {
		t.Errorf("not asked for: %+v, %+v", unasked.Parents, unasked.Tags)
	}
}

func TestNotSureAndTemperature(t *testing.T) {
	torchtest.NoLeaks(t)
	c := open(t)
	classify := func() *Result {
		t.Helper()
		r, err := c.Classify(context.Background(), photo(t, "cat.png"), Options{TopK: 1, Threshold: 0.99})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	c.card.UnsureBelow = 0.3 // the likeliest has 0.379
	if r := classify(); len(r.Warnings) != 0 {
		t.Errorf("warnings are %v", r.Warnings)
	}
	c.card.UnsureBelow = 0.4
	if r := classify(); !slices.Equal(r.Warnings, []preprocess.Warning{NotSure}) {
		t.Errorf("warnings are %v", r.Warnings)
	}
	c.card.Temperature = 0.2 // the likeliest has far more than 0.4 now
	if r := classify(); len(r.Warnings) != 0 {
		t.Errorf("at a low temperature, warnings are %v", r.Warnings)
	}
}

func TestBadPicturesAreRefusedAndHarmless(t *testing.T) {
	torchtest.NoLeaks(t)
	c := open(t)
	for _, data := range [][]byte{nil, []byte("text"), photo(t, "flower.jpg")[:5000]} {
		_, err := c.Classify(context.Background(), data, Options{})
		var refused *preprocess.Error
		if !errors.As(err, &refused) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Classify(stopped, photo(t, "flower.jpg"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestWireIsTheContractsJSON(t *testing.T) {
	torchtest.NoLeaks(t)
	r, err := open(t).Classify(context.Background(), photo(t, "espresso.png"), Options{TopK: 1})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r.Wire("zh"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	p := got["predictions"].([]any)[0].(map[string]any)
	if p["label"] != "espresso" || p["display"] != "浓缩咖啡" || p["wnid"] != "n07920052" || p["class_id"] != 967.0 || p["confidence"] != 95.7 {
		t.Errorf("answered %s", data)
	}
	for _, key := range []string{"index", "filename", "width", "height", "format", "warnings", "predictions", "timing_ms", "error"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q in %s", key, data)
		}
	}
}

// 1,000 classifications, good and bad, from many goroutines: every good one gives the same answer, and nothing is left.
func TestThousandClassificationsLeaveNothingBehind(t *testing.T) {
	torchtest.NoLeaks(t)
	c, err := Open(context.Background(), torchtest.File(t, "build/fixtures/tiny.pt"), Config{Engine: engine.Config{Workers: 2, Threads: 1, Alone: 1}}) // one module: its answers are compared to the last bit
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pictures := [][]byte{photo(t, "flower.jpg"), photo(t, "cat.png"), photo(t, "rocket.jpg"), photo(t, "flower.jpg")[:9000], []byte("none")}
	const good = 3
	var want [good]*Result
	for i := range want {
		if want[i], err = c.Classify(context.Background(), pictures[i], Options{TopK: 5}); err != nil {
			t.Fatal(err)
		}
	}
	before := torchtest.Measure()
	var all sync.WaitGroup
	for g := range 20 {
		all.Go(func() {
			for i := range 50 {
				n := (g + i) % len(pictures)
				r, err := c.Classify(context.Background(), pictures[n], Options{TopK: 5})
				if (err == nil) != (n < good) {
					t.Errorf("picture %d: %v", n, err)
				} else if err == nil && !slices.EqualFunc(r.Predictions, want[n].Predictions, func(a, b Prediction) bool {
					return a.ClassID == b.ClassID && a.Probability == b.Probability
				}) {
					t.Errorf("picture %d: answered %v, alone it was %v", n, r.Answers(), want[n].Answers())
				}
			}
		})
	}
	all.Wait()
	after := torchtest.Measure()
	t.Logf("before %+v\nafter  %+v", before, after)
	if after.Live != before.Live || after.Descriptors != before.Descriptors || after.Goroutines != before.Goroutines {
		t.Errorf("1,000 classifications left something behind:\nbefore %+v\nafter  %+v", before, after)
	}
}
