package e2e

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func smallPicture() image.Image { return image.NewRGBA(image.Rect(0, 0, 60, 40)) }

// export presses the button, and returns the rows of the file that the browser saved.
func (p *tab) export() [][]string {
	p.t.Helper()
	dir := p.t.TempDir()
	_, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.click("#export")
	path := filepath.Join(dir, "vidi.csv")
	waitFor(p.t, path, func() bool { // the browser reserves the name with an empty file, and puts the finished one in its place
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	})
	data, ok := bytes.CutPrefix(read(p.t, path), []byte("\xef\xbb\xbf"))
	if !ok {
		p.t.Error("Excel would not see that the file is UTF-8")
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		p.t.Fatalf("%v:\n%s", err, data)
	}
	return rows
}

func TestPageFiltersAndExports(t *testing.T) {
	dir := t.TempDir()
	cup := read(t, torchtest.File(t, "examples/espresso.png"))
	s := start(t, lite0).ready(t)
	p := open(t, s.url, desktop)
	p.choose(put(t, dir, "one.png", cup), put(t, dir, "two, too.png", cup), torchtest.File(t, "examples/cat.png"), torchtest.File(t, "README.md"))
	p.click("#classify")
	p.classified(4)
	if options := eval[string](p, `[...document.querySelector("#filter").options].map((o) => o.text).join("|")`); options != "all (4)|espresso (2)|tiger cat (1)|failed (1)" {
		t.Errorf("the filter offers %s", options)
	}
	rows := p.export()
	if len(rows) != 5 || strings.Join(rows[0], ",") != "file,width,height,format,model,label_1,zh_1,percent_1,label_2,zh_2,percent_2,label_3,zh_3,percent_3,tags,warnings,error" {
		t.Fatalf("%q", rows)
	}
	byName := map[string]string{}
	for _, row := range rows[1:] {
		byName[row[0]] = strings.Join(row[1:], "|")
	}
	for name, want := range map[string]string{
		"one.png":      "600|400|png|efficientnet-lite0|espresso|浓缩咖啡|95.7|cup|茶杯|1.4|consomme|清汤|0.7|||",
		"two, too.png": "600|400|png|efficientnet-lite0|espresso|浓缩咖啡|95.7|cup|茶杯|1.4|consomme|清汤|0.7|||",
		"README.md":    "|||||||||||||||unsupported_format",
	} {
		if byName[name] != want {
			t.Errorf("%s: %s", name, byName[name])
		}
	}
	p.filter("espresso (2)")
	if n := eval[int](p, `document.querySelectorAll(".card:not([hidden])").length`); n != 2 {
		t.Errorf("%d espressos are shown", n)
	}
	if rows := p.export(); len(rows) != 3 {
		t.Errorf("what is not shown was exported: %q", rows)
	}
	p.filter("failed (1)")
	if shown := eval[string](p, `document.querySelector(".card:not([hidden]) .file").textContent`); shown != "README.md" {
		t.Errorf("failed: %s", shown)
	}
	p.click(`[data-language="zh"]`) // the choice survives
	if shown := eval[string](p, `document.querySelector("#filter").selectedOptions[0].text`); shown != "识别失败（1）" {
		t.Errorf("in Chinese: %s", shown)
	}
}

// filter chooses from the list as a person does.
func (p *tab) filter(text string) {
	p.t.Helper()
	eval[any](p, fmt.Sprintf(`(() => {
		const filter = document.querySelector("#filter");
		filter.value = [...filter.options].find((option) => option.text === %q).value;
		filter.dispatchEvent(new Event("change"));
		return "";
	})()`, text))
}

// The code of the page, copied and run, gives the answer of the page.
func TestPageCodeRuns(t *testing.T) {
	dir := t.TempDir()
	s := start(t, lite0).ready(t)
	for kind, before := range map[string]string{
		"with the clipboard": `window.copied = ""; Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.copied = text; } } });`,
		// Plain http on another machine's address: the API is absent, and only the old way is left.
		"without": `Object.defineProperty(navigator, "clipboard", { value: undefined });
			window.copied = ""; document.addEventListener("copy", () => { window.copied = getSelection().toString() || document.activeElement.value; });`,
	} {
		t.Run(kind, func(t *testing.T) {
			l := desktop
			l.before = before
			p := open(t, s.url, l)
			p.choose(put(t, dir, "it's a (cup).png", read(t, torchtest.File(t, "examples/espresso.png"))), put(t, dir, "a cup.png", read(t, torchtest.File(t, "examples/espresso.png"))))
			p.click(".card:nth-child(1) .remove") // a name with a quote would be replaced, and this runs the code as it is
			p.click("#classify")
			p.classified(1)
			for language, run := range map[string]func(code string) *exec.Cmd{
				"curl":   func(code string) *exec.Cmd { return exec.Command("sh", "-c", code) },
				"python": func(code string) *exec.Cmd { return exec.Command("python3", "-c", code) },
				"go":     func(code string) *exec.Cmd { return exec.Command("go", "run", put(t, dir, "main.go", []byte(code))) },
			} {
				p.click(`label:has(input[value="` + language + `"])`)
				p.click("#copy")
				p.wait("the copy", `document.querySelector("#copy").textContent === "Copied"`)
				code := eval[string](p, "window.copied")
				if code != eval[string](p, `document.querySelector("#snippet").textContent`) {
					t.Errorf("%s: copied is %q", language, code)
				}
				p.wait("the button's own word", `document.querySelector("#copy").textContent === "Copy"`)
				if kind == "without" {
					continue // run once is enough
				}
				cmd := run(code)
				cmd.Dir = dir
				if output, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(output), "espresso") || !strings.Contains(string(output), "95.7") {
					t.Errorf("%s: %v\n%s\n%s", language, err, output, code)
				}
			}
		})
	}
}
