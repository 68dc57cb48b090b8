package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLabelsBytes bounds a label file: 21,000 names in two languages take 2 MB.
const maxLabelsBytes = 16 << 20

// maxNameRunes bounds one name: longer ones are a wrong column or a wrong file.
const maxNameRunes = 200

// ReadLabels reads names of classes, in class order, from a file in any of these forms:
//
//   - text, one name a line; or columns separated by tabs, with a heading that names them: label or en, zh, wnid, class_id
//   - a JSON list of names
//   - a JSON object from class number to name, as TorchServe (index_to_name.json, where the value may be [wnid, name]) and
//     Hugging Face (config.json's id2label, or the whole config.json) write it
//
// The second of two equal names gets its class number behind it: programs tell classes apart by name.
func ReadLabels(path string) ([]Label, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxLabelsBytes {
		return nil, fmt.Errorf("%s has %d MB; a label file has at most %d", path, info.Size()>>20, maxLabelsBytes>>20)
	}
	data, err := os.ReadFile(path)
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
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("it is not text in UTF-8; save it as UTF-8")
	}
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return nil, fmt.Errorf("it is empty; write one name a line, in the order of the network's outputs")
	case trimmed[0] == '[':
		labels, err = labelsOfList(trimmed)
	case trimmed[0] == '{':
		labels, err = labelsOfObject(trimmed)
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

func labelsOfObject(data []byte) ([]Label, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	if inner, ok := values["id2label"]; ok {
		return labelsOfObject(inner)
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

func labelsOfLines(text string) ([]Label, error) {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n \t"), "\n")
	if !strings.Contains(lines[0], "\t") {
		labels := make([]Label, len(lines))
		for i, line := range lines {
			labels[i] = Label{Label: strings.TrimSpace(line)}
		}
		return labels, nil
	}
	column := map[string]int{}
	for i, heading := range strings.Split(lines[0], "\t") {
		column[strings.ToLower(strings.TrimSpace(heading))] = i
	}
	_, hasLabel := column["label"]
	_, hasEnglish := column["en"]
	if !hasLabel && !hasEnglish {
		return nil, fmt.Errorf("it has columns, so its first line must name them: label or en, and if you like zh, wnid, class_id")
	}
	labels := make([]Label, 0, len(lines)-1)
	for i, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		cell := func(name string) string {
			if at, ok := column[name]; ok && at < len(cells) {
				return strings.TrimSpace(cells[at])
			}
			return ""
		}
		if id := cell("class_id"); id != "" && id != strconv.Itoa(i) {
			return nil, fmt.Errorf("line %d: class_id is %q where %d is due; sort the lines by class", i+2, id, i)
		}
		label := Label{Label: cell("label"), WNID: cell("wnid")}
		if label.Label == "" {
			label.Label = cell("en")
		}
		if en, zh := cell("en"), cell("zh"); zh != "" {
			if en == "" {
				en = label.Label
			}
			label.Names = map[string]string{"en": en, "zh": zh}
		}
		labels = append(labels, label)
	}
	return labels, nil
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
	for _, name := range []string{l.Label, l.WNID, l.Names["en"], l.Names["zh"]} {
		if utf8.RuneCountInString(name) > maxNameRunes {
			return fmt.Errorf("has %d characters, %.30q…; at most %d are allowed", utf8.RuneCountInString(name), name, maxNameRunes)
		}
		if strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("holds a control character: %.60q", name)
		}
	}
	return nil
}
