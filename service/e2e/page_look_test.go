package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
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
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	half := put(t, t.TempDir(), "half.jpg", read(t, torchtest.File(t, "examples/palace.jpg"))[:90_000])
	s := start(t, lite0, "--addr=127.0.0.1:5000").ready(t) // the address that the code on the page shows
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			p := open(t, s.url, l)
			p.wait("the model", `document.querySelector("#about").textContent !== ""`)
			pictures := []string{torchtest.File(t, "examples/espresso.png")}
			if !l.touch {
				pictures = append(pictures, torchtest.File(t, "examples/cat.png"), torchtest.File(t, "examples/motorcycle.png"),
					torchtest.File(t, "examples/photographer.png"), torchtest.File(t, "examples/rocket.jpg"), half)
			}
			p.choose(pictures...)
			p.click("#classify")
			p.classified(len(pictures))
			p.shoot(filepath.Join(dir, name+".webp"))
		})
	}
}

// shoot writes a picture of the whole page, sharp enough for a fine screen and small enough for a repository.
func (p *tab) shoot(path string) {
	p.t.Helper()
	p.wait("pictures", `[...document.images].every((image) => image.complete)`)
	p.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 0, 0)) // nothing is hovered over
	size := eval[[2]float64](p, `document.activeElement.blur(), window.scrollTo(0, 0), [innerWidth, document.documentElement.scrollHeight]`)
	shot := call(p, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatWebp, Quality: new(int64(50)), CaptureBeyondViewport: new(true),
		Clip: &page.Viewport{Width: size[0], Height: size[1], Scale: 1.5},
	})
	if err := os.WriteFile(path, shot.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
