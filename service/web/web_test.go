package web

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryFileHasATypeAndATag(t *testing.T) {
	seen := map[string]string{}
	for _, name := range append(Names(), StatsNames()...) {
		f, ok := FindStats(name)
		if !ok || f.Type == "" || len(f.Data) == 0 || len(f.ETag) != 34 {
			t.Errorf("%s: %q %q, %d bytes", name, f.Type, f.ETag, len(f.Data))
		}
		if seen[f.ETag] != "" {
			t.Errorf("%s has the tag of %s", name, seen[f.ETag])
		}
		seen[f.ETag] = name
	}
	for _, name := range []string{"", ".", "samples", "../web.go", "page/index.html", "/index.html", "stats/stats.js"} {
		if _, ok := FindStats(name); ok {
			t.Errorf("%q was found", name)
		}
	}
	for _, name := range StatsNames() {
		if _, ok := Find(name); ok {
			t.Errorf("%s, which is for operators, is public", name)
		}
	}
}

// What could run a text as code, or fetch from elsewhere, is not used at all, so that nobody has to judge each use.
func TestNothingParsesTextOrLeavesTheServer(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|cookie|` +
		`@import|//[a-z0-9.-]+\.[a-z]{2,}/`)
	inline := regexp.MustCompile(`<style|\sstyle=|\son[a-z]+=|<script>`) // the policy would block it
	small := 0
	for _, name := range append(Names(), StatsNames()...) {
		f, _ := FindStats(name)
		if !strings.HasPrefix(f.Type, "text/") && !strings.HasPrefix(f.Type, "image/svg") {
			small += len(f.Data)
			continue
		}
		text := strings.ReplaceAll(string(f.Data), `xmlns="http://www.w3.org/2000/svg"`, "")
		text = strings.ReplaceAll(text, `"http://www.w3.org/2000/svg"`, "")
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		if found := inline.FindString(text); found != "" && (name == Index || name == StatsIndex) {
			t.Errorf("%s has %q", name, found)
		}
	}
	if small > 200_000 {
		t.Errorf("the sample photographs take %d bytes", small)
	}
}

// The two languages have the same words, so that none falls back to its key.
func TestBothLanguagesHaveTheSameWords(t *testing.T) {
	keys := func(name string) []string {
		f, _ := FindStats(name)
		var keys []string
		for _, match := range regexp.MustCompile(`(?m)^\s+"?([a-z0-9_.]+)"?:`).FindAllSubmatch(f.Data, -1) {
			keys = append(keys, string(match[1]))
		}
		slices.Sort(keys)
		return keys
	}
	for _, of := range []string{"words.", "stats.words."} {
		en, zh := keys(of+"en.js"), keys(of+"zh.js")
		if len(en) < 40 || !slices.Equal(en, zh) {
			t.Errorf("%s: the words differ:\n%v\n%v", of, en, zh)
		}
	}
}
