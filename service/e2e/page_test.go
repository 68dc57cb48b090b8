package e2e

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// put writes a file under name into a folder of the test's, and returns its path.
func put(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantIn(t *testing.T, where, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q:\n%s", where, want, text)
		}
	}
}

func TestPageAnswersAChosenPicture(t *testing.T) {
	s := start(t, lite0).ready(t)
	p := open(t, s.url, desktop)
	p.wait("the limit", `document.querySelector("#advice").textContent.includes("20")`)
	wantIn(t, "the page", p.text("main"), "What is in the picture?", "nowhere else, and are not kept", "at least 224 × 224", "up to 20 MiB")
	if !eval[bool](p, `document.querySelector("#classify").disabled && document.querySelector("#gallery").hidden`) {
		t.Error("an empty page offers to classify nothing")
	}
	p.choose(torchtest.File(t, "examples/espresso.png"))
	wantIn(t, "the card", p.card("espresso.png"), "waiting")
	if button := eval[string](p, `document.querySelector("#classify").textContent`); button != "🔍 Classify" {
		t.Errorf("the button says %q", button)
	}
	if n := p.sent("POST", ""); n != 0 {
		t.Errorf("%d pictures were sent before anybody asked for it", n)
	}
	p.click("#classify")
	p.classified(1)
	wantIn(t, "the card", p.card("espresso.png"), "espresso (浓缩咖啡)", "95.7 %", "cup (茶杯)", "1.4 %", "consomme", "600 × 400 · PNG · ", " ms")
	if width := eval[string](p, `document.querySelector(".fill").style.width`); width != "95.7%" {
		t.Errorf("the bar is %s wide", width)
	}
	wantIn(t, "what a screen reader hears", p.text("#announcer"), "espresso.png: espresso (浓缩咖啡) 95.7 %, cup")
	if n := p.sent("POST", "api/v1/predict"); n != 1 {
		t.Errorf("%d requests for one picture", n)
	}
	if cookies := eval[string](p, "document.cookie"); cookies != "" {
		t.Errorf("cookies: %s", cookies)
	}
}

// A cat whose breed is doubtful is a cat; a cup that is sure needs no group; and the operator's tags are there, in both languages.
func TestPageShowsGroupsAndTags(t *testing.T) {
	s := start(t, lite0, "--rules", put(t, t.TempDir(), "rules.yaml", []byte(petRules))).ready(t)
	p := open(t, s.url, desktop)
	p.choose(torchtest.File(t, "examples/cat.png"), torchtest.File(t, "examples/espresso.png"))
	p.click("#classify")
	p.classified(2)
	wantIn(t, "the cat", p.card("cat.png"), "All in all: cat (猫) 92.", "宠物 → notify", "cat, dog (猫、狗) 92.", "≥ 50 %", " and brightness (亮度)")
	cup := p.card("espresso.png")
	wantIn(t, "the cup", cup, "espresso (浓缩咖啡)", "cup", "≥ 50 %")
	if strings.Contains(cup, "All in all") {
		t.Errorf("a sure answer has a group beside it:\n%s", cup)
	}
	p.inspect("with tags", axe(t))
	p.click(`[data-language="zh"]`)
	wantIn(t, "the cat in Chinese", p.card("cat.png"), "总的来看：猫 (cat) 92.", "猫、狗 (cat, dog)", "，且 亮度")
	rows := p.export()
	if rows[0][14] != "tags" || rows[1][14]+rows[2][14] != "宠物cup" && rows[1][14]+rows[2][14] != "cup宠物" {
		t.Errorf("the exported tags are %q and %q", rows[1], rows[2])
	}
}

// Where neither the name nor its group is sure, the page says the top-level group.
func TestPageShowsTheTopLevelGroup(t *testing.T) {
	p := open(t, start(t, lite0).ready(t).url, desktop)
	p.choose(filepath.Join(shared(t, "photos/sample"), "n02123159_tiger_cat.JPEG")) // a cat for 45 %
	p.click("#classify")
	p.classified(1)
	wantIn(t, "the cat", p.card("n02123159_tiger_cat.JPEG"), "All in all: animal (动物) 8")
	p.click(`[data-language="zh"]`)
	wantIn(t, "the cat in Chinese", p.card("n02123159_tiger_cat.JPEG"), "总的来看：动物 (animal) 8")
}

// Every format goes through, a bad file beside them fails alone, and what the browser cannot show has a placeholder.
func TestPageTakesEveryFormatAndABadOne(t *testing.T) {
	dir := t.TempDir()
	cup := read(t, torchtest.File(t, "examples/espresso.png"))
	decoded, err := png.Decode(bytes.NewReader(cup))
	if err != nil {
		t.Fatal(err)
	}
	var asTIFF, asBMP bytes.Buffer
	if err := tiff.Encode(&asTIFF, decoded, nil); err != nil {
		t.Fatal(err)
	}
	if err := bmp.Encode(&asBMP, decoded); err != nil {
		t.Fatal(err)
	}
	rocket := read(t, torchtest.File(t, "examples/rocket.jpg"))
	s := start(t, lite0).ready(t)
	p := open(t, s.url, desktop)
	p.choose(
		put(t, dir, "cup.png", cup), put(t, dir, "cup.tiff", asTIFF.Bytes()), put(t, dir, "cup.bmp", asBMP.Bytes()), put(t, dir, "rocket.jpg", rocket),
		put(t, dir, "half.jpg", rocket[:40000]), put(t, dir, "empty.png", nil), put(t, dir, "notes.json", []byte(`{"image": "x"}`)),
	)
	wantIn(t, "the count", p.text("#count"), "7 pictures to classify")
	p.click("#classify")
	p.classified(7)
	for _, name := range []string{"cup.png", "cup.tiff", "cup.bmp"} {
		wantIn(t, name, p.card(name), "espresso (浓缩咖啡)", "95.7 %")
	}
	wantIn(t, "the TIFF", p.card("cup.tiff"), "TIFF", "no preview")
	wantIn(t, "the rocket", p.card("rocket.jpg"), "missile")
	wantIn(t, "half a file", p.card("half.jpg"), "The file is damaged or cut short")
	wantIn(t, "an empty file", p.card("empty.png"), "The file is empty")
	wantIn(t, "no picture", p.card("notes.json"), "Not a picture that vidi reads")
	wantIn(t, "the count", p.text("#count"), "4 pictures classified, 3 failed")
	wantIn(t, "what a screen reader hears", p.text("#announcer"), "4 pictures classified, 3 failed")
	if n := p.sent("POST", "api/v1/predict"); n != 7 {
		t.Errorf("%d requests for 7 pictures", n)
	}
}

func TestPageSaysWhatIsWrongWithSmallPictures(t *testing.T) {
	s := start(t, lite0).ready(t)
	var small bytes.Buffer
	if err := png.Encode(&small, smallPicture()); err != nil {
		t.Fatal(err)
	}
	p := open(t, s.url, desktop)
	p.choose(put(t, t.TempDir(), "small.png", small.Bytes()))
	p.click("#classify")
	p.classified(1)
	wantIn(t, "the card", p.card("small.png"), "Small picture (60 × 40)", "At least 224 × 224 pixels")
}

// A drop carries files and folders; of a folder only what is named like a picture is taken.
func TestPageTakesDropsAndPastes(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "album")
	if err := os.MkdirAll(filepath.Join(folder, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	cat := read(t, torchtest.File(t, "examples/cat.png"))
	put(t, folder, "diary.txt", []byte("dear"))
	put(t, filepath.Join(folder, "inner"), "in-album.png", cat)
	if err := os.Symlink("nowhere", filepath.Join(folder, "a-broken.png")); err != nil { // what cannot be read does not keep the rest out
		t.Fatal(err)
	}
	s := start(t, lite0).ready(t)
	p := open(t, s.url, desktop)
	p.drop(20, 500, put(t, dir, "a.png", cat)) // beside the zone
	p.wait("the dropped file", `document.querySelectorAll(".card").length === 1`)
	p.drop(600, 200, put(t, dir, "b.png", cat), folder)
	p.wait("the dropped folder", `document.querySelectorAll(".card").length === 3`)
	eval[any](p, fmt.Sprintf(`fetch(%q).then((r) => r.blob()).then((blob) => {
		const data = new DataTransfer();
		data.items.add(new File([blob], "image.png", { type: "image/png" }));
		document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
		return "";
	})`, p.url+"web/samples/cat.jpg"))
	p.wait("the pasted picture", `document.querySelectorAll(".card").length === 4`)
	p.click("#classify")
	p.classified(4)
	for _, name := range []string{"a.png", "b.png", "in-album.png", "image.png"} {
		wantIn(t, name, p.card(name), "tiger cat", "Egyptian cat")
	}
	if eval[bool](p, `document.querySelector("#drop").classList.contains("hover")`) {
		t.Error("the zone still waits for the drop")
	}
}

// drop drags files over the page and lets go of them at a place.
func (p *tab) drop(x, y float64, files ...string) {
	p.t.Helper()
	data := &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		call(p, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: x, Y: y, Data: data})
	}
}

func TestPageSamplesNeedOneClick(t *testing.T) {
	s := start(t, lite0).ready(t)
	p := open(t, s.url, desktop)
	for n, want := range []struct{ file, name string }{{"cat.jpg", "Egyptian cat"}, {"espresso.jpg", "espresso"}, {"motorcycle.jpg", "moped"}, {"photographer.jpg", "tripod"}} {
		p.click(`[data-sample="` + want.file + `"]`)
		p.classified(n + 1)
		card := p.card(want.file)
		wantIn(t, want.file, card, want.name)
		if strings.Contains(card, "Small picture") {
			t.Errorf("%s is too small: %s", want.file, card)
		}
	}
	p.click("summary")
	wantIn(t, "the credits", p.text("footer"), "Stefan van der Walt", "Rachel Michetti", "Middlebury", "Lav Varshney")
}

// Names from anywhere are shown as what they are, and run nowhere: not in the page, not in a shell, not in a spreadsheet.
func TestPageShowsHostileNamesAsText(t *testing.T) {
	dir := t.TempDir()
	data := read(t, torchtest.File(t, "examples/flower.jpg"))
	names := []string{
		`<img src=x onerror=alert(1)>.png`, `"><script>alert(1)<&script>.jpg`, `'; touch pwned; '.png`, `$(touch pwned).png`,
		`=cmd|' &C calc'!A0.png`, "\u202egpj.exe.png", "a;=1+1.png", "line\nbreak.png", "-.png", `{name} ${alert(1)}.gif`,
	}
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/hostile_labels.pt")).ready(t)
	for _, language := range []string{"en-US", "zh-CN"} {
		t.Run(language, func(t *testing.T) {
			l := desktop
			l.language = language
			p := open(t, s.url, l)
			var files []string
			for _, name := range names {
				files = append(files, put(t, dir, name, data))
			}
			p.choose(files...)
			p.click("#classify")
			p.classified(len(names))
			for _, name := range names {
				shown := strings.ReplaceAll(name, "\n", " ")
				if shown != name {
					continue // a line break is shown as a blank, and the file is looked for by its text below
				}
				if card := p.card(name); !strings.Contains(card, `<img src=x onerror=alert(1)>`) || !strings.Contains(card, `javascript:alert(1)`) && !strings.Contains(card, "HYPERLINK") {
					t.Errorf("%q: the labels are not shown as they are:\n%s", name, card)
				}
			}
			if n := eval[int](p, `document.querySelectorAll("main img:not(.card img):not(.samples img), script:not([type=module]), [onerror]").length`); n != 0 {
				t.Errorf("%d elements came out of names", n)
			}
			for _, language := range []string{"go", "python", "curl"} {
				eval[any](p, fmt.Sprintf(`document.querySelector("input[value=%s]").click(), ""`, language))
				if code := p.text("#snippet"); strings.Contains(code, "touch") || strings.Contains(code, "<") && language == "curl" || strings.Contains(code, "\u202e") {
					t.Errorf("the %s code has a name that could do something: %s", language, code)
				}
			}
			for _, row := range p.export()[1:] {
				for _, cell := range row {
					if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") || strings.Contains(cell, ";=") {
						t.Errorf("a spreadsheet would run %q", cell)
					}
				}
			}
		})
	}
}

func TestPageRefusesLargePicturesItself(t *testing.T) {
	s := start(t, lite0, "--max-body=100KiB").ready(t)
	p := open(t, s.url, desktop)
	p.wait("the limit", `document.querySelector("#advice").textContent.includes("100")`)
	p.choose(torchtest.File(t, "examples/espresso.png"), torchtest.File(t, "service/web/page/samples/cat.jpg"))
	wantIn(t, "the card", p.card("espresso.png"), "too large: 456 KiB", "up to 100 KiB")
	p.click("#classify")
	p.classified(2)
	wantIn(t, "the other", p.card("cat.jpg"), "Egyptian cat")
	if n := p.sent("POST", ""); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestPageSpeaksBothLanguages(t *testing.T) {
	s := start(t, lite0).ready(t)
	l := desktop
	l.language = "zh-CN"
	p := open(t, s.url, l)
	wantIn(t, "the page", p.text("body"), "图里有什么？", "🔍", "开始识别", "选择图片", "不会去别处，也不会被保存", "224 × 224")
	p.click(`[data-sample="espresso.jpg"]`)
	p.classified(1)
	wantIn(t, "the card", p.card("espresso.jpg"), "浓缩咖啡 (espresso)", "毫秒")
	if state := eval[string](p, `document.documentElement.lang + document.title`); state != "zh-CNvidi：图里有什么？" {
		t.Error(state)
	}
	p.click(`[data-language="en"]`)
	wantIn(t, "the card", p.card("espresso.jpg"), "espresso (浓缩咖啡)", " ms")
	wantIn(t, "the page", p.text("body"), "Model: efficientnet-lite0", "Export CSV")
	if rest := eval[string](p, `document.body.innerText.replaceAll(/\(?[\u4e00-\u9fff]+\)/g, "").replace("中文", "").match(/[\u4e00-\u9fff]+/)?.[0] ?? ""`); rest != "" {
		t.Errorf("Chinese is left in the English page: %s", rest)
	}
	p.run(chromedp.Reload())
	p.wait("the page", `document.documentElement.classList.contains("live")`)
	if state := eval[string](p, `document.documentElement.lang + document.title`); state != "envidi: what is in the picture?" {
		t.Errorf("after a reload: %s", state)
	}
}

func TestPageDoesWithoutStorage(t *testing.T) {
	s := start(t, lite0).ready(t)
	l := desktop
	l.language = "zh-CN"
	l.before = `Object.defineProperty(window, "localStorage", { get() { throw new DOMException("no", "SecurityError"); } });`
	p := open(t, s.url, l)
	wantIn(t, "the page", p.text("h1"), "图里有什么？")
	p.click(`[data-language="en"]`)
	wantIn(t, "the page", p.text("h1"), "What is in the picture?")
}

// Pictures come out of the memory of the browser when they are removed, and their place is taken by the next.
func TestPageForgetsPictures(t *testing.T) {
	s := start(t, lite0).ready(t)
	l := desktop
	l.before = `window.urls = 0;
		for (const [name, by] of [["createObjectURL", 1], ["revokeObjectURL", -1]]) {
			const original = URL[name];
			URL[name] = (value) => { window.urls += by; return original.call(URL, value); };
		}`
	p := open(t, s.url, l)
	p.choose(torchtest.File(t, "examples/cat.png"), torchtest.File(t, "examples/rocket.jpg"), torchtest.File(t, "examples/espresso.png"))
	p.click(`.card:nth-child(2) .remove`)
	p.wait("two pictures", `document.querySelectorAll(".card").length === 2`)
	if focused := eval[string](p, `document.activeElement.getAttribute("aria-label")`); focused != "Remove espresso.png" {
		t.Errorf("the focus went to %q", focused)
	}
	p.click("#classify")
	p.classified(2)
	p.click("#clear")
	if left := eval[int](p, `document.querySelectorAll(".card").length + window.urls`); left != 0 {
		t.Errorf("%d cards and pictures are left", left)
	}
	wantIn(t, "the empty page", p.text("main"), "What is in the picture?")
}
