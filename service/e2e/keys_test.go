package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// newKey makes a key with the binary and returns it.
func newKey(t *testing.T, file, name string, args ...string) string {
	t.Helper()
	r := vidi(t, nil, append([]string{"keys", "new", name, "--keys", file}, args...)...)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "vidi_") || strings.Count(r.stdout, "\n") != 1 {
		t.Fatalf("%+v", r)
	}
	return strings.TrimSpace(r.stdout)
}

// postWith sends the cat with a key and returns the status.
func (s *server) postWith(t *testing.T, key string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, s.url+"/predict", bytes.NewReader(read(t, torchtest.File(t, "examples/cat.png"))))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// From the first key to its withdrawal, while the server runs.
func TestKeysWithoutARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.txt")
	first := newKey(t, file, "first", "--role", "infer")
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--keys", file).ready(t)
	if got := []int{s.postWith(t, ""), s.postWith(t, "vidi_wrong"), s.postWith(t, first)}; got[0] != 401 || got[1] != 401 || got[2] != 200 {
		t.Errorf("without, wrong, right: %v", got)
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/": 200, "/api/v1/models": 401} {
		if got := status(s.url + path); got != want {
			t.Errorf("%s without a key: %d", path, got)
		}
	}

	second := newKey(t, file, "second", "--role", "infer", "--rate", "2/m")
	s.waitFor(t, "the second key", func() bool { return s.postWith(t, second) == 200 })
	for s.postWith(t, second) == 200 {
	}
	if got := s.postWith(t, second); got != 429 {
		t.Errorf("the third request of two a minute: %d", got)
	}

	whole := read(t, file)
	if err := os.WriteFile(file, append(whole, "third infer sha256:1234\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, "a loud log", func() bool { return strings.Contains(s.stderr.String(), "THE KEY FILE CANNOT BE USED") })
	if got := s.postWith(t, first); got != 200 {
		t.Errorf("under a broken file the old key answers %d", got)
	}

	_, rest, _ := strings.Cut(string(whole), "\n") // without the first line
	if err := os.WriteFile(file, []byte(rest), 0o604); err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, "the withdrawal", func() bool { return s.postWith(t, first) == 401 })

	log := s.stderr.String()
	if strings.Contains(log, first) || strings.Contains(log, second) || strings.Contains(log, "vidi_wrong") {
		t.Error("the log has a key in it")
	}
	if !strings.Contains(log, "key=first") || strings.Contains(log, "path=/readyz") || strings.Contains(log, "path=/livez") {
		t.Errorf("the log should name keys, and not the probes:\n%s", log)
	}
	list := vidi(t, nil, "keys", "list", "--keys", file)
	if list.code != 0 || !strings.Contains(list.stdout, "second") || !strings.Contains(list.stdout, "2/m") || strings.Contains(list.stdout, "first") {
		t.Errorf("%+v", list)
	}
}

func TestKeysSayWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"keys", "new", "shop", "--role", "cook"}, 2, "infer,metrics,admin"},
		{[]string{"keys", "new", "a b", "--role", "infer"}, 2, "no name for a key"},
		{[]string{"keys", "new", "shop", "--role", "infer", "--rate", "fast"}, 2, "20/s"},
		{[]string{"keys", "new", "shop"}, 2, "--role"},
		{[]string{"keys", "list", "--keys", filepath.Join(dir, "none")}, 1, "vidi keys new"},
		{[]string{"serve", lite0, "--addr=127.0.0.1:0", "--keys", filepath.Join(dir, "none")}, 3, "vidi keys new"},
		{[]string{"serve", lite0, "--addr=127.0.0.1:0", "--keys", put(t, dir, "bad", []byte("shop infer\n"))}, 3, "line 1"},
	} {
		if r := vidi(t, nil, c.args...); r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	r := vidi(t, nil, "keys", "new", "shop", "--role", "infer", "--role", "metrics")
	if r.code != 0 || !strings.Contains(r.stderr, "shop infer,metrics sha256:") || strings.Contains(r.stderr, strings.TrimSpace(r.stdout)) {
		t.Errorf("without a file: %+v", r)
	}
}

// The page stays usable where keys are asked for: it asks for one, says when it is wrong, and keeps it for its tab.
func TestPageAsksForAKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.txt")
	key := newKey(t, file, "page", "--role", "infer")
	other := newKey(t, file, "graph", "--role", "metrics")
	s := start(t, lite0, "--keys", file).ready(t)
	p := open(t, s.url, desktop)
	p.wait("the field", `!document.querySelector("#key-form").hidden`)
	wantIn(t, "the field", p.text("#key-form"), "This server asks for a key")
	try := func(key string) {
		p.run(chromedp.SendKeys("#key", key))
		p.press("\r")
	}
	try("vidi_wrong")
	p.wait("what is wrong", `document.querySelector("#key-note").textContent.includes("does not know this key")`)
	try(other)
	p.wait("what is wrong", `document.querySelector("#key-note").textContent.includes("role infer")`)
	p.click(`[data-sample="espresso.jpg"]`) // it waits meanwhile
	try(" " + key)
	p.classified(1)
	wantIn(t, "the card", p.card("espresso.jpg"), "espresso")
	code := p.text("#snippet")
	wantIn(t, "the code", code, "Bearer $VIDI_KEY")
	if strings.Contains(code, key) {
		t.Error("the code shows the key")
	}
	if !eval[bool](p, `document.querySelector("#key-form").hidden && document.querySelector("#key").value === ""`) {
		t.Error("the field is still there")
	}
	if eval[bool](p, `JSON.stringify(localStorage).includes("vidi_")`) {
		t.Error("the key is kept for longer than the tab")
	}
	p.run(chromedp.Reload())
	p.wait("the page", `document.documentElement.classList.contains("live")`)
	p.click(`[data-sample="espresso.jpg"]`)
	p.classified(1)

	fresh := newKey(t, file, "fresh", "--role", "infer")
	_, rest, _ := strings.Cut(string(read(t, file)), "\n")
	put(t, filepath.Dir(file), filepath.Base(file), []byte(rest))
	s.waitFor(t, "the withdrawal", func() bool { return s.postWith(t, key) == 401 })
	p.click(`[data-sample="cat.jpg"]`)
	p.classified(2)
	p.wait("the field again", `!document.querySelector("#key-form").hidden`)
	try(fresh)
	p.wait("no field", `document.querySelector("#key-form").hidden`)
	p.click(".card .button")
	p.wait("an answer", `document.querySelectorAll(".card[data-state=done]").length === 2`)
}
