package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/registry"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// evil is what terminals obey, in every form, and more than anybody reads.
var evil = "\x1b[2J\x1b]0;title\x07\r\x00\u009b31m\u202e\u2028\u2066\u200b\ufeff\U000e0041\nok    pets: the same file" + strings.Repeat("x", 1<<20)

// spoil puts text into every string that v has in it.
func spoil(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		spoil(v.Elem(), text)
	case reflect.String:
		v.SetString(text)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				spoil(v.Field(i), text)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			spoil(v.Index(i), text)
		}
	case reflect.Map:
		if v.Type() == reflect.TypeFor[map[string]string]() {
			v.Set(reflect.ValueOf(map[string]string{"en": text, "zh": text, text: text}))
		}
	}
}

// wantPlain holds that a terminal would only show what was written, and little of it; of JSON, that it is JSON.
func wantPlain(t *testing.T, what, output string) {
	t.Helper()
	if i := strings.IndexFunc(output, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }); i >= 0 {
		t.Errorf("%s prints %q", what, output[max(0, i-40):min(len(output), i+20)])
	}
	if most := 200 << 10; len(output) > most {
		t.Errorf("%s prints %d bytes: %.200q", what, len(output), output)
	}
	if strings.Contains(output, "\nok    pets") {
		t.Errorf("%s prints a line that a model wrote: %.300q", what, output)
	}
}

// carded is a model file with the card in it, which no check of this program's has seen.
func carded(t *testing.T, card []byte) string {
	t.Helper()
	tiny, err := zip.OpenReader(torchtest.File(t, "build/fixtures/tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	defer tiny.Close()
	records := map[string]string{}
	for _, record := range tiny.File {
		content, err := record.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		if records[record.Name] = string(data); strings.HasSuffix(record.Name, "/"+model.CardFile) {
			records[record.Name] = string(card)
		}
	}
	return filetest.Zip(t, records)
}

// Whatever a card says, no command prints what a terminal would obey, or a line that looks like one of its own. Texts with control
// characters are refused, each of them; the others are written with escapes.
func TestNoCommandPrintsWhatACardWants(t *testing.T) {
	good := model.BareCard("pets", 5)
	good.Version = "1"
	good.Trial = &model.Trial{Golden: []model.Answer{{Label: "class_0"}}, Engine: model.Plain, Engines: []model.EngineTime{{Engine: model.Plain}}}
	good.Groups = []model.Group{{Group: "cat"}}
	good.Labels[0].Groups = []string{"cat"}
	plain := marshal(t, good)
	files := map[string]string{}
	for name, change := range map[string]func(c *model.Card){
		"all":            func(c *model.Card) { spoil(reflect.ValueOf(c).Elem(), evil[:1000]) },
		"description":    func(c *model.Card) { c.Description = evil },
		"licence":        func(c *model.Card) { c.Licence = evil },
		"source":         func(c *model.Card) { c.Source = evil },
		"weights":        func(c *model.Card) { c.WeightsSHA256 = evil },
		"label":          func(c *model.Card) { c.Labels[1].Label = evil[:100] },
		"wnid":           func(c *model.Card) { c.Labels[1].WNID = evil[:100] },
		"zh":             func(c *model.Card) { c.Labels[1].Names = map[string]string{"zh": evil[:100]} },
		"language":       func(c *model.Card) { c.Labels[1].Names = map[string]string{evil[:50]: "x"} },
		"group":          func(c *model.Card) { c.Groups[0].Group = "\x1b[2J" },
		"group-zh":       func(c *model.Card) { c.Groups[0].Names = map[string]string{"zh": "\u2028"} },
		"group-of-label": func(c *model.Card) { c.Labels[0].Groups = []string{"\x1b[2J"} },
		"trial-vidi":     func(c *model.Card) { c.Trial.Vidi = evil },
		"trial-torch":    func(c *model.Card) { c.Trial.Torch = evil },
		"trial-label":    func(c *model.Card) { c.Trial.Golden[0].Label = evil },
		"trial-failure":  func(c *model.Card) { c.Trial.Engines[0].Failure = evil },
	} {
		var card model.Card
		if err := json.Unmarshal(plain, &card); err != nil {
			t.Fatal(err)
		}
		change(&card)
		files[name+".pt"] = carded(t, marshal(t, card))
	}
	dir := filetest.Tree(t, t.TempDir(), files)
	picture := torchtest.File(t, "examples/cat.png")
	run := func(name string, args ...string) ran {
		r := vidi(t, nil, args...)
		wantPlain(t, fmt.Sprintf("%.60q of %q", args, name), r.stdout+r.stderr)
		return r
	}
	for name := range files {
		if r := run(name, "models", "show", filepath.Join(dir, name)); r.code == 0 || !strings.Contains(r.stderr, "control character") && !strings.Contains(r.stderr, "at most") {
			t.Errorf("a card with a spoilt %s: %+v", name, r)
		}
	}
	// What may be in a card, and a terminal should not get.
	hidden := good
	spoil(reflect.ValueOf(&hidden.Description).Elem(), "a\u202e\u2066\u200b\ufeff\U000e0041")
	hidden.Licence, hidden.Source = hidden.Description, hidden.Description
	for i := range hidden.Labels {
		hidden.Labels[i] = model.Label{Label: fmt.Sprint("\u202ea", i), Names: map[string]string{"zh": "\u202eb"}, Groups: []string{"\u202ec"}}
	}
	hidden.Groups = []model.Group{{Group: "\u202ec", Names: map[string]string{"en": "\u202ed"}}}
	hidden.Trial = nil
	var file bytes.Buffer
	if err := model.WriteWithCard(&file, torchtest.File(t, "build/fixtures/tiny.pt"), hidden); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "hidden.pt", file.Bytes())
	put(t, dir, "evil\x1b[2J\u202e\nok    pets: x.pt", []byte(evil))
	put(t, dir, "evil\x1b[2J\u202e\nok    pets: x.jpg", []byte(evil))
	dataset := filetest.Tree(t, t.TempDir(), map[string]string{"\u202ea0/a\x1b[2J.png": string(read(t, picture)), "\u202ea1/\u2028.png": "x"})
	commands := func(name string) [][]string {
		file := filepath.Join(dir, name)
		return [][]string{
			{"models", "show", file}, {"models", "add", file, "--models=" + t.TempDir()},
			{"classify", "-m", file, "--parents", picture}, {"rules", "names", "-m", file},
			{"models", "show", file, "-f", "json"}, {"models", "verify", file}, {"eval", dataset, "-m", file, "--out=" + t.TempDir()},
			{"doctor", "--model=" + file, "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"},
		}
	}
	for _, args := range commands("hidden.pt") {
		if r := run("hidden.pt", args...); r.code != 0 {
			t.Errorf("%q: %+v", args, r)
		}
	}
	for _, name := range []string{"all.pt", "evil\x1b[2J\u202e\nok    pets: x.pt"} {
		for _, args := range commands(name)[:4] {
			run(name, args...)
		}
	}
	for _, args := range [][]string{{"models", "--models=" + dir}, {"models", "list", "--models=" + dir, "-f", "json"}, {"classify", dir}, {"classify", "-m", "none", "--models=" + dir, picture}} {
		run(dir, args...)
	}
}

// Whatever a server answers, likewise.
func TestNoCommandPrintsWhatAServerWants(t *testing.T) {
	mux := http.NewServeMux()
	answer := func(path string, status int, kind string, v any) {
		spoil(reflect.ValueOf(v).Elem(), evil[:3000]) // of each text; a megabyte in each would be more than clients read
		data := marshal(t, v)
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			w.Write(data)
		})
	}
	answer("/api/v1/models", 200, "application/json", &api.ModelsResponse{})
	answer("/api/v1/predict", 200, "application/json", &api.PredictResponse{})
	answer("/models", 200, "application/json", &registry.Status{})
	answer("/models/load", 422, api.ProblemType, &api.Problem{})
	answer("/", 500, api.ProblemType, &api.Problem{})
	server := httptest.NewServer(mux)
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	picture := torchtest.File(t, "examples/cat.png")
	for _, args := range [][]string{
		{"classify", "-s", server.URL, picture}, {"classify", "-s", server.URL, "--parents", "-l", "zh", picture}, {"classify", "-s", server.URL, "-f", "json", picture},
		{"classify", "-s", server.URL, "-f", "jsonl", picture}, {"classify", "-s", server.URL, "-m", "x", picture}, {"classify", "-s", server.URL + "/x", picture},
		{"models", "status", "--admin-addr=" + addr}, {"models", "status", "-f", "json", "--admin-addr=" + addr}, {"models", "load", "a", "--admin-addr=" + addr},
		{"models", "swap", "a", "--admin-addr=" + addr}, {"health", "--addr=" + addr},
	} {
		r := vidi(t, nil, args...)
		if r.stdout+r.stderr == "" {
			t.Errorf("%q prints nothing", args)
		}
		wantPlain(t, fmt.Sprintf("%q", args), r.stdout+r.stderr)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
