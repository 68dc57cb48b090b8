package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

const petRules = `
rules:
  - tag: 宠物
    action: notify
    when:
      - {groups: [cat, dog], at_least: 50}
      - {measure: brightness, at_least: 20}
  - tag: cup
    when: [{labels: [espresso], at_least: 50}]
`

// tagsOf is a picture's tags, as the server gives them.
func (s *server) tagsOf(t *testing.T, name string) []api.Tag {
	t.Helper()
	answer, err := ask(t, s).PredictFile(t.Context(), torchtest.File(t, "examples/"+name), api.Params{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Results[0].Tags
}

func words(tags []api.Tag) (words []string) {
	for _, tag := range tags {
		words = append(words, tag.Tag)
	}
	return words
}

// The real network wavers between three cats, and is sure of the cat.
func TestParentsOverHTTP(t *testing.T) {
	s := start(t, lite0).ready(t)
	answer, err := ask(t, s).PredictFile(t.Context(), torchtest.File(t, "examples/cat.png"), api.Params{Parents: true, TopK: 2, Lang: "zh"})
	if err != nil {
		t.Fatal(err)
	}
	r := answer.Results[0]
	if r.Predictions[0].Confidence > 50 || len(r.Parents) != 2 {
		t.Fatalf("%+v", r)
	}
	if cat := r.Parents[0]; cat.Label != "cat" || cat.Display != "猫" || cat.Names["en"] != "cat" || cat.Confidence < 90 || cat.Probability < 0.9 {
		t.Errorf("the likeliest group is %+v", cat)
	}
	image := `{"image": "` + base64.StdEncoding.EncodeToString(read(t, torchtest.File(t, "examples/cat.png"))) + `"`
	for _, body := range []string{image + `, "parents": true}`, image + `}`} {
		code, data := s.post(t, "application/json", []byte(body))
		if asked := strings.HasSuffix(body, "true}"); code != 200 || bytes.Contains(data, []byte(`"parents":[{"label":"cat"`)) != asked || bytes.Contains(data, []byte(`"tags"`)) {
			t.Errorf("asked for groups: %v, got %d %s", asked, code, data)
		}
	}
}

// From a rules file to tags, through a change of it and a mistake in it, while the server runs.
func TestRulesWithoutARestart(t *testing.T) {
	file := put(t, t.TempDir(), "rules.yaml", []byte(petRules))
	s, admin := startAdmin(t, lite0, "--rules", file)
	tags := s.tagsOf(t, "cat.png")
	if len(tags) != 1 || tags[0].Tag != "宠物" || tags[0].Action != "notify" || len(tags[0].Because) != 2 {
		t.Fatalf("a cat: %+v", tags)
	}
	if because := tags[0].Because[0]; because.Label != "cat, dog" || because.Names["zh"] != "猫、狗" || because.Percent < 90 || *because.AtLeast != 50 || because.Below != nil {
		t.Errorf("because %+v", because)
	}
	if got := words(s.tagsOf(t, "espresso.png")); !slices.Equal(got, []string{"cup"}) {
		t.Errorf("a cup: %v", got)
	}
	if got := s.tagsOf(t, "rocket.jpg"); got == nil || len(got) != 0 {
		t.Errorf("a rocket: %v", got)
	}

	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(strings.Replace(petRules, "宠物", "pet", 1))
	s.waitFor(t, "the changed rules", func() bool { return slices.Equal(words(s.tagsOf(t, "cat.png")), []string{"pet"}) })
	rewrite(strings.Replace(petRules, "[cat, dog]", "[catt, dog]", 1))
	s.waitFor(t, "a loud log", func() bool { return strings.Contains(s.stderr.String(), "THE RULES FILE CANNOT BE USED") })
	wantIn(t, "the log", s.stderr.String(), `line 6: there is no group`, "did you mean")
	if got := words(s.tagsOf(t, "cat.png")); !slices.Equal(got, []string{"pet"}) {
		t.Errorf("under a broken file: %v", got)
	}
	_, metrics := fetch(t, admin+"/metrics")
	wantIn(t, "the metrics", metrics, `vidi_rules_file_reloads_total{result="loaded"} 1`, `vidi_rules_file_reloads_total{result="failed"} 1`)
}

func TestRulesSayWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	bad := put(t, dir, "bad.yaml", []byte(strings.Replace(petRules, "[espresso]", "[expresso]", 1)))
	broken := put(t, dir, "broken.yaml", []byte("rules:\n  - tag: a\n"))
	cat := torchtest.File(t, "examples/cat.png")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"rules", "check", lite0, bad}, 1, `line 9: there is no label "expresso"; did you mean "espresso"?`},
		{[]string{"rules", "check", lite0, broken}, 1, "line 2: the rule has no when"},
		{[]string{"rules", "check", lite0, filepath.Join(dir, "none")}, 1, "docs/rules.md"},
		{[]string{"rules", "names", lite0, "catt"}, 2, `did you mean "cat"?`},
		{[]string{"rules", "names", lite0, "动物"}, 2, `did you mean "animal"?`},
		{[]string{"rules", "names", lite0, "violence"}, 2, "vidi rules names"},
		{[]string{"classify", lite0, "--rules", bad, cat}, 3, "line 9"},
		{[]string{"classify", lite0, "--rules", broken, cat}, 3, "line 2"},
		{[]string{"serve", lite0, "--addr=127.0.0.1:0", "--admin-addr=", "--rules", bad}, 3, "line 9"},
		{[]string{"serve", lite0, "--addr=127.0.0.1:0", "--admin-addr=", "--rules", broken}, 3, "line 2"},
	} {
		if r := vidi(t, nil, c.args...); r.code != c.code || !strings.Contains(r.stderr, c.says) || r.stdout != "" {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	if r := vidi(t, nil, "rules", "names", lite0); r.code != 0 || !strings.Contains(r.stdout, "cat\t猫\t5 labels\n") ||
		!strings.Contains(r.stdout, "\nvehicle\t交通工具\t71 labels, top-level\n") {
		t.Errorf("%+v", r)
	}
	if r := vidi(t, nil, "rules", "names", lite0, "cat"); r.code != 0 || !strings.Contains(r.stdout, "tabby\t虎斑猫\n") || strings.Count(r.stdout, "\n") != 5 {
		t.Errorf("%+v", r)
	}
}

func TestClassifyParentsAndRules(t *testing.T) {
	file := put(t, t.TempDir(), "rules.yaml", []byte(petRules))
	cat := torchtest.File(t, "examples/cat.png")
	args := []string{"classify", lite0, "--lang=zh", "--top-k=1", "--parents", "--rules", file, cat}
	r := vidi(t, nil, args...)
	wantIn(t, "the text", r.stdout, "虎纹猫 (tiger cat)", "  parents: 猫 92.", "  top groups: 动物 95.", "  tags: 宠物 → notify (猫、狗 92.", "≥ 50 %, 亮度 ", "≥ 20 %)")

	r = vidi(t, nil, append(args, "--format=json")...)
	var results []api.Result
	if err := json.Unmarshal([]byte(r.stdout), &results); err != nil || len(results) != 1 || results[0].Parents[0].Label != "cat" || results[0].Tags[0].Tag != "宠物" {
		t.Errorf("json: %v %+v", err, r)
	}
	r = vidi(t, nil, append(args, filepath.Join(t.TempDir(), "none.png"), "--format=csv")...)
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil || len(rows) != 3 || strings.Join(rows[0][8:], ",") != "tags,warnings,error,parents,top_groups" || rows[1][8] != "宠物" || !strings.HasPrefix(rows[1][11], "猫 92.") || rows[2][8] != "" {
		t.Errorf("csv: %v %+v", err, r)
	}
}

// The examples that the documentation names hold for the model that every machine has.
func TestExampleRules(t *testing.T) {
	want := map[string]map[string]string{
		"screenshots.yaml": {"motorcycle.png": "racing", "cat.png": "animals", "palace.jpg": "town"},
		"cameras.yaml":     {"motorcycle.png": "vehicle", "cat.png": "pet", "palace.jpg": "outdoors"},
		"uploads.yaml":     {"astronaut.png": "unclear", "rocket.jpg": "weapon"},
	}
	files, err := filepath.Glob(torchtest.File(t, "examples/rules") + "/*")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		pictures := want[filepath.Base(file)]
		args := []string{"classify", lite0, "--format=jsonl", "--rules", file}
		for name := range pictures {
			args = append(args, torchtest.File(t, "examples/"+name))
		}
		r := vidi(t, nil, args...)
		for line := range strings.Lines(r.stdout) {
			var result api.Result
			if err := json.Unmarshal([]byte(line), &result); err != nil {
				t.Fatal(err)
			}
			if name := filepath.Base(result.Filename); !slices.Contains(words(result.Tags), pictures[name]) {
				t.Errorf("%s: %s is %v, not %s", filepath.Base(file), name, words(result.Tags), pictures[name])
			}
			delete(pictures, filepath.Base(result.Filename))
		}
		if r.code != 0 || len(pictures) != 0 {
			t.Errorf("%s: %+v", file, r)
		}
	}
}

// What a card says of temperature, not being sure and groups, from the file to the answer.
func TestACardsTemperatureAndGroups(t *testing.T) {
	changed := withCard(t, torchtest.File(t, "build/models/efficientnet-lite0.pt"), func(card map[string]any) {
		card["temperature"], card["unsure_below"] = 2, 0.5
		card["groups"] = []any{map[string]any{"group": "pet", "names": map[string]any{"zh": "宠物"}}}
		for _, class := range []int{281, 282, 283, 284, 285} {
			card["labels"].([]any)[class].(map[string]any)["groups"] = []any{"pet"}
		}
	})
	cat := torchtest.File(t, "examples/cat.png")
	lines := func(model string) api.Result {
		t.Helper()
		r := vidi(t, nil, "classify", model, "--format=jsonl", "--parents", "--top-k=2", cat)
		var result api.Result
		if err := json.Unmarshal([]byte(r.stdout), &result); err != nil {
			t.Fatalf("%v %+v", err, r)
		}
		return result
	}
	plain, warm := lines(lite0), lines("--model="+changed)
	a, b := plain.Predictions, warm.Predictions
	if len(plain.Warnings) != 0 || !slices.Equal(warm.Warnings, []string{"not_sure"}) || b[0].Label != a[0].Label || b[0].Probability >= a[0].Probability {
		t.Errorf("at temperature 1 %+v, at 2 %+v", plain, warm)
	}
	// The ratio of two probabilities is exp((z₁ − z₂) / T): at 2 it is the root.
	if ratio, root := b[0].Probability/b[1].Probability, a[0].Probability/a[1].Probability; ratio*ratio < root*0.999 || ratio*ratio > root*1.001 {
		t.Errorf("the first two are as %v at temperature 2, as %v at 1", ratio, root)
	}
	if len(warm.Parents) != 1 || warm.Parents[0].Label != "pet" || warm.Parents[0].Names["zh"] != "宠物" {
		t.Errorf("groups: %+v", warm.Parents)
	}
	if len(warm.TopGroups) != 0 || len(plain.TopGroups) != 2 || plain.TopGroups[0].Label != "animal" {
		t.Errorf("top-level groups: %+v of the card's own, %+v", warm.TopGroups, plain.TopGroups)
	}
}

// withCard is a copy of a model file with another card.
func withCard(t *testing.T, path string, change func(card map[string]any)) string {
	t.Helper()
	in, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var data bytes.Buffer
	out := zip.NewWriter(&data)
	for _, file := range in.File {
		if !strings.HasSuffix(file.Name, "/extra/vidi.json") {
			if err := out.Copy(file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		var card map[string]any
		if err := json.NewDecoder(r).Decode(&card); err != nil {
			t.Fatal(err)
		}
		change(card)
		w, err := out.CreateHeader(&zip.FileHeader{Name: file.Name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(w).Encode(card); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return put(t, t.TempDir(), "changed.pt", data.Bytes())
}
