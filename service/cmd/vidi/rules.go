package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/rules"
)

type rulesCmd struct {
	Check rulesCheckCmd `cmd:"" help:"Say what is wrong with a rules file, by line."`
	Names rulesNamesCmd `cmd:"" help:"List a model's groups, or the labels of one group."`
}

// whichModel is the model whose names count.
type whichModel struct {
	Model  string `help:"A model's name, or a TorchScript file; default: that of vidi models set-default, else resnet18, else the first by name." short:"m" placeholder:"NAME|FILE" env:"VIDI_MODEL"`
	Models string `help:"Folder of models." default:"${models}" env:"VIDI_MODELS" type:"path" placeholder:"DIR"`
}

// card reads the model's card, without running the model.
func (w *whichModel) card(a *app) (model.Card, error) {
	path, err := model.Folder(w.Models).Find(w.Model)
	if err != nil {
		return model.Card{}, startFailure(err)
	}
	file, err := model.Inspect(path)
	if err != nil {
		return model.Card{}, startFailure(err)
	}
	if file.Card == nil {
		fmt.Fprintf(a.stderr, "vidi: %s has no card: assuming ImageNet's labels\n", path)
	}
	return file.CardOrBare(len(model.ImageNet())), nil
}

type rulesCheckCmd struct {
	File string `arg:"" help:"Rules file."`
	whichModel
}

// Run prints how many rules there are, if all is well.
func (c *rulesCheckCmd) Run(a *app) error {
	book, err := rules.Open(c.File)
	if err != nil {
		return &exitError{code: exitSomeFailed, err: err}
	}
	card, err := c.card(a)
	if err != nil {
		return err
	}
	if err := book.Check(card); err != nil {
		return &exitError{code: exitSomeFailed, err: err}
	}
	fmt.Fprintf(a.stdout, "%s: %s, all good for %s\n", printable(c.File), english.Plural(book.Rules().Count(), "rule", ""), card.Name)
	return nil
}

type rulesNamesCmd struct {
	Group string `arg:"" optional:"" help:"List the labels of this group; without it, the groups."`
	whichModel
}

// Run prints a name a line, English and Chinese.
func (c *rulesNamesCmd) Run(a *app) error {
	card, err := c.card(a)
	if err != nil {
		return err
	}
	grouping := card.Grouping()
	found := false
	for i, g := range grouping.Groups {
		switch c.Group {
		case "":
			more := english.Plural(len(grouping.Classes[i]), "label", "")
			if g.Top {
				more += ", top-level"
			}
			printNames(a, g.Group, g.Names, more)
			found = true
		case g.Group:
			for _, class := range grouping.Classes[i] {
				printNames(a, card.Labels[class].Label, card.Labels[class].Names, "")
			}
			found = true
		}
	}
	switch {
	case found:
		return nil
	case c.Group == "":
		fmt.Fprintf(a.stderr, "vidi: the labels of %s are in no group\n", card.Name)
		return nil
	}
	hint := "`vidi rules names` lists the groups"
	if like := rules.SimilarGroups(card, c.Group); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "?"
	}
	return usageError(fmt.Errorf("there is no group %q; %s", c.Group, hint))
}

func printNames(a *app, id string, names map[string]string, more string) {
	cells := []string{id}
	if zh := names["zh"]; zh != "" {
		cells = append(cells, zh)
	}
	if more != "" {
		cells = append(cells, more)
	}
	fmt.Fprintln(a.stdout, strings.Join(cells, "\t"))
}

// openRules reads the rules file at path; "" is none.
func openRules(path string) (*rules.Book, error) {
	if path == "" {
		return nil, nil
	}
	return rules.Open(path)
}
