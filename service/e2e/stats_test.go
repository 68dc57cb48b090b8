package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// underLoad keeps clients at work until the test ends, with good pictures and some bad ones.
func underLoad(t *testing.T, s *server, clients int) {
	t.Helper()
	stop := make(chan struct{})
	var all sync.WaitGroup
	bodies := [][]byte{
		read(t, torchtest.File(t, "examples/flower.jpg")), read(t, torchtest.File(t, "examples/cat.png")),
		read(t, torchtest.File(t, "examples/palace.jpg")), read(t, torchtest.File(t, "examples/espresso.png")),
		read(t, torchtest.File(t, "examples/rocket.jpg")), []byte("this is a text, and no picture at all"),
	}
	for c := range clients {
		all.Go(func() {
			for i := c; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s.post(t, "application/octet-stream", bodies[i%len(bodies)])
				time.Sleep(time.Duration(20+(i*37)%160) * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		all.Wait()
	})
}

// The figures and the charts move while requests come in, in both languages.
func TestStatsPageMovesUnderLoad(t *testing.T) {
	s, admin := startAdmin(t, lite0)
	p := open(t, admin, desktop)
	p.wait("figures", `document.querySelectorAll(".tile").length === 6`)
	wantIn(t, "the page", p.text("main"), "The last minutes", "ready", "efficientnet-lite0 1 (fp32)", "Requests per second", "Memory")
	if got := p.text("#tile_errors .figure"); got != "–" {
		t.Errorf("errors without a request: %q", got)
	}
	underLoad(t, s, 4)
	p.wait("requests", `parseFloat(document.querySelector("#tile_rate .figure").textContent) > 0.5`)
	p.wait("percentiles", `/\d/.test(document.querySelector("#tile_p50 .figure").textContent) && /\d/.test(document.querySelector("#chart-latency .p99 .value").textContent)`)
	path := `document.querySelector("#chart-requests path.answered").getAttribute("d")`
	before := eval[string](p, path)
	p.wait("a chart that moves", path+` !== `+quoted(before))
	p.wait("errors", `/[1-9]/.test(document.querySelector("#tile_errors .figure").textContent)`)
	for _, chart := range []string{"requests", "latency", "stages", "memory"} {
		if !eval[bool](p, `[...document.querySelectorAll("#chart-`+chart+` path")].some((path) => path.getAttribute("d").length > 20)`) {
			t.Errorf("the chart %s is empty", chart)
		}
	}
	p.click(`[data-language="zh"]`)
	wantIn(t, "the page in Chinese", p.text("main"), "最近几分钟", "每秒请求", "就绪")
	wantIn(t, "a chart for who cannot see it", eval[string](p, `document.querySelector("#chart-latency svg").getAttribute("aria-label")`), "响应时间", "p99")
}

// A slow client's upload is on a chart of its own, and no label of a chart is cut off.
func TestStatsPageTellsUploadsApart(t *testing.T) {
	s, admin := startAdmin(t, lite0)
	picture := read(t, torchtest.File(t, "examples/cat.png"))
	for range 3 {
		s.post(t, "image/png", picture)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const upload = 4 * time.Second
	// Longer than the deadline: it counts from the end of the upload.
	fmt.Fprintf(conn, "POST /predict?deadline_ms=3000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(picture))
	for i := range 8 {
		conn.Write(picture[len(picture)*i/8 : len(picture)*(i+1)/8])
		time.Sleep(upload / 8)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Fatalf("%v %.300s", err, answer)
	}
	p := open(t, admin, desktop)
	p.wait("the upload", `/^[34](\.\d)?\u00a0s$/.test(document.querySelector("#chart-uploads .p99 .value").textContent)`)
	if got := p.text("#chart-latency .p99 .value"); strings.HasSuffix(got, "\u00a0s") && got > "3" {
		t.Errorf("the time to answer has the upload in it: %s", got)
	}
	labels := `[...document.querySelectorAll(".chart svg text")]`
	if cut := eval[[]string](p, labels+`.filter((label) => label.getBBox().x < 0).map((label) => label.textContent)`); len(cut) > 0 {
		t.Errorf("labels are cut off: %q", cut)
	}
	eval[bool](p, `import("./web/format.js").then((format) => { window.times =
		[0, 0.0421, 0.42, 4.24, 42.4, 999.4, 999.6, 10_000, 57_040, null].map(format.time).join(" ").replaceAll("\u00a0", "") }), true`)
	p.wait("the times", `window.times !== undefined`)
	if got, want := eval[string](p, `window.times`), "0ms 0.04ms 0.4ms 4.2ms 42ms 999ms 1s 10s 57s –"; got != want {
		t.Errorf("times are written %q, want %q", got, want)
	}
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// From another machine the page asks for a key, and says so when the server is gone.
func TestStatsPageFromElsewhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.txt")
	key := newKey(t, file, "graph", "--role", "metrics")
	s, admin := startAdmin(t, lite0, "--keys", file)
	// The browser of these tests reaches 127.0.0.1 only; a proxy's header makes its requests ones from elsewhere.
	s.url = admin
	p := open(t, behind(t, s, func(http.ResponseWriter, *http.Request) bool { return false }), desktop)
	p.wait("the field", `!document.querySelector("#key-form").hidden`)
	wantIn(t, "the field", p.text("#key-form"), "role metrics or admin")
	p.run(chromedp.SendKeys("#key", key))
	p.press("\r")
	p.wait("figures", `document.querySelectorAll(".tile").length === 6`)
	s.cmd.Process.Kill()
	p.wait("a word", `!document.querySelector("#banner").hidden`)
}

func TestStatsPageKeepsNobodyOut(t *testing.T) {
	script := axe(t)
	s, admin := startAdmin(t, lite0)
	s.post(t, "image/png", read(t, torchtest.File(t, "examples/cat.png")))
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			p := open(t, admin, l)
			p.wait("figures", `document.querySelectorAll(".tile").length === 6`)
			p.inspect("with figures", script)
			if eval[bool](p, `document.documentElement.scrollWidth > innerWidth`) {
				t.Error("something sticks out")
			}
		})
	}
}

// TestStatsScreenshots writes the pictures of this page into docs/screenshots: `make screenshots`.
func TestStatsScreenshots(t *testing.T) {
	dir := os.Getenv("VIDI_SCREENSHOTS")
	if dir == "" {
		t.Skip("VIDI_SCREENSHOTS does not name a folder; `make screenshots` does")
	}
	s, admin := startAdmin(t, lite0)
	underLoad(t, s, 3)
	time.Sleep(45 * time.Second)
	underLoad(t, s, 6)
	time.Sleep(45 * time.Second)
	for _, name := range []string{"en-desktop-light", "zh-desktop-dark", "en-phone-light"} {
		p := open(t, admin, looks[name])
		p.wait("figures", `document.querySelectorAll(".tile").length === 6`)
		p.shoot(filepath.Join(dir, "stats-"+name+".webp"))
	}
}
