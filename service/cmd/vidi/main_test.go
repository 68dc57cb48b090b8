package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/pictures"
)

// Work that does not look at its context, such as waiting for standard input, can be ended all the same.
func TestTheSecondSignalEndsTheProcess(t *testing.T) {
	if os.Getenv("VIDI_TEST_SIGNALS") != "" {
		ctx, stop := (&app{ctx: context.Background()}).interruptible()
		defer stop()
		fmt.Println("waiting")
		<-ctx.Done()
		fmt.Println("going on")
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTheSecondSignalEndsTheProcess$")
	cmd.Env = append(os.Environ(), "VIDI_TEST_SIGNALS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(out)
	for _, want := range []string{"waiting", "going on"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, want %q", lines.Text(), want)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() { // the one that came while the first was being dealt with may have been lost
		for {
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}()
	err = cmd.Wait()
	close(ended)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", err)
	}
}

// What a name, a server or a model says does not move a terminal's cursor.
func TestErrorsHaveNoControlCharacters(t *testing.T) {
	for _, args := range [][]string{
		{"classify", "--format=\x1b[2Jred", "x.jpg"}, {"cl\x1b]0;title\x07"}, {"keys", "list", "--keys=/none/\x1b[2J\u009b"},
		{"classify", "--server=\x1b[2J", "x.jpg"}, {"models", "show", "\x1b[2J\r", "--models=" + t.TempDir()},
	} {
		_, stderr, code := inProcess(t, args...)
		if code == 0 || strings.ContainsFunc(stderr, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
			t.Errorf("%q: %d, %q", args, code, stderr)
		}
	}
	if got := printableLines("one\ntwo\x1b[0m\r\nthree\t\xff"); got != "one\ntwo\\x1b[0m\\r\nthree\t\\xff" {
		t.Errorf("%q", got)
	}
}

// The list for one picture is the same whatever lies beside the picture in its folder.
func TestJSONOfOnePictureHasOneShape(t *testing.T) {
	var b bytes.Buffer
	p := newPrinter("json", &b, shown{single: true})
	one := api.Result{Predictions: []api.Prediction{{Label: "alp", Confidence: 92.3}}}
	for _, o := range []outcome{{name: "a.heic", err: unreadError{pictures.KindOf("a.heic")}}, {name: "b.jpg", result: one}} {
		if err := p.print(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.finish(); err != nil || b.String() != `[{"label": "alp", "confidence": 92.3}]`+"\n" {
		t.Errorf("%q: %v", b.String(), err)
	}
}

func TestJSONOfNothingIsJSON(t *testing.T) {
	for _, outcomes := range [][]outcome{nil, {{name: "a.jpg", err: errors.New("broken")}}, {{err: errors.New("x")}, {err: errors.New("y")}}} {
		var b bytes.Buffer
		p := newPrinter("json", &b, shown{})
		for _, o := range outcomes {
			if err := p.print(o); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.finish(); err != nil {
			t.Fatal(err)
		}
		var list []json.RawMessage
		if err := json.Unmarshal(b.Bytes(), &list); err != nil || len(list) != len(outcomes) {
			t.Errorf("%d outcomes are %q: %v", len(outcomes), b.String(), err)
		}
	}
}
