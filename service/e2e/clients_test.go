package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// TestRealClients has the HTTP clients of several languages send a picture in all ways that their libraries offer, to the real server.
// Each is a program in testdata/clients that prints "NAME: STATUS DETAIL" for each way. A way is right if it is answered 200, or, where
// its name begins with "wrong", if the detail says what came and what to do.
func TestRealClients(t *testing.T) {
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt")).ready(t)
	picture := torchtest.File(t, "examples/cat.png")
	for _, c := range []struct {
		program string
		args    []string
		ways    int
		says    map[string]string // of the wrong ones
	}{
		{torchtest.File(t, "build/venv/bin/python"), []string{"testdata/clients/forms.py"}, 16, map[string]string{
			"str of bytes": "Python's text for bytes", "str of base64": ".decode()", "decoded bytes": "read as text on the way", "Latin-1": "bytes as they are",
			"list of bytes": "list of numbers", "None": "null", "str of dict": "json.dumps"}},
		{"node", []string{"testdata/clients/forms.mjs"}, 15, map[string]string{
			"a File in JSON": "a File, a Blob or a Buffer", "a Buffer in JSON": "Buffer", "bytes in JSON": "list of numbers", "a File as text": "JavaScript's text for an object",
			"nothing": "variable that should hold the picture is empty", "read as text": "read as text on the way", "a binary string": "bytes as they are",
			"an object as body": "JavaScript's text for an object"}},
		{"java", []string{"testdata/clients/Forms.java"}, 8, map[string]string{"Arrays.toString": "list of numbers", "new String": "read as text on the way"}},
	} {
		t.Run(filepath.Base(c.program), func(t *testing.T) {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Skipf("this machine has no %s, so its HTTP client is not tried", c.program)
			}
			out, err := exec.Command(c.program, append(c.args, s.url, picture)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if len(lines) != c.ways {
				t.Errorf("%d ways were tried, want %d:\n%s", len(lines), c.ways, out)
			}
			for _, line := range lines {
				name, answer, _ := strings.Cut(line, ": ")
				if name == "wrong" {
					name, answer, _ = strings.Cut(answer, ": ")
					if !strings.HasPrefix(answer, "4") || c.says[name] == "" || !strings.Contains(answer, c.says[name]) {
						t.Errorf("%s, want something on %q", line, c.says[name])
					}
				} else if !strings.HasPrefix(answer, "200") {
					t.Error(line)
				}
			}
		})
	}
	t.Run("curl", func(t *testing.T) { curlForms(t, s, picture) })
}

func curlForms(t *testing.T, s *server, picture string) {
	text := filepath.Join(t.TempDir(), "base64.txt")
	encoded := base64.StdEncoding.EncodeToString(read(t, picture))
	if err := os.WriteFile(text, []byte(encoded[:76]+"\n"+encoded[76:]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, want string
	}{
		{"--data-binary @" + picture, "200"},
		{"-T " + picture + " -X POST", "200"},
		{"-F file=@" + picture + " -F parents=True -F lang=zh-Hans", "200"},
		{"-F image=<" + text, "200"},
		{"-F image=<" + text + ";type=text/plain", "200"},
		{"-F file=<" + picture, "200"},
		{"-F file=@" + picture + ";encoder=base64", "200"},
		{"-F file=@" + picture + ";encoder=quoted-printable", "200"},
		{"-F file=@" + text, "200"},
		{"-d @" + text, "200"},
		{"--data-urlencode image@" + text, "200"},
		{"--data-urlencode image@" + picture, "200"},
		{"-d image=" + encoded[:40], "422 corrupt_image"}, // cut short
		{"-d @" + picture, "415 unsupported_format --data-binary"},
		{"-F image=" + picture, "400 bad_base64 with the @"},
		{"-F image=https://example.org/cat.jpg", "400 bad_base64 fetches nothing"},
		{"-d image=cat.jpg", "400 bad_base64 file's name"},
		{"-H Content-Type:application/json --data-binary @" + picture, "400 bad_request it is a picture"},
		{"-H Content-Type:application/json --data-binary @" + text, "400 bad_request base64 alone"},
		{"-H Content-Type:multipart/form-data --data-binary @" + picture, "400 bad_request boundary"},
	} {
		args := append([]string{"-s", "-m", "60", "-w", "\n%{http_code}", s.url + "/predict"}, strings.Fields(c.args)...)
		begun := time.Now()
		out, err := exec.Command("curl", args...).CombinedOutput()
		end := strings.LastIndexByte(string(out), '\n')
		body, status := string(out[:max(end, 0)]), string(out[end+1:])
		if err != nil {
			t.Errorf("curl %.100s: %v after %v: %s", c.args, err, time.Since(begun), out)
			continue
		}
		want, says, _ := strings.Cut(c.want, " ")
		code, says, _ := strings.Cut(says, " ")
		if status != want || !strings.Contains(body, fmt.Sprint(code)) || !strings.Contains(body, says) {
			t.Errorf("curl %.100s: %s %.300s, want %s", c.args, status, body, c.want)
		}
	}
}
