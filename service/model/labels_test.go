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
		"0 tench\n1 goldfish, Carassius auratus\n":                   "tench|goldfish, Carassius auratus",
		"0: tench\n1: goldfish":                                      "tench|goldfish",
		"1,tench\n2,goldfish":                                        "tench|goldfish",
		"0;tench\r\n1;\"goldfish; red\"\r\n":                         "tench|goldfish; red",
		"0\ttench\n1\tgoldfish":                                      "tench|goldfish",
		"2) shark\n0) tench\n1) goldfish":                            "tench|goldfish|shark",
		"0 - zero\n1 - one":                                          "zero|one",
		"n01440764 tench, Tinca tinca\nn01443537 goldfish":           "tench, Tinca tinca n01440764|goldfish n01443537",
		"0 n01440764 tench\n1 n01443537 goldfish":                    "tench n01440764|goldfish n01443537",
		"n01440764\ttench\nn01443537\tgoldfish":                      "tench n01440764|goldfish n01443537",
		"1 euro\n2 euro":                                             "1 euro|2 euro",
		"50 euro\n10 euro":                                           "50 euro|10 euro",
		"7 segment display\nlamp":                                    "7 segment display|lamp",
		"0\n1\n2":                                                    "0|1|2",
		"tench, Tinca tinca\ngoldfish":                               "tench, Tinca tinca|goldfish",
		"\xef\xbb\xbfclass_id;label;zh\r\n0;\"cat; tame\";猫\n1;dog;": "cat; tame=猫|dog",
		"index,name\n0,cat\n1,\"dog, large\"":                        "cat|dog, large",
		`{"cat": 0, "dog": 1}`:                                       "cat|dog",
		`{"class_to_idx": {"dog": 1, "cat": 0}}`:                     "cat|dog",
		`{"0": 1, "1": 0}`:                                           "1|0",
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
		"":                          "is empty",
		" \n ":                      "is empty",
		"cat\n\ndog":                "class 1 is empty",
		"cat\n\x1b[2Jdog":           "control character",
		strings.Repeat("x", 10000):  "10000 characters",
		"\xff\xfec\x00a\x00t\x00":   "UTF-8",
		`["cat", 7]`:                "entry 1",
		`["cat"`:                    "not valid JSON",
		`{"cat": "0"}`:              "not a class number",
		`{"cat": 0, "dog": 0}`:      "the same class number",
		`{"cat": 1, "dog": 2}`:      "0 to 1",
		"id;label\n0;\"cat":         "cannot be told apart",
		"0\tcat\n1\tdog\tbig\n5\tx": "first line must name them",
		`{"1": "cat", "2": "dog"}`:  "0 to 1",
		"cat\t猫\ndog\t狗":            "first line must name them",
		"class_id\ten\n1\tcat\n":    "class_id is \"1\" where 0 is due",
		`{"0": {"a": 1}}`:           "is not a name",
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
	for _, text := range []string{"cat\ndog", `["cat"]`, `{"0": ["n1", "cat"]}`, "label\tzh\ncat\t猫", "0 cat\n1 dog", "1;\"a\"", "n00000001 a", `{"a": 0}`} {
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
