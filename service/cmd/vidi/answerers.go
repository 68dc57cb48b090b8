package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// localModel answers in this process.
type localModel struct {
	classifier *classify.Classifier
	options    classify.Options
	lang       string
}

// openModel finds, tries, loads and warms the model for so many pictures.
func (c *classifyCmd) openModel(ctx context.Context, a *app, pictures int) (answerer, error) {
	precision, err := engine.ParsePrecision(c.Precision)
	if err != nil {
		return nil, err
	}
	book, err := openRules(c.Rules)
	if err != nil {
		return nil, err
	}
	file, verdict, err := findModel(ctx, c.Models, c.Trusted(), c.Model, precision, a.sayTrying)
	if err != nil {
		return nil, err
	}
	path, prepared := file.Path, verdict.Engine
	a.showPrinted()
	cfg := classify.Config{Engine: engine.Config{Precision: precision, Prepared: prepared, Workers: c.Workers, Trust: c.Trusted()}, Rules: book,
		Limits: preprocess.DefaultLimits().WithMaxPixels(c.MaxPixels.N)}
	if c.Workers == 0 && pictures == 1 {
		cfg.Engine.Workers = 1 // all cores on the one picture
	}
	classifier, err := classify.Open(ctx, path, cfg)
	if err != nil {
		return nil, err
	}
	if card := classifier.Card(); card.Assumed {
		fmt.Fprintf(a.stderr, "vidi: %s has no card: assuming ImageNet preprocessing and %s\n", path, assumedLabels(card))
	}
	if err := book.Check(classifier.Card()); err != nil {
		classifier.Close()
		return nil, err
	}
	image := preprocess.Options{Decode: preprocess.Decode(c.Decode), IgnoreEXIF: c.NoExif}
	return &localModel{classifier, classify.Options{TopK: c.TopK, Parents: c.Parents, Image: image}, c.Lang}, nil
}

func (m *localModel) answer(ctx context.Context, picture []byte) (api.Result, string, error) {
	result, err := m.classifier.Classify(ctx, picture, m.options)
	if err != nil {
		return api.Result{}, "", err
	}
	return result.Wire(m.lang), m.classifier.Card().Name, nil
}

func (m *localModel) classes() int { return len(m.classifier.Card().Labels) }
func (m *localModel) close()       { m.classifier.Close() }

func assumedLabels(card model.Card) string {
	if len(card.Labels) == len(model.ImageNet()) {
		return "ImageNet's labels"
	}
	return fmt.Sprintf("labels class_0 to class_%d", len(card.Labels)-1)
}

// serverPictures is how many pictures a server is sent at the same time: it has cores of its own.
const serverPictures = 4

// remoteModel is a running server.
type remoteModel struct {
	client *api.Client
	params api.Params
	labels int
}

// openServer asks the server for its models, so that a wrong address or a missing key is one error and not one for each picture.
func (c *classifyCmd) openServer(ctx context.Context, a *app) (answerer, error) {
	client, err := api.New(c.Server, api.WithKey(c.Key))
	if err != nil {
		return nil, err
	}
	models, err := client.Models(ctx)
	if err != nil {
		return nil, c.serverFailure(err)
	}
	name, err := c.servedModel(a, models.Models)
	if err != nil {
		return nil, err
	}
	m := &remoteModel{client: client, params: api.Params{TopK: c.TopK, Parents: c.Parents, Lang: c.Lang, Model: name, Decode: c.Decode}}
	for _, served := range models.Models {
		m.labels = max(m.labels, served.Classes)
	}
	if c.NoExif {
		m.params.EXIF = new(bool)
	}
	return m, nil
}

// modelVariable is where the model comes from where no --model is given.
const modelVariable = "VIDI_MODEL"

// servedModel is the name by which the server knows the model that was asked for, "" for its own
// default. A file in VIDI_MODEL is for what runs on this machine, and is passed over.
func (c *classifyCmd) servedModel(a *app, served []api.ModelInfo) (string, error) {
	var names []string
	for _, m := range served {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
		for _, version := range append([]string{m.Version}, m.Aliases...) {
			names = append(names, model.Ref(m.Name, version))
		}
	}
	if c.Model == "" || slices.Contains(names, c.Model) {
		return c.Model, nil
	}
	asked := printable(c.Model)
	isFile := model.IsModelFile(c.Model) || strings.ContainsRune(c.Model, filepath.Separator)
	there := printable(shortened(strings.Join(names, ", ")))
	switch fromVariable := c.Model == os.Getenv(modelVariable); {
	case isFile && fromVariable:
		fmt.Fprintf(a.stderr, "vidi: %s names a file of this machine, %s: the server's own default answers\n",
			modelVariable, asked)
		return "", nil
	case isFile:
		return "", fmt.Errorf("--model %s is a file, and %s knows its models by their names: %s", asked, c.Server, there)
	case fromVariable:
		return "", fmt.Errorf("the model %s, which %s asks for, is not served by %s; there are: %s. "+
			"Name one with --model, or unset %s", asked, modelVariable, c.Server, there, modelVariable)
	}
	return "", fmt.Errorf("the model %s is not served by %s; there are: %s", asked, c.Server, there)
}

// serverFailure says why the server does not answer, and what to do.
func (c *classifyCmd) serverFailure(err error) error {
	var problem *api.Problem
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s; is the address right, and does `vidi serve` run there?", c.Server)
	case !errors.As(err, &problem):
		return err
	case problem.Status == http.StatusUnauthorized && c.Key == "":
		return fmt.Errorf("%s asks for a key; put yours into VIDI_KEY", c.Server)
	case problem.Code == api.NotVidi:
		return fmt.Errorf("%s answered %d %s: that is no vidi, or something in between", c.Server, problem.Status, printable(shortened(problem.Title)))
	}
	return fmt.Errorf("%s: %s", c.Server, printable(shortened(problem.Detail)))
}

func (m *remoteModel) answer(ctx context.Context, picture []byte) (api.Result, string, error) {
	answer, err := m.client.Predict(ctx, picture, m.params)
	switch {
	case ctx.Err() != nil:
		return api.Result{}, "", ctx.Err()
	case err != nil:
		return api.Result{}, "", err
	case len(answer.Results) != 1:
		return api.Result{}, "", fmt.Errorf("the server answered one picture with %d results", len(answer.Results))
	}
	return answer.Results[0], answer.Model, nil
}

func (m *remoteModel) classes() int { return m.labels }
func (m *remoteModel) close()       {}
