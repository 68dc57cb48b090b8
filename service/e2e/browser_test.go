package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// One browser serves all tests of the page; each test has a window of its own, with storage of its own.
var chrome struct {
	start sync.Once
	ctx   context.Context
	stop  func()
	err   error
}

func TestMain(m *testing.M) {
	if target := os.Getenv(overheadClientEnv); target != "" {
		if err := overheadClient(target); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if chrome.stop != nil {
		chrome.stop()
	}
	os.Exit(code)
}

// chromium is the running browser. Without one the tests of the page are skipped, and fail in CI.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		missing(t, "there is no chromium here, so the page is not tested; `make test-packages` installs it")
	}
	chrome.start.Do(func() {
		fonts, err := filepath.Abs("testdata/fonts.conf")
		if err != nil {
			chrome.err = err
			return
		}
		profile, err := os.MkdirTemp("", "vidi-browser-")
		if err != nil {
			chrome.err = err
			return
		}
		options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
			chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute),
			chromedp.NoSandbox, chromedp.DisableGPU, // containers have neither
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
			chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),           // no network, whatever a page asks for
			chromedp.Flag("font-render-hinting", "none"), chromedp.Env("FONTCONFIG_FILE="+fonts), // the same letters on every machine
		)
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, stop := chromedp.NewContext(allocator)
		chrome.ctx, chrome.err = ctx, chromedp.Do(ctx)
		chrome.stop = func() {
			stop()
			stopAllocator()
			os.RemoveAll(profile)
		}
	})
	if chrome.err != nil {
		t.Fatal(chrome.err)
	}
	return chrome.ctx
}

// tab is a window with the page in it. What goes wrong inside (exceptions, violations of the policy, requests to elsewhere)
// fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string // of the page, with a slash at its end

	mu         sync.Mutex
	requests   []string
	complaints []string
}

// look is how the browser of a test is set up.
type look struct {
	language string // "zh-CN", "en-US"
	width    int64
	height   int64
	dark     bool
	still    bool   // prefers-reduced-motion
	touch    bool   // a phone
	before   string // a script that runs before the page's own
}

var desktop = look{language: "en-US", width: 1200, height: 900, still: true}

// open shows the page at address.
func open(t *testing.T, address string, l look) *tab {
	t.Helper()
	whole, cancel := chromedp.NewContext(chromium(t), chromedp.WithNewBrowserContext())
	p := &tab{t: t, url: strings.TrimSuffix(address, "/") + "/"}
	if err := chromedp.Listen(whole, p.event); err != nil { // opens the window
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(whole, 3*time.Minute)
	p.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			p.leavePicture()
		}
		stop()
		cancel()
		p.check()
	})
	scheme, motion := "light", "no-preference"
	if l.dark {
		scheme = "dark"
	}
	if l.still {
		motion = "reduce"
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, cdplog.Enable, cdp.Empty{})
	call(p, page.Enable, page.EnableParams{})
	call(p, runtime.Enable, cdp.Empty{})
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.touch})
	call(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.touch})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
	call(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{AcceptLanguage: l.language})
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: l.before})
	p.run(chromedp.Navigate(p.url))
	// The body stays invisible until the frame after the script is done; invisible elements have no
	// text and cannot be focused.
	p.wait("the page", `document.documentElement.classList.contains("live") &&
		document.body.checkVisibility({ visibilityProperty: true })`)
	return p
}

// call sends one command of the browser's protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	answer, err := chromedp.Call(p.ctx, command, params)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

func (p *tab) event(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.Method+" "+e.Request.URL)
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case *page.EventJavascriptDialogOpening:
		p.complaints = append(p.complaints, "a dialogue: "+e.Message)
	case *runtime.EventConsoleAPICalled:
		p.complaints = append(p.complaints, fmt.Sprintf("console.%s %s", e.Type, e.Args[0].Value))
	case *cdplog.EventEntryAdded:
		if e.Entry.Source != cdplog.EntrySourceNetwork { // an answer with an error status is also an entry
			p.complaints = append(p.complaints, string(e.Entry.Source)+": "+e.Entry.Text)
		}
	}
}

// check fails the test for what went wrong in the window.
func (p *tab) check() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, complaint := range p.complaints {
		p.t.Errorf("the browser complained: %s", complaint)
	}
	own, _ := url.Parse(p.url)
	for _, request := range p.requests {
		address, err := url.Parse(strings.SplitN(request, " ", 2)[1])
		if err != nil || address.Scheme != "blob" && address.Host != own.Host {
			p.t.Errorf("a request left the server: %s", request)
		}
	}
}

// sent is how many requests of that method and path were made.
func (p *tab) sent(method, path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, request := range p.requests {
		if strings.HasPrefix(request, method+" "+p.url+path) {
			n++
		}
	}
	return n
}

func (p *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// eval runs JavaScript in the page and returns what it gives, promises awaited.
func eval[T any](p *tab, script string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// wait waits until the condition, in JavaScript, is true.
func (p *tab) wait(what, condition string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if eval[bool](p, "Boolean("+condition+")") {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited for %s in vain: %s\nthe page says:\n%s", what, condition, eval[string](p, "document.body.innerText"))
		}
	}
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.run(chromedp.ScrollIntoView(selector), chromedp.Click(selector))
}

// text is what people see in the first element that matches.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return plain(eval[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector)))
}

// plain is text with ordinary blanks.
func plain(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

// choose gives files to the file chooser.
func (p *tab) choose(files ...string) {
	p.t.Helper()
	p.run(chromedp.SetUploadFiles("#choose", files))
}

// classified waits until n cards have an answer or an error.
func (p *tab) classified(n int) {
	p.t.Helper()
	p.wait(fmt.Sprintf("%d answers", n), fmt.Sprintf(`document.querySelectorAll(".card[data-state=done], .card[data-state=failed]").length === %d`, n))
}

// card is the text of the card of the picture with that name.
func (p *tab) card(name string) string {
	p.t.Helper()
	return plain(eval[string](p, fmt.Sprintf(
		`[...document.querySelectorAll(".card")].find((card) => card.querySelector(".file").textContent === %q)?.innerText ?? "no such card"`, name)))
}

// waitFor waits for something outside of the page.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// leavePicture keeps what the window showed when the test failed.
func (p *tab) leavePicture() {
	path := filepath.Join("..", "..", "build", "page-failures", strings.ReplaceAll(p.t.Name(), "/", "-")+".png")
	shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil && os.MkdirAll(filepath.Dir(path), 0o755) == nil && os.WriteFile(path, shot, 0o644) == nil {
		p.t.Logf("%s shows the window", path)
	}
}
