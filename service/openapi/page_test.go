package openapi

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The page tells all that the document has: no operation, parameter, code or field is lost on the way.
func TestPageHasEverything(t *testing.T) {
	doc, err := parse(document)
	if err != nil {
		t.Fatal(err)
	}
	text := html.UnescapeString(string(Page(English)))
	want := func(what string) {
		t.Helper()
		if what == "" || !strings.Contains(text, what) {
			t.Errorf("the page has no %q", what)
		}
	}
	for _, path := range doc.get("paths").entries() {
		want(" " + path.key + "<")
	}
	codes, fields := 0, 0
	for _, e := range doc.path("components", "responses").entries() {
		for _, example := range e.value.path("content", "application/problem+json", "examples").entries() {
			want("<code>" + example.key + "</code>")
			want(example.value.path("value", "detail").text())
			codes++
		}
		for _, header := range e.value.get("headers").entries() {
			want("<code>" + header.key + "</code>")
		}
	}
	for _, group := range []string{"parameters", "securitySchemes"} {
		for _, e := range doc.path("components", group).entries() {
			want(html.UnescapeString(string(inline(e.value.get("description").text()))))
		}
	}
	for _, e := range doc.path("components", "schemas").entries() {
		for _, property := range e.value.get("properties").entries() {
			want("<code>" + property.key + "</code>")
			fields++
		}
	}
	if codes < 25 || fields < 40 {
		t.Errorf("the document was read in part: %d codes, %d fields", codes, fields)
	}
	want(`"error": null`) // an example, in the document's order
	want("\n  \"request_id\": \"ZOMJVZYD7RRAF6C3TNQQHRJ2X3\",\n  \"model\"")
}

// Every link leads to a place on the page or to a file beside it; nothing is of another host, and nothing runs.
func TestPageStandsAlone(t *testing.T) {
	for language := range pages {
		text := string(Page(language))
		if !strings.Contains(text, `<html lang="`+language+`"`) || strings.Count(text, "aria-current") != 1 {
			t.Errorf("%s: the page does not say its language", language)
		}
		var ids []string
		for _, match := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if slices.Contains(ids, match[1]) {
				t.Errorf("%s: the id %s is there twice", language, match[1])
			}
			ids = append(ids, match[1])
		}
		links := regexp.MustCompile(` (?:href|src)="([^"]*)"`).FindAllStringSubmatch(text, -1)
		if len(ids) < 30 || len(links) < 50 {
			t.Errorf("%s: %d ids, %d links", language, len(ids), len(links))
		}
		for _, match := range links {
			place, inPage := strings.CutPrefix(match[1], "#")
			if !slices.Contains(beside, match[1]) && !(inPage && slices.Contains(ids, place)) {
				t.Errorf("%s: a link leads to %q", language, match[1])
			}
		}
		for _, forbidden := range []string{"<script", " style=", "<style", "ZgotmplZ", "$ref", "%!"} {
			if strings.Contains(text, forbidden) {
				t.Errorf("%s: the page has %q", language, forbidden)
			}
		}
	}
	if Page("fr") != nil {
		t.Error("a page in a language that there is none in")
	}
}

// beside is where the page's links lead, other than to itself.
var beside = []string{"./", "?lang=en", "?lang=zh", "openapi.yaml", "web/icon.svg", "web/base.css", "web/controls.css", "web/docs.css"}

func TestProse(t *testing.T) {
	got := string(prose("a `<b>` & c\n\n    x < y\n    z\n\n[en`d`](#e)\n", inEnglish))
	if want := "<p>a <code>&lt;b&gt;</code> &amp; c</p>\n<pre tabindex=\"0\">x &lt; y\nz</pre>\n<p><a href=\"#e\">en<code>d</code></a></p>\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// What a reference or a merge leads to is read like what stands there itself.
func TestNodes(t *testing.T) {
	doc, err := parse([]byte("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3, z: 'null'}\nc: {$ref: '#/b'}\nd: [*a]\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "{\n  \"x\": 1,\n  \"y\": 3,\n  \"z\": \"null\"\n}"
	for _, name := range []string{"b", "c"} {
		if got := asJSON(doc.get(name)); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	if doc.get("c").name != "b" || doc.get("d").items()[0].get("y").text() != "2" || doc.path("no", "where").text() != "" {
		t.Errorf("names and items are lost")
	}
	for _, bad := range []string{"", "a: [", "a: *b"} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}
