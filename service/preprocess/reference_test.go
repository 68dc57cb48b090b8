package preprocess

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// geometries are a card's ways to name sizes: numbers and lists, wider and higher than most photographs.
var geometries = []string{
	`{"resize": 256, "crop": 224}`,
	`{"resize": 256, "crop": 223, "crop_offset": "floor"}`,
	`{"resize": [224, 224], "crop": 224}`,
	`{"resize": [256, 256], "crop": [224, 224]}`,
	`{"resize": [128, 320], "crop": [128, 320]}`,
	`{"resize": [321, 130], "crop": [256, 128]}`,
	`{"resize": 224, "crop": [96, 223]}`,
	`{"resize": 600, "crop": [599, 64]}`, // enlarged
	`{"resize": [33, 900], "crop": 32}`,
}

// TestGeometryIsTheReferences prepares the example photographs with every geometry and filter, and wants torchvision's bytes.
func TestGeometryIsTheReferences(t *testing.T) {
	type request struct {
		File  string          `json:"file"`
		Input json.RawMessage `json:"input"`
	}
	files, err := filepath.Glob("../../examples/*.[jp][pn]g")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d example photographs: %v", len(files), err)
	}
	var questions bytes.Buffer
	var requests []request
	for i, file := range files {
		for j, geometry := range geometries {
			filter := model.Interpolations[(i+j)%len(model.Interpolations)]
			input := strings.Replace(geometry, "}", `, "interpolation": "`+filter+`"}`, 1)
			requests = append(requests, request{file, json.RawMessage(input)})
			if err := json.NewEncoder(&questions).Encode(requests[len(requests)-1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	reference := exec.Command(torchtest.File(t, "build/venv/bin/python"), "testdata/geometry.py")
	reference.Stdin, reference.Stderr = &questions, os.Stderr
	answers, err := reference.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(answers))
	if len(want) != len(requests) {
		t.Fatalf("%d answers for %d requests", len(want), len(requests))
	}
	preparer, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range requests {
		var in model.Input
		if err := json.Unmarshal(r.Input, &in); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(r.File)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := preparer.Prepare(context.Background(), data, SpecFor(in), Options{})
		if err != nil {
			t.Fatalf("%s %s: %v", r.File, r.Input, err)
		}
		if sum := sha256.Sum256(picture.RGB); hex.EncodeToString(sum[:]) != want[i] {
			t.Errorf("%s %s: other bytes than the reference's", r.File, r.Input)
		}
		fast, err := preparer.Prepare(context.Background(), data, SpecFor(in), Options{Decode: Fast})
		if err != nil || len(fast.RGB) != in.Bytes() {
			t.Errorf("%s %s, decoded fast: %v", r.File, r.Input, err)
		}
	}
}
