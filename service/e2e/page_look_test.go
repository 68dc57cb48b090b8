package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// looks are the ways the page is looked at: each language on a phone and on a desk, by day and by night.
var looks = map[string]look{
	"zh-desktop-light": {language: "zh-CN", width: 1200, height: 900, still: true},
	"zh-desktop-dark":  {language: "zh-CN", width: 1200, height: 900, still: true, dark: true},
	"zh-phone-light":   {language: "zh-CN", width: 390, height: 844, still: true, touch: true},
	"zh-phone-dark":    {language: "zh-CN", width: 390, height: 844, still: true, touch: true, dark: true},
	"en-desktop-light": {language: "en-US", width: 1200, height: 900, still: true},
	"en-desktop-dark":  {language: "en-US", width: 1200, height: 900, still: true, dark: true},
	"en-phone-light":   {language: "en-US", width: 390, height: 844, still: true, touch: true},
	"en-phone-dark":    {language: "en-US", width: 390, height: 844, still: true, touch: true, dark: true},
}

// TestScreenshots writes docs/screenshots/ where VIDI_SCREENSHOTS names it: `make screenshots`.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("VIDI_SCREENSHOTS")
	if dir == "" {
		t.Skip("VIDI_SCREENSHOTS does not name a folder; `make screenshots` does")
	}
	s := start(t, lite0).ready(t)
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			p := open(t, s.url, l)
			p.wait("the model", `document.querySelector("#about").textContent !== ""`)
			p.shoot(filepath.Join(dir, name+"-start.png"))
			p.choose(torchtest.File(t, "examples/espresso.png"))
			p.click("#classify")
			p.classified(1)
			p.shoot(filepath.Join(dir, name+"-one.png"))
			p.choose(torchtest.File(t, "examples/cat.png"), torchtest.File(t, "examples/motorcycle.png"),
				torchtest.File(t, "examples/photographer.png"), torchtest.File(t, "examples/rocket.jpg"), torchtest.File(t, "README.md"))
			p.click("#classify")
			p.classified(6)
			p.shoot(filepath.Join(dir, name+"-results.png"))
		})
	}
}

// shoot writes a picture of the whole page.
func (p *tab) shoot(path string) {
	p.t.Helper()
	p.wait("pictures", `[...document.images].every((image) => image.complete)`)
	eval[any](p, `document.activeElement.blur(), window.scrollTo(0, 0), ""`)
	shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, shot, 0o644); err != nil {
		p.t.Fatal(err)
	}
	fmt.Println(path, len(shot))
}
