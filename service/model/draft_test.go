package model

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// drafts are the names of the drafts in the folder.
func drafts(t *testing.T, f Folder) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(string(f), draftPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What a process that was killed has left is removed by whoever adds next; what a living one writes never is.
func TestDraftsOfTheDead(t *testing.T) {
	if folder := os.Getenv("VIDI_TEST_DRAFT"); folder != "" {
		file, err := Folder(folder).DraftFile()
		fmt.Println(file.Name(), err)
		time.Sleep(time.Minute)
		return
	}
	f := Folder(t.TempDir())
	cmd := exec.Command(os.Args[0], "-test.run=^TestDraftsOfTheDead$")
	cmd.Env = append(os.Environ(), "VIDI_TEST_DRAFT="+string(f))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	others := drafts(t, f)
	own, err := f.DraftFile()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if now := drafts(t, f); len(others) != 1 || len(now) != 2 {
		t.Fatalf("first %q, then %q: the other process's should still be there", others, now)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	second, err := f.DraftFile()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if now := drafts(t, f); len(now) != 2 || now[0] == others[0] || now[1] == others[0] {
		t.Errorf("%q is still there: %q", others, now)
	}
}
