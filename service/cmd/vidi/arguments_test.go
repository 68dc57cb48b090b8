package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
)

// inProcess runs a command that needs no libtorch.
func inProcess(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(args, &app{ctx: context.Background(), stdin: strings.NewReader(""), stdout: &out, stderr: &err})
	return out.String(), err.String(), code
}

func TestVersionAndHelpAreFlagsAndCommands(t *testing.T) {
	byCommand, _, _ := inProcess(t, "version")
	for _, flag := range []string{"--version", "-V"} {
		if stdout, _, code := inProcess(t, flag); code != 0 || stdout != byCommand {
			t.Errorf("%s: %d, %q; vidi version says %q", flag, code, stdout, byCommand)
		}
	}
	for _, command := range []string{"", "classify", "models add", "keys"} {
		words := strings.Fields(command)
		want, _, _ := inProcess(t, append(words, "--help")...)
		if stdout, _, code := inProcess(t, append([]string{"help"}, words...)...); code != 0 || stdout != want || !strings.Contains(want, "Usage: vidi") {
			t.Errorf("help %s: %d, %q", command, code, stdout)
		}
	}
	if _, stderr, code := inProcess(t, "help", "classfy"); code != exitWrongUse || !strings.Contains(stderr, "classify") {
		t.Errorf("help of an unknown command: %d, %s", code, stderr)
	}
}

// One letter means the same in every command that has it.
func TestShortFlags(t *testing.T) {
	means := map[string]string{"h": "help", "V": "version", "v": "verbose"}
	for short, name := range map[string]string{"m": "model", "f": "format", "p": "precision", "o": "out", "a": "addr", "k": "top-k", "l": "lang", "s": "server"} {
		means[short] = name
	}
	for _, command := range []string{"classify", "serve", "bench", "eval", "models list", "models show", "models status", "rules check", "rules names", "doctor", "health", "version"} {
		help, _, _ := inProcess(t, append(strings.Fields(command), "--help")...)
		for line := range strings.Lines(help) {
			if fields := strings.Fields(line); len(fields) > 1 && len(fields[0]) == 3 && fields[0][0] == '-' && fields[0][2] == ',' {
				name, _, _ := strings.Cut(strings.TrimPrefix(fields[1], "--"), "=")
				if short := fields[0][1:2]; means[short] != name {
					t.Errorf("%s: -%s is --%s, elsewhere --%s", command, short, name, means[short])
				}
			}
		}
	}
}

func TestErrorsAboutFilesAreSentences(t *testing.T) {
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"holiday.jpg": "", "rules.yaml": "rules:\n", "models/x": ""})
	t.Chdir(dir)
	for command, says := range map[string]string{
		"models show ./holliday.pt":              "holliday.pt: there is no such file or folder",
		"rules check rules.yml":                  "there is no rules file rules.yml",
		"keys list --keys none.txt":              "there is no key file none.txt",
		"keys list --keys models":                "models: this is a folder, not a regular file",
		"models add holidya.jpg":                 `holidya.jpg: there is no such file or folder; did you mean "holiday.jpg"?`,
		"bench holiday.jgp":                      `holiday.jgp: there is no such file or folder; did you mean "holiday.jpg"?`,
		"models list --models rules.yaml/models": "a part of this path is a file, not a folder",
	} {
		_, stderr, code := inProcess(t, append(strings.Fields(command), modelsFlag(command, dir)...)...)
		if code == 0 || !strings.Contains(stderr, says) || strings.Contains(stderr, "no such file or directory") {
			t.Errorf("%s: %d, %q, want %q", command, code, stderr, says)
		}
	}
}

// modelsFlag keeps a test from the user's own folder of models.
func modelsFlag(command, dir string) []string {
	if strings.HasPrefix(command, "keys") || strings.Contains(command, "--models") {
		return nil
	}
	return []string{"--models", filepath.Join(dir, "models")}
}

func TestKeysRm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.txt")
	for _, name := range []string{"shop", "ops"} {
		if _, stderr, code := inProcess(t, "keys", "new", name, "--role", "infer", "--keys", path); code != 0 {
			t.Fatal(stderr)
		}
	}
	if _, stderr, code := inProcess(t, "keys", "rm", "shop", "--keys", path); code != 0 || !strings.Contains(stderr, "shop is no longer in") {
		t.Errorf("%d, %s", code, stderr)
	}
	if stdout, _, code := inProcess(t, "keys", "ls", "--keys", path); code != 0 || strings.Contains(stdout, "shop") || !strings.Contains(stdout, "ops") {
		t.Errorf("%d, %s", code, stdout)
	}
	if _, stderr, code := inProcess(t, "keys", "rm", "shop", "--keys", path); code != exitSomeFailed || !strings.Contains(stderr, `no key named "shop"`) {
		t.Errorf("%d, %s", code, stderr)
	}
}

// A name with bytes that are no UTF-8 reaches the file of that name.
func TestArgumentsKeepTheirBytes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cl\xe9s.txt")
	if _, stderr, code := inProcess(t, "keys", "new", "shop", "--role", "infer", "--keys", path); code != 0 {
		t.Fatal(stderr)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if _, stderr, _ := inProcess(t, "models", "list", "--models", filepath.Join(dir, "mod\xe8les")); !strings.Contains(stderr, `mod\xe8les`) && !strings.Contains(stderr, "mod\xe8les") {
		t.Errorf("%q", stderr)
	}
}
