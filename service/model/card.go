// Package model says what a classifier is, without running it: its card (how a picture becomes its input and its output
// becomes names), the names of ImageNet's classes, what a file is by the look of its bytes, and the folder models lie in.
// It does not import libtorch.
package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
)

// CardFile is the name of the card inside a model's archive.
const CardFile = "vidi.json"

// Activation is what turns the network's output into probabilities.
type Activation string

// The activations: Softmax for one class of many, Sigmoid for labels that do not exclude each other, None for outputs that
// are probabilities already.
const (
	Softmax Activation = "softmax"
	Sigmoid Activation = "sigmoid"
	None    Activation = "none"
)

// Label is the name of one class.
type Label struct {
	Label string            `json:"label"`          // the unique English id
	WNID  string            `json:"wnid,omitempty"` // WordNet's id, "n09193705"
	Names map[string]string `json:"names,omitempty"`
	// Groups are what the class is a kind of, the nearest first. See Card.Grouping for cards that name none.
	Groups []string `json:"groups,omitempty"`
}

// Display is the name in the language, "en" or "zh", or the id where there is none.
func (l Label) Display(language string) string { return display(l.Label, l.Names, language) }

func display(id string, names map[string]string, language string) string {
	if name := names[language]; name != "" {
		return name
	}
	return id
}

// Card is what travels with a model's weights, as vidi.json inside the .pt file. docs/models.md describes each field.
type Card struct {
	Format        int        `json:"format"` // 1
	Task          string     `json:"task"`   // "classification"
	Name          string     `json:"name"`
	Version       string     `json:"version"`
	Description   string     `json:"description,omitempty"`
	Licence       string     `json:"licence,omitempty"`
	Source        string     `json:"source,omitempty"`
	WeightsSHA256 string     `json:"weights_sha256,omitempty"`
	Precision     string     `json:"precision,omitempty"` // "fp32", or "int8" for a quantised file
	Activation    Activation `json:"activation"`
	Temperature   float64    `json:"temperature,omitempty"`  // the network's output is divided by it before the activation; 0 is 1
	UnsureBelow   float64    `json:"unsure_below,omitempty"` // a likeliest answer with less probability is not sure, 0–1; 0 is never
	Input         Input      `json:"input"`
	Labels        []Label    `json:"labels"`
	Trial         *Trial     `json:"trial,omitempty"`  // what `vidi models add` saw
	Groups        []Group    `json:"groups,omitempty"` // names of the groups that Labels mention

	// Assumed is true for a bare TorchScript file, whose card is a guess (see BareCard).
	Assumed bool `json:"-"`
}

// Trial is what a model answered and how long it took when it was added: `vidi models verify` compares with it.
type Trial struct {
	Vidi         string   `json:"vidi"`  // the version that tried it
	Torch        string   `json:"torch"` // its libtorch
	Golden       []Answer `json:"golden"`
	Milliseconds float64  `json:"milliseconds"` // one picture on one thread in fp32, or int8: the shortest of some
	// Engine is the fastest of those that run the network; "" in a card of a vidi that knew only one.
	Engine  Engine       `json:"engine,omitempty"`
	Engines []EngineTime `json:"engines,omitempty"` // what came of each, in fp32 or int8
}

// Answer is one class of the answer to the picture that models are tried with (a cup of espresso).
type Answer struct {
	ClassID     int     `json:"class_id"`
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

// bareVersion is the version of a file without a card.
const bareVersion = "0"

// maxCardObjects bounds how many objects a card may have, each of which takes more memory than its two brackets: a label is one.
const maxCardObjects = 500_000

// ParseCard reads and checks a card. Unknown fields are ignored: newer exporters may add some.
func ParseCard(data []byte) (Card, error) {
	if objects := bytes.Count(data, []byte("{")); objects > maxCardObjects {
		return Card{}, fmt.Errorf("the card (%s) has %d objects; %d are the most", CardFile, objects, maxCardObjects)
	}
	var c Card
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&c); err != nil {
		return Card{}, fmt.Errorf("the card (%s) is not valid JSON: %w", CardFile, err)
	}
	if err := c.Validate(); err != nil {
		return Card{}, fmt.Errorf("the card (%s) has mistakes:\n%w", CardFile, err)
	}
	return c, nil
}

// maxMistakes is how many mistakes of a card are told: where there are more, each label has one.
const maxMistakes = 20

// Validate reports the mistakes of the card at once, the first of them if there are many.
func (c Card) Validate() error {
	var mistakes []error
	more := 0
	check := func(ok bool, format string, args ...any) {
		switch {
		case ok:
		case len(mistakes) == maxMistakes:
			more++
		default:
			mistakes = append(mistakes, fmt.Errorf(format, args...))
		}
	}
	check(c.Format == 1, "format is %d; this version reads format 1", c.Format)
	check(c.Task == "classification", "task is %q; only \"classification\" is known", c.Task)
	check(ValidName(c.Name), "name %q: use 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit", c.Name)
	check(ValidVersion(c.Version), "version %q: use 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit, but not stable or canary", c.Version)
	c.checkTexts(check)
	check(c.Precision == "" || c.Precision == "fp32" || c.Precision == "int8", "precision is %q; use fp32 or int8", c.Precision)
	check(c.Activation == Softmax || c.Activation == Sigmoid || c.Activation == None, "activation is %q; use softmax, sigmoid or none", c.Activation)
	check(c.Temperature == 0 || c.Temperature >= MinTemperature && c.Temperature <= MaxTemperature,
		"temperature is %g; it must be %g to %g, or absent", c.Temperature, MinTemperature, MaxTemperature)
	check(c.Temperature == 0 || c.Activation != None, "temperature is %g, but the activation none leaves no output to divide", c.Temperature)
	check(c.UnsureBelow >= 0 && c.UnsureBelow <= 1, "unsure_below is %g; it is a probability, 0 to 1", c.UnsureBelow)
	c.Input.check(check)
	check(len(c.Labels) > 0, "labels is empty")
	seen := make(map[string]int, len(c.Labels))
	for i, l := range c.Labels {
		if err := l.check(); err != nil {
			check(false, "labels[%d] %w", i, err)
		}
		if first, ok := seen[l.Label]; ok && l.Label != "" {
			check(false, "labels[%d] and labels[%d] are both %q; labels must be unique", first, i, l.Label)
		}
		seen[l.Label] = i
	}
	c.checkGroups(check)
	c.Trial.check(check)
	if more > 0 {
		mistakes = append(mistakes, fmt.Errorf("and %d more", more))
	}
	return errors.Join(mistakes...)
}

// BareCard is the card assumed for a TorchScript file without one: ImageNet's preprocessing and, if the network has 1000
// outputs, ImageNet's labels, else class_0, class_1, …
func BareCard(name string, outputs int) Card {
	labels := make([]Label, outputs)
	if outputs == len(ImageNet()) {
		labels = ImageNet()
	} else {
		for i := range labels {
			labels[i] = Label{Label: fmt.Sprintf("class_%d", i)}
		}
	}
	return Card{
		Format: 1, Task: "classification", Name: name, Version: bareVersion, Description: "a TorchScript file without a card",
		Activation: Softmax, Input: ImageNetInput(), Labels: labels, Assumed: true,
	}
}

func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// IsModelFile reports whether a file's name ends as those of TorchScript files do: .pt, or .torchscript as Ultralytics writes it.
func IsModelFile(path string) bool {
	return filepath.Ext(path) == ".pt" || filepath.Ext(path) == ".torchscript"
}

func withoutEnding(name string) string {
	for _, ending := range []string{".pt", ".torchscript", ".mar"} {
		if without, found := strings.CutSuffix(name, ending); found {
			return without
		}
	}
	return name
}

// NameOfFile is a valid name for the model in a file without a card: the file's own, without its ending.
func NameOfFile(path string) string {
	name := strings.Map(func(r rune) rune {
		if ValidName("x" + string(r)) {
			return r
		}
		return '-'
	}, withoutEnding(filepath.Base(path)))
	name = strings.TrimLeft(name, ".-_")
	if name == "" {
		return "model"
	}
	return name[:min(len(name), 64)]
}

// The names that a server gives to versions by what they do: NAME@stable answers to the name alone, NAME@canary to a share of that.
const (
	Stable = "stable"
	Canary = "canary"
)

// ValidVersion reports whether s can be a model's version.
func ValidVersion(s string) bool { return ValidName(s) && s != Stable && s != Canary }

// ValidName reports whether s can be a model's name. Such names are harmless as file names, in URLs, in logs and as metric
// labels.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || r != '.' && r != '-' && r != '_') {
			return false
		}
	}
	return true
}
