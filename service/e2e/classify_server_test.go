package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// times are what differs between two runs.
var times = regexp.MustCompile(`[0-9.]+ ms|"timing_ms":\{[^}]*\}`)

// classify --server prints what classify prints, in each format, without a model here.
func TestClassifyWithAServer(t *testing.T) {
	espresso, flower := string(read(t, torchtest.File(t, "examples/espresso.png"))), string(read(t, torchtest.File(t, "examples/flower.jpg")))
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"a/one.png": espresso, "a/two.jpg": flower, "a/broken.jpg": "\xff\xd8\xff\xe0 not really", "a/x.heic": ""})
	s := start(t, lite0).ready(t)
	one := filepath.Join(dir, "a/one.png")
	for _, args := range [][]string{
		{"--format=text", filepath.Join(dir, "a")}, {"--format=json", one}, {"--format=jsonl", filepath.Join(dir, "a"), filepath.Join(dir, "gone.png")},
		{"--format=csv", "--lang=zh", filepath.Join(dir, "a")}, {"--format=json", "--parents", "--top-k=5", one}, {"--lang=zh", "--no-exif", "--decode=fast", filepath.Join(dir, "a")}, {"-"},
	} {
		want := vidi(t, []byte(espresso), append([]string{"classify", lite0}, args...)...)
		t.Setenv("VIDI_TORCHBIND_LIBRARY", torchtest.File(t, "go.mod")) // no libtorch here
		got := vidi(t, []byte(espresso), append([]string{"classify", "--models", t.TempDir(), "--server", s.url}, args...)...)
		t.Setenv("VIDI_TORCHBIND_LIBRARY", "")
		if times.ReplaceAllString(got.stdout, "") != times.ReplaceAllString(want.stdout, "") || got.code != want.code || got.stderr != want.stderr {
			t.Errorf("%v: from the server\n%+v\nfrom the model\n%+v", args, got, want)
		}
	}
	if r := vidi(t, nil, "classify", "--server", strings.TrimPrefix(s.url, "http://"), "--model=lion", one); r.code != 3 || !strings.Contains(r.stderr, "lion") ||
		!strings.Contains(r.stderr, "there are: efficientnet-lite0") {
		t.Errorf("another model: %+v", r)
	}
	file := torchtest.File(t, "build/fixtures/tiny.pt")
	if r := vidi(t, nil, "classify", "--server", s.url, "--model="+file, one); r.code != 3 || !strings.Contains(r.stderr, "is a file") {
		t.Errorf("a file: %+v", r)
	}
	// VIDI_MODEL may be meant for what runs here.
	for value, want := range map[string]struct {
		code int
		says string
	}{
		file: {0, "VIDI_MODEL names a file"}, "tiny.pt": {0, "VIDI_MODEL names a file"}, "lion": {3, "which VIDI_MODEL asks for"},
		"efficientnet-lite0": {0, ""}, "efficientnet-lite0@stable": {0, ""},
	} {
		t.Setenv("VIDI_MODEL", value)
		r := vidi(t, nil, "classify", "--server", s.url, one)
		if r.code != want.code || !strings.Contains(r.stderr, want.says) || want.says == "" && r.stderr != "" || (r.stdout != "") != (r.code == 0) {
			t.Errorf("VIDI_MODEL=%s: %+v, want %+v", value, r, want)
		}
	}
}

func TestClassifyWithAServerThatAsksForKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.txt")
	key := newKey(t, file, "shell", "--role", "infer")
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--keys", file).ready(t)
	picture := torchtest.File(t, "examples/espresso.png")
	if r := vidi(t, nil, "classify", "--server", s.url, picture); r.code != 3 || !strings.Contains(r.stderr, "asks for a key; put yours into VIDI_KEY") {
		t.Errorf("without a key: %+v", r)
	}
	if r := vidi(t, nil, "classify", "--server", s.url, "--key=wrong", picture); r.code != 3 || strings.Contains(r.stderr, "VIDI_KEY") {
		t.Errorf("a wrong key: %+v", r)
	}
	var list []map[string]any
	if r := vidi(t, nil, "classify", "--server", s.url, "--key", key, "-f", "json", picture); r.code != 0 || json.Unmarshal([]byte(r.stdout), &list) != nil || len(list) == 0 {
		t.Errorf("with the key: %+v", r)
	}
	t.Setenv("VIDI_KEY", key)
	if r := vidi(t, nil, "classify", "--server", s.url, picture); r.code != 0 {
		t.Errorf("with VIDI_KEY: %+v", r)
	}
}

func TestClassifyWithNoServer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	picture := torchtest.File(t, "examples/espresso.png")
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{3, "nothing answers at http://127.0.0.1:9", []string{"--server=127.0.0.1:9"}},
		{3, "that is no vidi", []string{"--server=" + other.URL}},
		{2, "for example http://127.0.0.1:5000", []string{"--server=ftp://x"}},
		{2, "--rules is not for --server", []string{"--server=" + other.URL, "--rules=x"}},
		{2, "--precision is not for --server", []string{"--server=" + other.URL, "--precision=bf16"}},
		{2, "--bom is for --format csv", []string{"--bom"}},
	} {
		if r := vidi(t, nil, append(append([]string{"classify"}, c.args...), picture)...); r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v, want %q", c.args, r, c.says)
		}
	}
}
