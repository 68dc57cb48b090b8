package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// behind puts a proxy with a folder of its own before the server. first sees each request, and returns whether it answered.
func behind(t *testing.T, s *server, first func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.StripPrefix("/tools/vidi", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !first(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})))
	t.Cleanup(front.Close)
	return front.URL + "/tools/vidi/"
}

func answer(w http.ResponseWriter, status int, contentType, body string) bool {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	io.WriteString(w, body)
	return true
}

func refuse(w http.ResponseWriter, status int, code, detail string) bool {
	return answer(w, status, "application/problem+json", fmt.Sprintf(`{"code": %q, "detail": %q, "status": %d}`, code, detail, status))
}

func TestPageWaitsUntilTheModelIsReady(t *testing.T) {
	s := start(t, lite0).ready(t)
	var state atomic.Value
	state.Store("not_ready")
	address := behind(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		code := state.Load().(string)
		if code == "" || strings.HasPrefix(r.URL.Path, "/web") || r.URL.Path == "/" {
			return false
		}
		w.Header().Set("Retry-After", "1")
		return refuse(w, 503, code, "")
	})
	p := open(t, address, desktop)
	p.wait("the banner", `document.querySelector("#banner").textContent.includes("The model is still loading")`)
	p.click(`[data-sample="espresso.jpg"]`)
	p.wait("patience", `document.querySelector(".card")?.dataset.state === "sending"`)
	p.click(`[data-language="zh"]`)
	wantIn(t, "the banner", p.text("#banner"), "模型正在加载")
	if n := p.sent("POST", ""); n != 0 {
		t.Errorf("%d pictures were sent to a server that is not ready", n)
	}
	state.Store("draining")
	p.wait("the banner", `document.querySelector("#banner").textContent.includes("正在停止")`)
	state.Store("")
	p.classified(1)
	wantIn(t, "the card", p.card("espresso.jpg"), "浓缩咖啡")
	if !eval[bool](p, `document.querySelector("#banner").hidden`) {
		t.Error("the banner is still there")
	}
}

// A busy server is asked again when it said so, by the page itself.
func TestPageTriesAgainWhenItIsTold(t *testing.T) {
	s := start(t, lite0).ready(t)
	var asked atomic.Int32
	var begun, done atomic.Int64
	address := behind(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		switch asked.Add(1) {
		case 1:
			begun.Store(time.Now().UnixNano())
			w.Header().Set("Retry-After", "2")
			return refuse(w, 429, "queue_full", "")
		case 2:
			w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
			return answer(w, 503, "text/html", "<h1>busy</h1>")
		}
		done.Store(time.Now().UnixNano())
		return false
	})
	p := open(t, address, desktop)
	p.click(`[data-sample="espresso.jpg"]`)
	p.wait("words", `document.querySelector(".card")?.innerText.includes("The server is busy; trying again in 2 s")`)
	p.classified(1)
	wantIn(t, "the card", p.card("espresso.jpg"), "espresso (浓缩咖啡)")
	if took := time.Duration(done.Load() - begun.Load()); asked.Load() != 3 || took < 2500*time.Millisecond {
		t.Errorf("asked %d times in %v, and was told to wait 2 s and 1 to 2 s", asked.Load(), took)
	}
}

// A few at a time, a progress bar, and a button that stops them; what was stopped can go on.
func TestPageSendsAFewAtATimeAndStops(t *testing.T) {
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt")).ready(t)
	release := make(chan struct{})
	var now, most, ended atomic.Int32
	address := behind(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		body, _ := io.ReadAll(r.Body) // only then does the server notice that its client went away
		r.Body = io.NopCloser(bytes.NewReader(body))
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		select {
		case <-release:
			return false
		case <-r.Context().Done():
			ended.Add(1)
			return true
		}
	})
	p := open(t, address, desktop)
	dir := t.TempDir()
	var files []string
	for i := range 20 {
		files = append(files, put(t, dir, fmt.Sprintf("%02d.jpg", i), read(t, torchtest.File(t, "service/web/page/samples/cat.jpg"))))
	}
	p.choose(files...)
	p.click("#classify")
	waitFor(t, "requests", func() bool { return now.Load() == 3 })
	wantIn(t, "the progress", p.text("#count"), "0 of 20")
	if !eval[bool](p, `!document.querySelector("#progress").hidden && document.querySelector("#bar").max === 20`) {
		t.Error("there is no progress bar")
	}
	p.click(".card[data-state=sending] .remove") // its request ends with it, and another takes its place
	waitFor(t, "the next request", func() bool { return ended.Load() == 1 && now.Load() == 3 })
	p.click("#cancel")
	p.wait("quiet", `document.querySelectorAll(".card[data-state=waiting]").length === 19`)
	waitFor(t, "the requests' ends", func() bool { return now.Load() == 0 })
	most.Store(0) // the server hears of an end a moment after the next request began
	wantIn(t, "what a screen reader hears", p.text("#announcer"), "19 pictures not classified")
	close(release)
	p.click("#classify")
	p.classified(19)
	if most.Load() > 3 {
		t.Errorf("%d requests at the same time", most.Load())
	}
	wantIn(t, "the count", p.text("#count"), "19 pictures classified")
}

// Whatever comes back, the page has words for it: its own, the server's, or at least the status.
func TestPageHasWordsForEveryAnswer(t *testing.T) {
	s := start(t, lite0).ready(t)
	answers := map[string]struct {
		send func(w http.ResponseWriter) bool
		want string
	}{
		"an unknown code": {func(w http.ResponseWriter) bool { return refuse(w, 418, "teapot", "short <b>and</b> stout") }, "short <b>and</b> stout"},
		"a proxy's page":  {func(w http.ResponseWriter) bool { return answer(w, 502, "text/html", "<h1>no</h1>") }, "status 502"},
		"no JSON":         {func(w http.ResponseWriter) bool { return answer(w, 200, "text/html", "<h1>log in</h1>") }, "status 200"},
		"an odd problem": {func(w http.ResponseWriter) bool {
			return answer(w, 500, "application/json", `{"code": {}, "detail": 1}`)
		}, "status 500"},
		"null":               {func(w http.ResponseWriter) bool { return answer(w, 200, "application/json", `null`) }, "status 200"},
		"a proxy's limit":    {func(w http.ResponseWriter) bool { return answer(w, 413, "text/html", "") }, "The file is too large"},
		"a broken line":      {func(w http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, "The server does not answer"},
		"a server's failure": {func(w http.ResponseWriter) bool { return refuse(w, 500, "inference_failed", "") }, "The model failed on this picture"},
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			var spared atomic.Bool
			address := behind(t, s, func(w http.ResponseWriter, r *http.Request) bool {
				return r.Method == http.MethodPost && !spared.Load() && c.send(w)
			})
			p := open(t, address, desktop)
			p.click(`[data-sample="espresso.jpg"]`)
			p.classified(1)
			wantIn(t, "the card", p.card("espresso.jpg"), c.want)
			wantIn(t, "what a screen reader hears", p.text("#announcer"), c.want)
			if eval[bool](p, `document.querySelector(".card b, .card h1") !== null`) {
				t.Error("the server's text became part of the page")
			}
			if eval[bool](p, `document.querySelector(".card .button") === null`) {
				return
			}
			spared.Store(true)
			p.click(".card .button")
			p.wait("an answer", `document.querySelector(".card").dataset.state === "done"`)
		})
	}
}

func TestPageOffersModelsWhereThereAreSeveral(t *testing.T) {
	s := start(t, lite0).ready(t)
	address := behind(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/models" {
			return false
		}
		return answer(w, 200, "application/json", `{"models": [
			{"name": "other", "version": "1", "precision": "fp32", "classes": 5, "input": {"width": 299, "height": 299}, "default": false},
			{"name": "efficientnet-lite0", "version": "1", "precision": "fp32", "classes": 1000, "input": {"width": 224, "height": 224}, "default": true}]}`)
	})
	p := open(t, address, desktop)
	p.wait("the choice", `!document.querySelector("#model-choice").hidden`)
	p.click(`[data-sample="espresso.jpg"]`)
	p.classified(1)
	wantIn(t, "the card", p.card("espresso.jpg"), "espresso", "efficientnet-lite0")
	wantIn(t, "the code", p.text("#snippet"), address+"api/v1/predict?top_k=3&model=efficientnet-lite0")
	eval[any](p, `document.querySelector("#model").value = "other", ""`)
	p.click(`[data-sample="cat.jpg"]`)
	p.classified(2)
	wantIn(t, "the card", p.card("cat.jpg"), "This model is not served any more")

	one := open(t, s.url, desktop)
	one.wait("the model", `document.querySelector("#about").textContent !== ""`)
	if !eval[bool](one, `document.querySelector("#model-choice").hidden`) {
		t.Error("there is nothing to choose from")
	}
}
