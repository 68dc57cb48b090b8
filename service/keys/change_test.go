package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
)

func TestRemoveTakesOneLineAndKeepsTheRest(t *testing.T) {
	line := func(name, digits string) string { return name + " infer sha256:" + strings.Repeat(digits, 32) }
	content := "\ufeff" + line("shop", "ab") + "\r\n# shop is theirs\r\n\r\n" + line("shop-2", "cd") + " # mine\n" + line("ops", "ef")
	dir := filetest.Tree(t, t.TempDir(), map[string]string{"keys.txt": content})
	path, link := filepath.Join(dir, "keys.txt"), filepath.Join(dir, "link")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("keys.txt", link); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path, "shopp"); err == nil || !strings.Contains(err.Error(), `no key named "shopp"; did you mean "shop`) {
		t.Errorf("an unknown name: %v", err)
	}
	for _, name := range []string{"shop", "ops"} {
		if err := Remove(link, name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if want := "# shop is theirs\r\n\r\n" + line("shop-2", "cd") + " # mine\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode().IsRegular() {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("drafts were left: %v, %v", files, err)
	}
	if err := Remove(filepath.Join(dir, "none"), "shop"); err == nil || !strings.Contains(err.Error(), "there is no key file") {
		t.Errorf("no file: %v", err)
	}
}
