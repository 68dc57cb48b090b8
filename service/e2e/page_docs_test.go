package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The page that describes the API, in the looks of the other one: readable by everybody, at home in every width, and with
// nothing from elsewhere, which every test in a browser checks when it ends.
func TestDocsPage(t *testing.T) {
	script := axe(t)
	s := start(t, lite0).ready(t)
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			p := open(t, s.url, l)
			p.docs()
			p.inspect("whole", script)
			p.fits("whole")
			eval[any](p, `document.querySelectorAll("details").forEach((d) => { d.open = true; }), ""`)
			p.inspect("examples open", script)
			p.fits("examples open")
			want, words := "en vidi: the HTTP API", "Needs no key"
			if strings.HasPrefix(name, "zh") {
				want, words = "zh-CN vidi：HTTP API 文档", "也不需要密钥"
			}
			wantIn(t, "the page", p.text("main"), `"code": "unsupported_format"`, words)
			if state := eval[string](p, `document.documentElement.lang + " " + document.title`); state != want {
				t.Errorf("the page is %q", state)
			}
		})
	}
	t.Run("the language is the one chosen", func(t *testing.T) {
		p := open(t, s.url, desktop)
		p.click(`[data-language="zh"]`)
		p.docs()
		wantIn(t, "the Chinese page", p.text("h1"), "文档")
		p.follow(`.segments a[lang="en"]`)
		wantIn(t, "the English page", p.text("h1"), "The HTTP API")
		p.follow(`.segments a[lang="zh-CN"]`)
		wantIn(t, "the Chinese page again", p.text("h1"), "文档")
	})
	t.Run("narrow", func(t *testing.T) {
		p := open(t, s.url, look{language: "en-US", width: 280, height: 600, still: true, touch: true})
		p.docs()
		p.fits("280 pixels")
		p.click(`nav a[href="#errors"]`)
		p.wait("the errors", `document.querySelector("#errors").getBoundingClientRect().top < innerHeight`)
		wantIn(t, "the document", eval[string](p, `fetch(document.querySelector('a[href="openapi.yaml"]').href).then((r) => r.text())`), "openapi: 3.1")
	})
}

// docs goes on to the page that describes the API.
func (p *tab) docs() {
	p.t.Helper()
	p.follow("#docs")
	p.wait("the page", `document.querySelector("#schema-Problem") !== null`)
}

// follow goes where a link leads, and waits until the page is there.
func (p *tab) follow(link string) {
	p.t.Helper()
	p.run(chromedp.Navigate(eval[string](p, "document.querySelector(`"+link+"`).href")))
}
