package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestCSVIsForSpreadsheets(t *testing.T) {
	var b bytes.Buffer
	p := newPrinter("csv", &b, shown{bom: true, columns: 2, parents: true})
	alp := api.Prediction{Label: "=HYPERLINK(\"x\")", Names: map[string]string{"zh": "高山"}, Confidence: 92.3}
	for _, o := range []outcome{
		{name: "@sum.jpg", model: "-m", result: api.Result{Width: 2, Height: 1, Format: "png", Predictions: []api.Prediction{alp}, Warnings: []string{"low_resolution", "not_sure"},
			Tags: []api.Tag{{Tag: "a"}, {Tag: "+b"}}, Parents: []api.Parent{{Display: "mountain", Confidence: 5}}, TopGroups: []api.Parent{{Display: "outdoors", Confidence: 7.5}}}},
		{name: "a,\"b\".jpg", err: unreadError{"HEIC"}},
		{name: "caf\xe9.jpg", err: errors.New("there is no such file or folder")},
		{name: "\tx", err: &api.Problem{Code: api.CorruptImage}},
	} {
		if err := p.print(o); err != nil {
			t.Fatal(err)
		}
	}
	text, marked := strings.CutPrefix(b.String(), "\ufeff")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || !marked || strings.Contains(text, "\ufeff") {
		t.Fatalf("%v, %q", err, b.String())
	}
	want := [][]string{
		{"file", "width", "height", "format", "model", "label_1", "zh_1", "percent_1", "label_2", "zh_2", "percent_2", "tags", "warnings", "error", "parents", "top_groups"},
		{"'@sum.jpg", "2", "1", "png", "'-m", "'=HYPERLINK(\"x\")", "高山", "92.3", "", "", "", "a; '+b", "low_resolution not_sure", "", "mountain 5.0 %", "outdoors 7.5 %"},
		{"a,\"b\".jpg", "", "", "", "", "", "", "", "", "", "", "", "", "unsupported_format", "", ""},
		{`caf\xe9.jpg`, "", "", "", "", "", "", "", "", "", "", "", "", "there is no such file or folder", "", ""},
		{"'\tx", "", "", "", "", "", "", "", "", "", "", "", "", "corrupt_image", "", ""},
	}
	for i, row := range want {
		if len(rows) != len(want) || strings.Join(rows[i], "|") != strings.Join(row, "|") {
			t.Errorf("line %d: %q, want %q", i, rows[min(i, len(rows)-1)], row)
		}
	}
}

func TestDefuse(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "=1": "'=1", " =1": " '=1", "\"=1": "\"'=1", "-1": "'-1", "a;=1": "a;'=1", "a-b": "a-b", "＝1": "'＝1", "\t=1": "'\t'=1", "\rx": "'\rx", "a\n@x": "a\n'@x", "": "",
	} {
		if got := defuse(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The page's export has the same columns, the same number of answers, and defuses the same characters.
func TestCSVIsLaidOutAsThePages(t *testing.T) {
	script, err := os.ReadFile(torchtest.File(t, "service/web/page/csv.js"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := newPrinter("csv", &b, shown{columns: 3}).print(outcome{err: errors.New("x")}); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(b.String(), "\n")
	var columns []string
	for _, name := range regexp.MustCompile(`["`+"`"+`]([a-z_]+(?:\$\{i\})?)["`+"`"+`]`).FindAllStringSubmatch(string(script[bytes.Index(script, []byte("const names")):bytes.Index(script, []byte("const lines"))]), -1) {
		columns = append(columns, name[1])
	}
	var page []string
	for _, name := range columns {
		if !strings.Contains(name, "${i}") {
			page = append(page, `"`+name+`"`)
			continue
		}
		if name != "label_${i}" {
			continue // they come together
		}
		for _, i := range []string{"1", "2", "3"} {
			page = append(page, `"label_`+i+`"`, `"zh_`+i+`"`, `"percent_`+i+`"`)
		}
	}
	if got := strings.Join(page, ","); got != header || !bytes.Contains(script, []byte("const columns = 3;")) {
		t.Errorf("the page has %s, vidi classify %s", got, header)
	}
	if !bytes.Contains(script, []byte("[=+\\-@＝＋－＠]")) || !strings.Contains(formula.String(), `[=+\-@＝＋－＠]`) {
		t.Error("the page and vidi classify defuse different characters")
	}
}
