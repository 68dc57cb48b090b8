package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// maxLabelsBytes bounds a label file: 21,000 names in two languages take 2 MB.
const maxLabelsBytes = 16 << 20

// ReadLabels reads names of classes, in class order, from a file in any of these forms:
//
//   - text, one name a line, with its class number or WordNet id before it or not ("0 tench", "0: tench", "1,tench",
//     "n01440764 tench"); or columns separated by tabs, commas or semicolons, with a heading that names them: label or en, zh, wnid,
//     class_id
//   - a JSON list of names
//   - a JSON object from class number to name, as TorchServe (index_to_name.json, where the value may be [wnid, name]) and
//     Hugging Face (config.json's id2label, or the whole config.json) write it
//   - a JSON object from name to class number, as torchvision's ImageFolder has it (class_to_idx)
//
// A byte-order mark before the text is passed over. The second of two equal names gets its class number behind it: programs tell
// classes apart by name.
func ReadLabels(path string) ([]Label, error) {
	info, err := userfile.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxLabelsBytes {
		return nil, fmt.Errorf("%s has %d MB; a label file has at most %d", path, info.Size()>>20, maxLabelsBytes>>20)
	}
	data, err := userfile.Read(path, "a label file", maxLabelsBytes)
	if err != nil {
		return nil, err
	}
	labels, err := ParseLabels(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return labels, nil
}

// ParseLabels is [ReadLabels] for the content of a file.
func ParseLabels(data []byte) (labels []Label, err error) {
	if data, err = userfile.Text(data); err != nil {
		return nil, err
	}
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return nil, fmt.Errorf("it is empty; write one name a line, in the order of the network's outputs")
	case trimmed[0] == '[':
		labels, err = labelsOfList(trimmed)
	case trimmed[0] == '{':
		labels, err = labelsOfObject(trimmed, true)
	default:
		labels, err = labelsOfLines(string(data))
	}
	if err != nil {
		return nil, err
	}
	return distinct(labels)
}

func labelsOfList(data []byte) ([]Label, error) {
	var values []json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	labels := make([]Label, len(values))
	for i, value := range values {
		label, err := labelOfJSON(value)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		labels[i] = label
	}
	return labels, nil
}

// labelsOfObject reads an object of names; whole is true where it may be a config.json, whose names are one object further in.
func labelsOfObject(data []byte, whole bool) ([]Label, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	for _, key := range []string{"id2label", "class_to_idx", "label2id"} {
		if inner, ok := values[key]; ok && whole {
			return labelsOfObject(inner, false)
		}
	}
	if labels, ok, err := labelsOfIndices(data); ok {
		return labels, err
	}
	labels := make([]Label, len(values))
	for key, value := range values {
		class, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("key %.40q is not a class number; write {\"0\": \"cat\", \"1\": \"dog\"}", key)
		}
		if class < 0 || class >= len(values) {
			return nil, fmt.Errorf("class numbers must be 0 to %d for its %d names; one is %d", len(values)-1, len(values), class)
		}
		if labels[class], err = labelOfJSON(value); err != nil {
			return nil, fmt.Errorf("class %d: %w", class, err)
		}
	}
	return labels, nil
}

// labelsOfIndices reads an object from name to class number; ok is false for any other.
func labelsOfIndices(data []byte) (labels []Label, ok bool, err error) {
	var numbers map[string]int
	if json.Unmarshal(data, &numbers) != nil || len(numbers) == 0 {
		return nil, false, nil
	}
	labels = make([]Label, len(numbers))
	for name, class := range numbers {
		switch {
		case class < 0 || class >= len(labels):
			return nil, true, fmt.Errorf("class numbers must be 0 to %d for its %d names; that of %.40q is %d", len(labels)-1, len(labels), name, class)
		case labels[class].Label != "":
			return nil, true, fmt.Errorf("%.40q and %.40q have the same class number, %d", labels[class].Label, name, class)
		}
		labels[class].Label = name
	}
	return labels, true, nil
}

// labelOfJSON takes "cat", ["n02123045", "tabby"], or an entry of a card.
func labelOfJSON(value json.RawMessage) (Label, error) {
	var name string
	if json.Unmarshal(value, &name) == nil {
		return Label{Label: name}, nil
	}
	var pair []string
	if json.Unmarshal(value, &pair) == nil && len(pair) == 2 {
		return Label{WNID: pair[0], Label: pair[1]}, nil
	}
	var label Label
	if json.Unmarshal(value, &label) == nil && label.Label != "" {
		return label, nil
	}
	return label, fmt.Errorf("%.40s is not a name; write \"cat\"", value)
}

// distinct refuses names that cannot be shown, and tells equal ones apart.
func distinct(labels []Label) ([]Label, error) {
	seen := make(map[string]bool, len(labels))
	for i := range labels {
		l := &labels[i]
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("the name of class %d %w", i, err)
		}
		if seen[l.Label] {
			l.Label = fmt.Sprintf("%s (%d)", l.Label, i)
		}
		seen[l.Label] = true
	}
	return labels, nil
}

// check says what is wrong with the names, as the end of a sentence.
func (l Label) check() error {
	if strings.TrimSpace(l.Label) == "" {
		return fmt.Errorf("is empty; each output needs one")
	}
	return errors.Join(checkText(l.Label, maxNameRunes), checkText(l.WNID, maxNameRunes), checkNames(l.Names))
}
