package rules

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/model"
)

var card = model.Card{
	Name: "tiny", Activation: model.Softmax,
	Labels: []model.Label{
		{Label: "tabby", Groups: []string{"cat"}}, {Label: "tiger cat", Groups: []string{"cat"}}, {Label: "beagle", Groups: []string{"dog"}},
		{Label: "sofa", Names: map[string]string{"zh": "沙发"}},
	},
	Groups: []model.Group{{Group: "cat", Names: map[string]string{"en": "cat", "zh": "猫"}}, {Group: "dog", Names: map[string]string{"zh": "狗"}}},
}

func parse(t *testing.T, text string) *Rules {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(card); err != nil {
		t.Fatal(err)
	}
	return r
}

// one is a file with one rule that has the condition.
func one(condition string) string { return "rules:\n  - tag: it\n    when:\n      - " + condition }

func TestConditions(t *testing.T) {
	p := []float64{0.38, 0.17, 0.25, 0.2}
	for condition, want := range map[string]string{
		"{groups: [cat], at_least: 55}":                             "cat 55.0 % ≥ 55 %",
		"{groups: cat, at_least: 55.1}":                             "",
		"{groups: [cat], below: 55}":                                "",
		"{groups: [cat], below: 56}":                                "cat 55.0 % < 56 %",
		"{groups: [cat], at_least: 50, below: 60}":                  "cat 55.0 % ≥ 50 % < 60 %",
		"{groups: [dog, cat], at_least: 80}":                        "cat, dog 80.0 % ≥ 80 %",
		"{groups: [cat], labels: [tabby], at_least: 55}":            "cat, tabby 55.0 % ≥ 55 %", // tabby counts once
		"{groups: [cat], labels: [tabby], at_least: 56}":            "",
		"{labels: [tabby, sofa], at_least: 58}":                     "tabby, sofa 58.0 % ≥ 58 %",
		"{labels: [tiger cat, beagle, sofa, tabby], below: 1}":      "",
		"{labels: [tiger cat, beagle, sofa, tabby], at_least: 100}": "tabby, beagle, sofa, … 100.0 % ≥ 100 %",
		"{measure: best, below: 40}":                                "likeliest answer 38.0 % < 40 %",
		"{measure: best, at_least: 40}":                             "",
		"{measure: brightness, below: 20}":                          "brightness 12.5 % < 20 %",
		"{measure: brightness, at_least: 20}":                       "",
	} {
		set := parse(t, one(condition)).Bind(card)
		if needs := strings.Contains(condition, "brightness"); set.NeedsBrightness() != needs {
			t.Errorf("%s: needs brightness is %v", condition, !needs)
		}
		tags := set.Tags(Picture{Probabilities: p, Brightness: 12.5})
		if tags == nil {
			t.Fatal("no list of tags")
		}
		got := ""
		if len(tags) > 0 {
			got = tags[0].Because[0].Text("en")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", condition, got, want)
		}
	}
}

func TestRulesInTheirOrder(t *testing.T) {
	set := parse(t, `
rules:
  - {tag: pet, action: notify, when: [{groups: [cat], at_least: 50}, {labels: [sofa], below: 10}]}
  - {tag: pet, action: keep, when: [{groups: [cat, dog], at_least: 50}]}
  - {tag: 沙发, when: [{labels: [sofa], at_least: 10}]}
  - {tag: pet, action: never, when: [{groups: [cat], at_least: 1}]}
`).Bind(card)
	describe := func(p []float64) string {
		var texts []string
		for _, tag := range set.Tags(Picture{Probabilities: p}) {
			text := tag.Tag + "/" + tag.Action
			for _, r := range tag.Because {
				text += " " + r.Text("zh")
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, "; ")
	}
	for want, p := range map[string][]float64{
		"pet/notify 猫 95.0 % ≥ 50 % 沙发 5.0 % < 10 %":       {0.95, 0, 0, 0.05},
		"pet/keep 猫、狗 80.0 % ≥ 50 %; 沙发/ 沙发 20.0 % ≥ 10 %": {0.4, 0.2, 0.2, 0.2},
		"沙发/ 沙发 100.0 % ≥ 10 %":                            {0, 0, 0, 1},
	} {
		if got := describe(p); got != want {
			t.Errorf("%v: %s, want %s", p, got, want)
		}
	}
}

// A model that knows none of a condition's names cannot say that the picture shows none of them.
func TestNamesThatAModelDoesNotKnow(t *testing.T) {
	other := model.Card{Labels: []model.Label{{Label: "pizza"}}, Activation: model.Softmax}
	r := parse(t, one("{groups: [cat], below: 50}"))
	if tags := r.Bind(other).Tags(Picture{Probabilities: []float64{1}}); len(tags) != 0 {
		t.Errorf("tagged %+v", tags)
	}
	if err := r.Check(other, card); err != nil {
		t.Errorf("one of two models knows it: %v", err)
	}
	if err := r.Check(other); err == nil || !strings.Contains(err.Error(), "this model has no groups") {
		t.Errorf("nobody knows it: %v", err)
	}
}

// Under a sigmoid, several likely labels do not make a likelier group.
func TestSigmoid(t *testing.T) {
	c := card
	c.Activation = model.Sigmoid
	tags := parse(t, one("{groups: [cat], at_least: 50}")).Bind(c).Tags(Picture{Probabilities: []float64{0.4, 0.45, 0.9, 0}})
	if len(tags) != 0 {
		t.Errorf("tagged %+v", tags)
	}
}

func TestMistakesOfForm(t *testing.T) {
	long := strings.Repeat("x", 65)
	for text, wants := range map[string][]string{
		"":                                {"empty"},
		"# only a comment\n":              {"empty"},
		"rules: [":                        {"not YAML", "line"},
		"\xff\xfe":                        {"not UTF-8"},
		"- tag: a":                        {"line 1: the file is not a list of fields"},
		"rule: []":                        {`line 1: the file has no field "rule"; there are rules`, "there is no rules:"},
		"rules: cat":                      {"line 1: rules is not a list"},
		"rules: []\nrules: []":            {"rules is there twice"},
		"rules: []\n---\nrules: []":       {"second document"},
		"rules:\n  - cat":                 {"line 2: a rule is not a list of fields"},
		"rules:\n  - {when: []}":          {"the rule has no tag", "when is empty"},
		"rules:\n  - tag: a\n    wen: []": {`line 3: a rule has no field "wen"; there are tag, action, when`, "line 2: the rule has no when"},
		"rules:\n  - {tag: a, when: {groups: cat}}":                              {"when is not a list"},
		"rules:\n  - {tag: [], when: [{measure: best, below: 1}]}":               {"tag is not a text"},
		"rules:\n  - {tag: '', when: [{measure: best, below: 1}]}":               {"tag is empty"},
		"rules:\n  - {tag: \"a\\u0007\", when: [{measure: best, below: 1}]}":     {"cannot be printed"},
		"rules:\n  - {tag: " + long + ", when: [{measure: best, below: 1}]}":     {"longer than 64"},
		"rules:\n  - {tag: &a x, action: *a, when: [{measure: best, below: 1}]}": {"action is not a text"},
		one("{groups: [cat]}"):                                            {"line 4: the condition has no threshold"},
		one("{at_least: 50}"):                                             {"neither groups nor labels nor measure"},
		one("{groups: [], at_least: 50}"):                                 {"groups is empty"},
		one("{groups: [cat, cat], at_least: 50}"):                         {"twice"},
		one("{groups: [cat, [dog]], at_least: 50}"):                       {"groups is not a text"},
		one("{groups: [cat], at_least: 0}"):                               {`at_least is "0"`},
		one("{groups: [cat], at_least: 101}"):                             {`at_least is "101"`},
		one("{groups: [cat], at_least: .nan}"):                            {`at_least is ".nan"`},
		one("{groups: [cat], at_least: '50'}"):                            {"a bare number"},
		one("{groups: [cat], at_least: 50%}"):                             {"a bare number"},
		one("{groups: [cat], at_least: 50, below: 50}"):                   {"nothing is at least 50 and below 50"},
		one("{measure: colour, below: 50}"):                               {`no measure "colour"; there are brightness and best`},
		one("{measure: best, groups: [cat], below: 50}"):                  {"make two of it"},
		"\xff\xfer\x00u\x00l\x00e\x00s\x00":                               {"UTF-16", "save it as UTF-8"},
		"rules: caf\xe9":                                                  {"not text in UTF-8"},
		strings.Repeat("#", MaxFile+1):                                    {"262145 bytes"},
		"rules:\n" + strings.Repeat("  - {}\n", 501):                      {"501 rules; 500 is the most"},
		"rules:\n  - {tag: a, when: [" + strings.Repeat("{},", 17) + "]}": {"17 conditions; 16 are the most"},
		"rules:\n" + strings.Repeat("  - {}\n", 400):                      {"line 2: the rule has no tag", "and 780 more"},
		one("{below: 1, labels: [" + strings.Repeat("a,", 10_001) + "]}"): {"10001 labels and groups"},
	} {
		_, err := Parse([]byte(text))
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.100q: %v, want %q", text, err, want)
			}
		}
	}
}

func TestUnknownNames(t *testing.T) {
	imagenet := model.BareCard("imagenet", 1000)
	for condition, want := range map[string]string{
		"{groups: [catt], below: 1}":         `line 4: there is no group "catt"; did you mean "cat"?`,
		"{groups: [Cat], below: 1}":          `did you mean "cat"?`,
		"{groups: [猫], below: 1}":            `did you mean "cat"?`,
		"{labels: [虎斑猫], below: 1}":          `did you mean "tabby"?`,
		"{labels: [expresso], below: 1}":     `there is no label "expresso"; did you mean "espresso"?`,
		"{labels: [cardigna], below: 1}":     `did you mean "Cardigan" or "cardigan"?`,
		"{labels: [bird], below: 1}":         `"bird" is a group, not a label; write it into groups`,
		"{groups: [espresso], below: 1}":     `"espresso" is a label, not a group; write it into labels`,
		"{labels: [gun], below: 1}":          "",
		"{groups: [animals], below: 1}":      `did you mean "animal"?`,
		"{groups: [vechicle], below: 1}":     `did you mean "vehicle"?`,
		"{groups: [food & drink], below: 1}": `did you mean "food and drink"?`,
		"{groups: [动物], below: 1}":           `did you mean "animal"?`,
		"{groups: [轿车], below: 1}":           `did you mean "car"?`,
		"{groups: [小汔车], below: 1}":          `did you mean "car"?`,
		"{groups: [构筑物], below: 1}":          `did you mean "structure"?`,
		"{groups: [truck], below: 1}":        `did you mean "truck or bus"?`,
		"{groups: [buses], below: 1}":        `did you mean "truck or bus"?`,
		"{groups: [lizard], below: 1}":       `did you mean "other reptile"?`,
		"{groups: [wheels], below: 1}":       `did you mean "vehicle part"?`,
		"{groups: [plane], below: 1}":        `"plane" is a label, not a group; write it into labels, or did you mean the group "aircraft"?`,
		"{groups: [衣物], below: 1}":           `did you mean "clothing"?`,
		"{labels: [vehicle], below: 1}":      `"vehicle" is a group, not a label; write it into groups`,
		"{groups: [violence], below: 1}":     `there is no group "violence"; ` + "`vidi rules names` lists them",
	} {
		r, err := Parse([]byte(one(condition)))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(imagenet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", condition, err, want)
		}
	}
}

func TestBrightness(t *testing.T) {
	for _, c := range []struct {
		rgb  []byte
		want float64
	}{
		{nil, 0}, {[]byte{0, 0, 0}, 0}, {[]byte{255, 255, 255}, 100}, {[]byte{255, 0, 0}, 29.9}, {[]byte{0, 255, 0}, 58.7}, {[]byte{0, 0, 255}, 11.4},
		{[]byte{0, 0, 0, 255, 255, 255}, 50}, {slices.Repeat([]byte{51}, 224*224*3), 20},
	} {
		if got := Brightness(c.rgb); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", c.rgb[:min(6, len(c.rgb))], got, c.want)
		}
	}
}

// Whatever a file holds, it is refused with a reason or can be used.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{one("{groups: [cat], at_least: 50}"), one("{measure: best, below: 5e0}"), "rules: []", "rules: [[[", "a: &a [*a]",
		"rules:\n- tag: <<\n  when: [{labels: {a: b}, below: 0x10}]", "%YAML 1.2\n---\nrules: !!null", "rules:\r\n\t- x", "? a\n: b"} {
		f.Add([]byte(seed))
	}
	p := Picture{Probabilities: []float64{0.25, 0.25, 0.25, 0.25}, Brightness: 50}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			if r != nil || err.Error() == "" || len(err.Error()) > 10_000 {
				t.Errorf("%v, %d bytes of error", r, len(err.Error()))
			}
			return
		}
		_ = r.Check(card)
		for _, tag := range r.Bind(card).Tags(p) {
			if tag.Tag == "" || len(tag.Because) == 0 {
				t.Errorf("an empty tag: %+v", tag)
			}
			for _, reason := range tag.Because {
				if fmt.Sprint(reason.Percent) == "NaN" || reason.Text("zh") == "" {
					t.Errorf("a reason that says nothing: %+v", reason)
				}
			}
		}
	})
}

// Windows' editors put a mark before UTF-8.
func TestAByteOrderMarkIsNoMistake(t *testing.T) {
	if r, err := Parse([]byte("\xef\xbb\xbf" + one("{groups: [cat], at_least: 50}"))); err != nil || r.Count() != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Brackets within brackets, and lists within lists, are an error soon, and end no process.
func TestNestedRules(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
	for _, text := range []string{"[", "{a: ", "- ", "? ", "&a [", "!!seq [", "rules: ["} {
		begun := time.Now()
		_, err := Parse([]byte(strings.Repeat(text, (MaxFile-1)/len(text))))
		if took := time.Since(begun); err == nil || len(err.Error()) > 2000 || took > 5*time.Second { // milliseconds; the rest is for busy machines
			t.Errorf("%q, as often as a file can hold it: %.300v after %v", text, err, took)
		}
	}
}
