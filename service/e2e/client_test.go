package e2e

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func ask(t *testing.T, s *server, options ...api.Option) *api.Client {
	t.Helper()
	c, err := api.New(s.url, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A client that comes while the model loads is told so, and its picture is answered as soon as it can be.
func TestGoClientWaitsForTheModel(t *testing.T) {
	s := start(t, lite0)
	c := ask(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var problem *api.Problem
	if err := c.Ready(ctx); !errors.As(err, &problem) || problem.Code != api.NotReady {
		t.Errorf("Ready, while it loads: %v", err) // it needs most of a second
	}
	answer, err := c.PredictFile(ctx, torchtest.File(t, "examples/espresso.png"), api.Params{TopK: 1, Lang: "zh"})
	if err != nil {
		t.Fatal(err)
	}
	r := answer.Results[0]
	if len(r.Predictions) != 1 || r.Predictions[0].Label != "espresso" || r.Predictions[0].Display != "浓缩咖啡" || r.Filename != "espresso.png" {
		t.Errorf("%+v", r)
	}
	if err := c.Ready(ctx); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

func TestGoClient(t *testing.T) {
	c := ask(t, start(t, lite0, "--max-images", "3").ready(t))
	espresso := read(t, torchtest.File(t, "examples/espresso.png"))
	bad := api.Picture{Name: "bad.jpg", Data: []byte("\xff\xd8\xff bad")}

	file, err := os.Open(torchtest.File(t, "examples/flower.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if answer, err := c.PredictReader(t.Context(), file, api.Params{EXIF: new(true), Decode: "fast", Deadline: time.Minute}); err != nil || answer.Results[0].Predictions[0].Label != "daisy" {
		t.Errorf("a reader: %+v %v", answer, err)
	}

	answer, err := c.PredictAll(t.Context(), []api.Picture{{Name: "cup.png", Data: espresso}, bad}, api.Params{Threshold: 50})
	if err != nil || len(answer.Results) != 2 {
		t.Fatalf("several: %+v %v", answer, err)
	}
	if r := answer.Results[0]; r.Filename != "cup.png" || len(r.Predictions) != 1 || r.Predictions[0].Label != "espresso" {
		t.Errorf("the first: %+v", r)
	}
	if r := answer.Results[1]; r.Filename != "bad.jpg" || r.Error == nil || r.Error.Code != api.CorruptImage {
		t.Errorf("the bad one: %+v", r)
	}
	answer, err = c.PredictAll(t.Context(), []api.Picture{bad}, api.Params{})
	if err != nil || answer.Results[0].Error == nil || answer.Results[0].Filename != "bad.jpg" {
		t.Errorf("the bad one alone: %+v %v", answer, err)
	}

	models, err := c.Models(t.Context())
	if err != nil || models.Models[0].Name != "efficientnet-lite0" || models.Limits.MaxImages != 3 {
		t.Errorf("models: %+v %v", models, err)
	}
	for want, call := range map[api.Code]func() error{
		api.CorruptImage:  func() error { _, err := c.Predict(t.Context(), bad.Data, api.Params{}); return err },
		api.EmptyImage:    func() error { _, err := c.Predict(t.Context(), nil, api.Params{}); return err },
		api.BadParameter:  func() error { _, err := c.Predict(t.Context(), espresso, api.Params{TopK: -1}); return err },
		api.ModelNotFound: func() error { _, err := c.Predict(t.Context(), espresso, api.Params{Model: "other"}); return err },
		api.TooManyImages: func() error { _, err := c.PredictAll(t.Context(), make([]api.Picture, 4), api.Params{}); return err },
	} {
		var problem *api.Problem
		if err := call(); !errors.As(err, &problem) || problem.Code != want || problem.RequestID == "" {
			t.Errorf("want %s, got %v", want, err)
		}
	}
	if _, err := c.PredictFile(t.Context(), "nowhere.jpg", api.Params{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
