package model

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseLabels(t *testing.T) {
	for text, want := range map[string]string{
		"cat\ndog\n":                     "cat|dog",
		"cat\r\n dog \r\n\r\n":           "cat|dog",
		"\xef\xbb\xbfcat\ndog":           "cat|dog",
		"crane\nmaillot\ncrane\nmaillot": "crane|maillot|crane (2)|maillot (3)",
		`["cat", "dog"]`:                 "cat|dog",
		`{"1": "dog", "0": "cat"}`:       "cat|dog",
		`{"0": ["n02123045", "tabby"], "1": ["n02123159", "tiger cat"]}`:          "tabby n02123045|tiger cat n02123159",
		`{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}, "x": 1}`:     "cat|dog",
		"label\tzh\ncat\t猫\ndog\t狗\n":                                             "cat=猫|dog=狗",
		"class_id\twnid\ten\tzh\n0\tn1\tcat\t猫\n1\tn2\tdog\t\n":                   "cat n1=猫|dog n2",
		"<img src=x onerror=alert(1)>\n=1+1":                                      "<img src=x onerror=alert(1)>|=1+1",
		`[{"label": "cat", "names": {"en": "cat", "zh": "猫"}}, {"label": "dog"}]`: "cat=猫|dog",
		"猫\n狗": "猫|狗",
		`{"0": "a", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f", "10": "k", "6": "g", "7": "h", "8": "i", "9": "j"}`: "a|b|c|d|e|f|g|h|i|j|k",
	} {
		labels, err := ParseLabels([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for _, l := range labels {
			s := l.Label
			if l.WNID != "" {
				s += " " + l.WNID
			}
			if l.Names["zh"] != "" {
				s += "=" + l.Names["zh"]
			}
			got = append(got, s)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, want %q", text, strings.Join(got, "|"), want)
		}
	}
}

func TestParseLabelsRefusesWithTheReason(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "is empty",
		" \n ":                     "is empty",
		"cat\n\ndog":               "class 1 is empty",
		"cat\n\x1b[2Jdog":          "control character",
		strings.Repeat("x", 10000): "10000 characters",
		"\xff\xfec\x00a\x00t\x00":  "UTF-8",
		`["cat", 7]`:               "entry 1",
		`["cat"`:                   "not valid JSON",
		`{"cat": 0, "dog": 1}`:     "not a class number",
		`{"1": "cat", "2": "dog"}`: "0 to 1",
		"cat\t猫\ndog\t狗":           "first line must name them",
		"class_id\ten\n1\tcat\n":   "class_id is \"1\" where 0 is due",
		`{"0": {"a": 1}}`:          "is not a name",
	} {
		if labels, err := ParseLabels([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: want %q in: %v (%v)", text, want, err, labels)
		}
	}
}

func TestReadLabels(t *testing.T) {
	if _, err := ReadLabels(filepath.Join(t.TempDir(), "none.txt")); err == nil || !strings.Contains(err.Error(), "none.txt") {
		t.Errorf("missing: %v", err)
	}
	big := filepath.Join(t.TempDir(), "big.txt")
	if err := os.WriteFile(big, make([]byte, maxLabelsBytes+1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLabels(big); err == nil || !strings.Contains(err.Error(), "17 MB") {
		t.Errorf("big: %v", err)
	}
	labels, err := ReadLabels("imagenet.tsv")
	if err != nil || len(labels) != 1000 || labels[970].Names["zh"] != "高山" {
		t.Errorf("our own table: %d labels, %v", len(labels), err)
	}
}

func FuzzParseLabels(f *testing.F) {
	for _, text := range []string{"cat\ndog", `["cat"]`, `{"0": ["n1", "cat"]}`, "label\tzh\ncat\t猫"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := ParseLabels(data)
		if err != nil {
			return
		}
		for _, l := range labels {
			if l.check() != nil {
				t.Errorf("%q was accepted", l)
			}
		}
	})
}
