package openapi

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whatever the page says in English it says in Chinese, and page.zh.yaml has nothing that the page does not say.
func TestPageIsChineseThroughout(t *testing.T) {
	p, err := read(document)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	if _, err := render(p, English, func(english string) string {
		said[oneLine(english)] = true
		return english
	}); err != nil {
		t.Fatal(err)
	}
	delete(said, "")
	if len(said) < 100 {
		t.Errorf("the page says %d texts", len(said))
	}
	list, err := translations()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, e := range list {
		if known[e.En] {
			t.Errorf("page.zh.yaml has %q twice", e.En)
		}
		if !said[e.En] {
			t.Errorf("page.zh.yaml has %q, which the page does not say (any more)", e.En)
		}
		known[e.En] = true
	}
	for text := range said {
		if !known[text] {
			t.Errorf("page.zh.yaml lacks %q", text)
		}
	}
}

// What is not language is the same in both: code, the addresses of links, and the places that something is put into.
func TestTranslationsKeepWhatIsNotLanguage(t *testing.T) {
	list, err := translations()
	if err != nil {
		t.Fatal(err)
	}
	kept := regexp.MustCompile("`[^`]+`|\\]\\([^)]+\\)|%.")
	for _, e := range list {
		en, zh := kept.FindAllString(e.En, -1), kept.FindAllString(e.Zh, -1)
		slices.Sort(en)
		slices.Sort(zh)
		if e.Zh == "" || e.Zh == e.En || !slices.Equal(slices.Compact(en), slices.Compact(zh)) {
			t.Errorf("%q has %q; %q has %q", e.En, en, e.Zh, zh)
		}
	}
}

// Chinese has punctuation of its own, and a blank between its letters and Latin ones. Checked on the page, where texts have
// been put into one another.
func TestPageIsSetInChinese(t *testing.T) {
	text := string(Page(Chinese))
	text = regexp.MustCompile(`(?s)<pre.*?</pre>| lang="en">[^<]*`).ReplaceAllString(text, "") // JSON, and what the server says
	text = html.UnescapeString(regexp.MustCompile(`</?(?:code|a|span|abbr)[^>]*>`).ReplaceAllString(text, ""))
	for _, wrong := range []string{`\p{Han}[A-Za-z0-9]`, `[A-Za-z0-9]\p{Han}`, `\p{Han} *[,.;:?!()]`, `[,;:?!()] *\p{Han}`, `[，。；：？！（）、] | [，。；：？！（）、]`} {
		for _, found := range regexp.MustCompile(`.{0,20}(?:`+wrong+`).{0,20}`).FindAllString(text, -1) {
			t.Errorf("%s: %q", wrong, found)
		}
	}
	if n := len(regexp.MustCompile(`\p{Han}`).FindAllString(text, -1)); n < 1500 {
		t.Errorf("the page has %d Chinese letters", n)
	}
	if !strings.Contains(text, "整数") {
		t.Error("the kinds of values are not in Chinese")
	}
}
