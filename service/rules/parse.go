package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/vidi-vision/vidi/service/userfile"
)

// What a file may hold, which also bounds the time that a picture's tags take.
const (
	MaxFile       = 256 << 10 // bytes
	maxRules      = 500
	maxConditions = 16     // of a rule
	maxNames      = 10_000 // in all conditions together
	maxText       = 64     // letters of a tag, an action or a name
)

// Parse reads a rules file. The error lists its mistakes, each with its line. Whether labels and groups exist is for [Rules.Check].
func Parse(data []byte) (*Rules, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("the file has %d bytes; a rules file has at most %d", len(data), MaxFile)
	}
	root, err := document(data)
	if err != nil {
		return nil, err
	}
	p := &parser{}
	r := p.file(root)
	if err := p.mistakes.err(); err != nil {
		return nil, err
	}
	return r, nil
}

// document is the one document in data. An alias could stand for any number of rules: there are none in a rules file.
func document(data []byte) (*yaml.Node, error) {
	data, err := userfile.Text(data)
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; it begins with rules: and a list of rules")
	} else if err != nil {
		return nil, notYAML(err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins; put all rules into one", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, notYAML(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("the file is empty; it begins with rules: and a list of rules")
	}
	return doc.Content[0], nil
}

var yamlPrefix = regexp.MustCompile(`^(go-)?yaml: ?`)

func notYAML(err error) error {
	return fmt.Errorf("the file is not YAML: %s", yamlPrefix.ReplaceAllString(err.Error(), ""))
}

type parser struct {
	mistakes mistakes
	names    int
}

func (p *parser) wrong(at *yaml.Node, format string, args ...any) {
	p.mistakes.add(at.Line, format, args...)
}

func (p *parser) file(root *yaml.Node) *Rules {
	r := &Rules{}
	fields := p.fields(root, "the file", "rules")
	list := fields["rules"]
	if list == nil {
		if root.Kind == yaml.MappingNode {
			p.wrong(root, "there is no rules: with a list of rules")
		}
		return r
	}
	if list.Kind != yaml.SequenceNode {
		p.wrong(list, "rules is not a list; each rule begins with a dash: - tag: …")
		return r
	}
	if len(list.Content) > maxRules {
		p.wrong(list, "there are %d rules; %d is the most", len(list.Content), maxRules)
		return r
	}
	for _, node := range list.Content {
		r.rules = append(r.rules, p.rule(node))
	}
	if p.names > maxNames {
		p.wrong(list, "the rules name %d labels and groups; %d are the most", p.names, maxNames)
	}
	return r
}

func (p *parser) rule(node *yaml.Node) rule {
	fields := p.fields(node, "a rule", "tag", "action", "when")
	if fields == nil {
		return rule{}
	}
	var r rule
	if fields["tag"] == nil {
		p.wrong(node, "the rule has no tag")
	} else {
		r.tag = p.text(fields["tag"], "tag")
	}
	if fields["action"] != nil {
		r.action = p.text(fields["action"], "action")
	}
	when := fields["when"]
	switch {
	case when == nil:
		p.wrong(node, "the rule has no when: with a list of conditions")
	case when.Kind != yaml.SequenceNode:
		p.wrong(when, "when is not a list; each condition begins with a dash: - groups: [cat]")
	case len(when.Content) == 0:
		p.wrong(when, "when is empty; a rule without a condition would always hold")
	case len(when.Content) > maxConditions:
		p.wrong(when, "the rule has %d conditions; %d are the most", len(when.Content), maxConditions)
	default:
		for _, node := range when.Content {
			r.when = append(r.when, p.condition(node))
		}
	}
	return r
}

func (p *parser) condition(node *yaml.Node) condition {
	c := condition{atLeast: math.NaN(), below: math.NaN()}
	fields := p.fields(node, "a condition", "groups", "labels", "measure", "at_least", "below")
	if fields == nil {
		return c
	}
	c.groups, c.labels = p.list(fields["groups"], "groups"), p.list(fields["labels"], "labels")
	named := fields["groups"] != nil || fields["labels"] != nil
	if at := fields["measure"]; at != nil {
		c.measure = measure(p.text(at, "measure"))
		if !slices.Contains(measures, string(c.measure)) {
			p.wrong(at, "there is no measure %q; there are %s", string(c.measure), strings.Join(measures, " and "))
		}
		if named {
			p.wrong(at, "a condition is about labels and groups, or about a measure; make two of it")
		}
	} else if !named {
		p.wrong(node, "the condition says neither groups nor labels nor measure")
	}
	if fields["at_least"] == nil && fields["below"] == nil {
		p.wrong(node, "the condition has no threshold; say at_least: or below: and a percentage")
	}
	c.atLeast, c.below = p.percent(fields["at_least"], "at_least"), p.percent(fields["below"], "below")
	if c.atLeast >= c.below {
		p.wrong(node, "nothing is at least %g and below %g", c.atLeast, c.below)
	}
	return c
}

// fields is a mapping by its keys, nil if node is none. Unknown and repeated keys are mistakes.
func (p *parser) fields(node *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	if node.Kind != yaml.MappingNode {
		p.wrong(node, "%s is not a list of fields, such as %s: …", what, known[0])
		return nil
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			p.wrong(key, "%s has no field %.80q; there are %s", what, key.Value, strings.Join(known, ", "))
		case fields[key.Value] != nil:
			p.wrong(key, "%s is there twice", key.Value)
		default:
			fields[key.Value] = value
		}
	}
	return fields
}

// text is a short line of text. Numbers and words such as yes are taken as they are written.
func (p *parser) text(node *yaml.Node, what string) string {
	text := node.Value
	switch {
	case node.Kind != yaml.ScalarNode:
		p.wrong(node, "%s is not a text", what)
	case strings.TrimSpace(text) == "" || node.ShortTag() == "!!null":
		p.wrong(node, "%s is empty", what)
	case utf8.RuneCountInString(text) > maxText:
		p.wrong(node, "%s is longer than %d letters", what, maxText)
	case strings.ContainsFunc(text, unprintable):
		p.wrong(node, "%s holds characters that cannot be printed: %.80q", what, text)
	}
	return text
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// list is a name, or a list of names. A node that is nil has none.
func (p *parser) list(node *yaml.Node, what string) []name {
	if node == nil {
		return nil
	}
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	if len(nodes) == 0 {
		p.wrong(node, "%s is empty", what)
	}
	if p.names += len(nodes); p.names > maxNames {
		return nil // file reports it
	}
	var list []name
	for _, node := range nodes {
		text := p.text(node, what)
		if slices.ContainsFunc(list, func(n name) bool { return n.text == text }) {
			p.wrong(node, "%s names %.80q twice", what, text)
		}
		list = append(list, name{text: text, line: node.Line})
	}
	return list
}

// percent is a threshold, NaN where node is nil.
func (p *parser) percent(node *yaml.Node, what string) float64 {
	if node == nil {
		return math.NaN()
	}
	value, err := strconv.ParseFloat(node.Value, 64)
	number := node.Kind == yaml.ScalarNode && (node.ShortTag() == "!!int" || node.ShortTag() == "!!float")
	if !number || err != nil || !(value > 0 && value <= 100) {
		p.wrong(node, "%s is %.80q; it is a percentage above 0, up to 100, and a bare number", what, node.Value)
		return math.NaN()
	}
	return value
}
