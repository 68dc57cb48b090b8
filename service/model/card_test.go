package model

import (
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func goodCard() Card {
	return Card{
		Format: 1, Task: "classification", Name: "tiny", Version: "1", Activation: Softmax, Input: ImageNetInput(),
		Labels: []Label{{Label: "cat"}, {Label: "dog", WNID: "n1", Names: map[string]string{"en": "dog", "zh": "狗"}}},
	}
}

func TestCardRoundTrip(t *testing.T) {
	data, err := json.Marshal(goodCard())
	if err != nil {
		t.Fatal(err)
	}
	card, err := ParseCard(data)
	if err != nil {
		t.Fatal(err)
	}
	if card.Labels[1].Display("zh") != "狗" || card.Labels[1].Display("fr") != "dog" || card.Labels[0].Display("zh") != "cat" {
		t.Errorf("labels came back as %+v", card.Labels)
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{"1": true, "2.0-rc_1": true, "": false, "stable": false, "canary": false, "1\x1b[2J": false, "../1": false, "a b": false} {
		if got := ValidVersion(version); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}

func TestCardReportsEveryMistake(t *testing.T) {
	c := goodCard()
	c.Format, c.Task, c.Name, c.Version, c.Activation, c.Precision = 2, "detection", "../up", "", "relu", "int4"
	c.Input = Input{Resize: ShorterSide(100), Crop: Square(224), Interpolation: "area"}
	c.Labels = []Label{{Label: "cat"}, {Label: "cat"}, {}}
	c.Temperature, c.UnsureBelow = -1, 30
	c.Licence = "MIT\x1b[2J"
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"format is 2", `task is "detection"`, `name "../up"`, `version ""`, `activation is "relu"`, `precision is "int4"`,
		"input.resize is 100", `input.interpolation is "area"`, "input.std[0]", `both "cat"`, "labels[2] is empty",
		"temperature is -1", "unsure_below is 30", "licence holds a control character",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %q:\n%v", want, err)
		}
	}
}

func TestParseCardRefusesWhatIsNotACard(t *testing.T) {
	short, err := json.Marshal(goodCard())
	if err != nil {
		t.Fatal(err)
	}
	twoMeans := strings.Replace(string(short), `"mean":[0.485,0.456,0.406]`, `"mean":[0.485,0.456]`, 1)
	for _, text := range []string{twoMeans, "", "null", "[]", "{", `{"format":"1"}`, `{"labels":7}`} {
		if _, err := ParseCard([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestNameOfFile(t *testing.T) {
	for path, want := range map[string]string{
		"/models/resnet18.pt": "resnet18", "my model (2).pt": "my-model--2-", ".hidden.pt": "hidden", "狗.pt": "model", strings.Repeat("x", 99) + ".pt": strings.Repeat("x", 64),
	} {
		if got := NameOfFile(path); got != want || !ValidName(got) {
			t.Errorf("NameOfFile(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestBareCard(t *testing.T) {
	if card := BareCard("x", 1000); card.Labels[970].Label != "alp" || !card.Assumed || card.Validate() != nil {
		t.Errorf("1000 outputs: %q, %v", card.Labels[970].Label, card.Validate())
	}
	if card := BareCard("x", 10); card.Labels[9].Label != "class_9" || len(card.Labels) != 10 || card.Validate() != nil {
		t.Errorf("10 outputs: %+v", card.Labels)
	}
}

func TestImageNetLabels(t *testing.T) {
	labels := ImageNet()
	if len(labels) != 1000 {
		t.Fatalf("%d labels", len(labels))
	}
	en, zh, wnid := map[string]int{}, map[string]int{}, map[string]int{}
	for i, l := range labels {
		for name, seen := range map[string]map[string]int{l.Names["en"]: en, l.Names["zh"]: zh, l.WNID: wnid} {
			if first, twice := seen[name]; twice || name == "" || strings.TrimSpace(name) != name {
				t.Errorf("class %d: %q is empty, untrimmed, or class %d's too", i, name, first)
			}
			seen[name] = i
		}
		if i > 0 && labels[i-1].WNID >= l.WNID {
			t.Errorf("class %d: wnids are not in order", i)
		}
	}
	// The classes that other label files confuse.
	for class, want := range map[int]string{134: "crane", 517: "crane", 638: "maillot", 639: "maillot", 970: "alp"} {
		t.Logf("%d: %s, %s", class, labels[class].Names["en"], labels[class].Names["zh"])
		if class == 970 && (labels[class].Label != want || labels[class].Names["zh"] != "高山") {
			t.Errorf("class 970 is %+v", labels[class])
		}
	}
}

// A card of millions of labels costs no more memory than its own bytes do, and its mistakes fit on a page.
func TestACardOfAMillionMistakes(t *testing.T) {
	of := func(labels int) []byte { return []byte(`{"labels":[{}` + strings.Repeat(",{}", labels-1) + "]}") }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ParseCard(of(maxCardBytes / 3))
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; err == nil || allocated > 3*maxCardBytes { // the text itself, made here, is one
		t.Errorf("%v, %d MB allocated", err, allocated>>20)
	}
	_, err = ParseCard(of(100_000))
	if err == nil || len(err.Error()) > 5000 || !strings.Contains(err.Error(), "labels[3]") || !strings.Contains(err.Error(), "\nand 9999") {
		t.Errorf("%.6000v", err)
	}
}

// FuzzCard: what is accepted is written and read as it was.
func FuzzCard(f *testing.F) {
	good, err := json.Marshal(goodCard())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format": 1, "input": {"mean": [1e39, 0, 0], "std": null}, "labels": [{}, {"label": 5}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		card, err := ParseCard(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(card)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseCard(written); err != nil || !reflect.DeepEqual(again, card) {
			t.Errorf("%s came back as %+v, %v", written, again, err)
		}
	})
}

func TestTemperatureNeedsAnOutputToDivide(t *testing.T) {
	c := goodCard()
	c.Temperature, c.UnsureBelow = 1.5, 0.3
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Activation = None
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "activation none") {
		t.Errorf("probabilities are divided: %v", err)
	}
}

// Sizes are read and written as torchvision takes them: a number, or a list [height, width].
func TestInputSizesAsJSON(t *testing.T) {
	for text, want := range map[string]Input{
		`{"resize":256,"crop":224`:             {Resize: ShorterSide(256), Crop: Square(224)},
		`{"resize":[224,224],"crop":224`:       {Resize: Squeeze(224, 224), Crop: Square(224)},
		`{"resize":[256,128],"crop":[224,112]`: {Resize: Squeeze(256, 128), Crop: Crop{Height: 224, Width: 112}},
		`{"resize":0,"crop":0`:                 {},
	} {
		text += `,"interpolation":"","mean":[0,0,0],"std":[0,0,0]}`
		var got Input
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if back, err := json.Marshal(got); err != nil || string(back) != text {
			t.Errorf("%s became %s, %v", text, back, err)
		}
	}
	if in := (Input{Crop: Crop{Height: 96, Width: 64}}); in.Height() != 96 || in.Width() != 64 || in.Pixels() != 6144 || in.Bytes() != 18432 {
		t.Errorf("%+v has other sides than 96 × 64", in)
	}
	for _, wrong := range []string{`"224"`, `[224]`, `[1,2,3]`, `2.5`, `{"height":224}`, `[224,"224"]`} {
		var in Input
		if err := json.Unmarshal([]byte(`{"resize":`+wrong+`}`), &in); err == nil || !strings.Contains(err.Error(), "[height, width]") {
			t.Errorf("resize %s: %v", wrong, err)
		}
	}
}

// A crop that was asked for takes a resize in proportion, or keeps the one that is known as far as it is large enough.
func TestInputAtAnotherCrop(t *testing.T) {
	for _, c := range []struct {
		resize Resize
		crop   Crop
		want   Resize
	}{
		{Resize{}, Square(224), ShorterSide(256)},
		{Resize{}, Square(112), ShorterSide(128)},
		{Resize{}, Crop{64, 128}, Squeeze(64, 128)},
		{ShorterSide(256), Square(192), ShorterSide(256)},
		{ShorterSide(100), Crop{192, 96}, ShorterSide(192)},
		{Squeeze(100, 300), Square(192), Squeeze(192, 300)},
	} {
		if in := (Input{Resize: c.resize}).At(c.crop); in.Resize != c.want || in.Crop != c.crop {
			t.Errorf("%v at %v: %+v, want %v", c.resize, c.crop, in, c.want)
		}
	}
}
