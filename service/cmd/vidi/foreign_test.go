package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/logs"
)

// What programs read is what it was: JSON with escapes for what a terminal obeys is the same JSON, and CSV has names as they are.
func TestProgramsReadWhatWasSaid(t *testing.T) {
	said := "a\u202e\u009b\x7f\U000e0041\u00a0\x1b猫"
	var b strings.Builder
	if err := json.NewEncoder(logs.PrintableJSON(&b)).Encode(said); err != nil {
		t.Fatal(err)
	}
	var read string
	if err := json.Unmarshal([]byte(b.String()), &read); err != nil || read != said || !strings.Contains(b.String(), "猫") {
		t.Errorf("%q became %s, %v", said, b.String(), err)
	}
	b.Reset()
	p := newPrinter("csv", forPeople(&b), shown{})
	if err := p.print(outcome{name: said, err: os.ErrNotExist}); err != nil || !strings.Contains(b.String(), said) {
		t.Errorf("%q, %v", b.String(), err)
	}
}
