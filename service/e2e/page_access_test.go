package e2e

import (
	"archive/zip"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// press types one key.
func (p *tab) press(key string) {
	p.t.Helper()
	p.run(chromedp.KeyEvent(key))
}

// tabTo presses Tab until the element has the focus, and checks on the way that the focus can always be seen.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	for range 40 {
		p.press(kb.Tab)
		if eval[bool](p, `(() => {
			const at = document.activeElement;
			if (at === document.body) return false;
			const shown = at.matches(".unseen, .segments input") ? (at.nextElementSibling ?? at) : at;
			return getComputedStyle(shown).outlineStyle === "none" || parseFloat(getComputedStyle(shown).outlineWidth) < 2;
		})()`) {
			p.t.Errorf("the focus cannot be seen on %s", eval[string](p, "document.activeElement.outerHTML.slice(0, 200)"))
		}
		if eval[bool](p, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
	}
	p.t.Fatalf("Tab does not lead to %s", selector)
}

// A whole visit without a mouse.
func TestPageWorksByKeyboardAlone(t *testing.T) {
	s := start(t, lite0).ready(t)
	p := open(t, s.url, desktop)
	p.tabTo(`[data-language="zh"]`)
	p.press(" ")
	p.tabTo(`[data-language="en"]`)
	p.press(kb.Enter)
	p.tabTo("#choose")
	p.choose(torchtest.File(t, "examples/espresso.png")) // the system's own dialogue would open here
	p.tabTo(`[data-sample="cat.jpg"]`)
	p.press(kb.Enter)
	p.classified(1)
	p.tabTo("#classify")
	p.press(" ")
	p.classified(2)
	wantIn(t, "the card", p.card("espresso.png"), "espresso (浓缩咖啡)")
	p.tabTo("#filter")
	p.press("e") // the list's own way to choose: the first letter
	p.wait("the cat alone", `document.querySelectorAll(".card:not([hidden])").length === 1`)
	p.press(kb.Home)
	p.wait("both", `document.querySelectorAll(".card:not([hidden])").length === 2`)
	p.tabTo("#export")
	p.tabTo("#clear")
	p.tabTo(".remove")
	p.press(kb.Enter)
	p.wait("one card", `document.querySelectorAll(".card").length === 1`)
	p.tabTo(`input[name="code"]`)
	p.press(kb.ArrowRight)
	p.wait("the Go code", `document.querySelector("#snippet").textContent.includes("package main")`)
	p.tabTo("#copy")
	p.tabTo("#snippet")
	p.tabTo("summary")
	p.press(kb.Enter)
	p.wait("the credits", `document.querySelector("details").open`)
}

// axe is the accessibility checker's script, out of the package that `make test` fetches.
func axe(t *testing.T) string {
	t.Helper()
	packages, err := filepath.Glob(filepath.Join(filepath.Dir(torchtest.File(t, "go.mod")), "build", "axe", "*.whl"))
	if err != nil || len(packages) != 1 {
		missing(t, "build/axe does not hold axe-core; `make test-axe` fetches it")
	}
	archive, err := zip.OpenReader(packages[0])
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	file, err := archive.Open("axe_playwright_python/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	script, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// finding is one rule of axe that the page breaks.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// inspect runs axe in the present state of the page.
func (p *tab) inspect(state, script string) {
	p.t.Helper()
	eval[any](p, script+`; ""`)
	found := eval[[]finding](p, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations)`)
	for _, f := range found {
		var where []string
		for _, node := range f.Nodes {
			where = append(where, node.HTML+"\n    "+strings.ReplaceAll(node.FailureSummary, "\n", " "))
		}
		p.t.Errorf("%s: %s (%s): %s\n  %s", state, f.ID, f.Impact, f.Help, strings.Join(where, "\n  "))
	}
}

func TestPageKeepsNobodyOut(t *testing.T) {
	script := axe(t)
	s := start(t, lite0).ready(t)
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			p := open(t, s.url, l)
			p.wait("the model", `document.querySelector("#about").textContent !== ""`)
			p.inspect("empty", script)
			p.choose(torchtest.File(t, "examples/flower.jpg"), torchtest.File(t, "README.md"), torchtest.File(t, "build/fixtures/empty.pt"))
			p.inspect("waiting", script)
			p.click("#classify")
			p.classified(3)
			p.inspect("answered", script)
		})
	}
	t.Run("a checker that finds something", func(t *testing.T) {
		p := open(t, s.url, desktop)
		eval[any](p, script+`; document.querySelector("#filter").parentElement.replaceWith(document.querySelector("#filter")); document.querySelector("#gallery").hidden = false; ""`)
		if n := eval[int](p, `axe.run().then((r) => r.violations.length)`); n == 0 {
			t.Error("a list without a name, and the checker is content")
		}
	})
}

// Nothing sticks out of a narrow window, whatever the files are called.
func TestPageFitsEveryWidth(t *testing.T) {
	s := start(t, lite0).ready(t)
	long := put(t, t.TempDir(), strings.Repeat("long-", 40)+".jpg", read(t, torchtest.File(t, "examples/flower.jpg")))
	for _, width := range []int64{280, 320, 390, 540, 700, 768, 1024, 1920} {
		for _, language := range []string{"en-US", "zh-CN"} {
			t.Run(fmt.Sprint(language, width), func(t *testing.T) {
				p := open(t, s.url, look{language: language, width: width, height: 800, still: true, touch: width < 600})
				p.fits("empty")
				p.choose(long)
				p.fits("waiting")
				p.click("#classify")
				p.classified(1)
				p.fits("one")
				p.choose(torchtest.File(t, "examples/cat.png"), torchtest.File(t, "README.md"), torchtest.File(t, "examples/rocket.jpg"))
				p.click("#classify")
				p.classified(4)
				p.fits("several")
			})
		}
	}
}

func (p *tab) fits(state string) {
	p.t.Helper()
	if over := eval[float64](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		p.t.Errorf("%s: the page is %v pixels too wide", state, over)
	}
	// What people press must be where their finger finds it.
	for _, small := range eval[[]string](p, `[...document.querySelectorAll("button, select, label.button")].filter((e) => e.checkVisibility())
		.filter((e) => e.getBoundingClientRect().height < 24 || e.getBoundingClientRect().width < 24 || e.getBoundingClientRect().right > innerWidth)
		.map((e) => e.outerHTML.slice(0, 100))`) {
		p.t.Errorf("%s: too small, or out of sight: %s", state, small)
	}
}

// Who asked for less motion gets none.
func TestPageKeepsStillWhenAsked(t *testing.T) {
	s := start(t, lite0).ready(t)
	for still, want := range map[bool]string{true: "1e-05s", false: "0.5s"} {
		l := desktop
		l.still = still
		p := open(t, s.url, l)
		p.click(`[data-sample="cat.jpg"]`)
		p.classified(1)
		if took := eval[string](p, `getComputedStyle(document.querySelector(".fill")).animationDuration`); took != want {
			t.Errorf("reduced motion %v: the bars take %s", still, took)
		}
		// What a parent shows is shown with it, and not frames later: it has text, and can be focused.
		if seen := eval[string](p, `(() => {
			const style = getComputedStyle(document.querySelector(".fill"));
			document.body.style.visibility = "hidden";
			const hidden = style.visibility;
			document.body.style.visibility = "";
			return hidden + ", " + style.visibility;
		})()`); seen != "hidden, visible" {
			t.Errorf("reduced motion %v: in a page that is hidden and shown again the bars are %s", still, seen)
		}
	}
}
