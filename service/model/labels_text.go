package model

import (
	"encoding/csv"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// labelsOfLines reads a file of one name a line, or of columns.
func labelsOfLines(text string) ([]Label, error) {
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n \t")
	first, _, _ := strings.Cut(text, "\n")
	for _, separator := range []rune{'\t', ';', ','} {
		if column := headings(first, separator); column != nil {
			return labelsOfColumns(text, separator, column)
		}
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	lines, numbered := withoutNumbers(lines)
	labels := make([]Label, len(lines))
	wordNet := !slices.ContainsFunc(lines, func(line string) bool { return !wnidBefore.MatchString(line) })
	for i, line := range lines {
		labels[i].Label = line
		if parts := wnidBefore.FindStringSubmatch(line); wordNet {
			labels[i] = Label{WNID: parts[1], Label: parts[2]}
		}
	}
	if !numbered && !wordNet && strings.Contains(first, "\t") {
		return nil, fmt.Errorf("it has columns, so its first line must name them: label or en, and if you like zh, wnid, class_id")
	}
	return labels, nil
}

// headings is the place of each column by its name, where line names columns; nil where it does not.
func headings(line string, separator rune) map[string]int {
	cells := strings.Split(line, string(separator))
	column := map[string]int{}
	for i, cell := range cells {
		name := strings.ToLower(strings.Trim(strings.TrimSpace(cell), `"`))
		switch name {
		case "name", "class_name":
			name = "label"
		case "id", "index", "class_idx":
			name = "class_id"
		}
		column[name] = i
	}
	_, label := column["label"]
	_, english := column["en"]
	if len(cells) < 2 || !label && !english {
		return nil
	}
	return column
}

func labelsOfColumns(text string, separator rune, column map[string]int) ([]Label, error) {
	var rows [][]string
	if separator == '\t' { // quotes are letters there
		for _, line := range strings.Split(text, "\n") {
			rows = append(rows, strings.Split(line, "\t"))
		}
	} else {
		reader := csv.NewReader(strings.NewReader(text))
		reader.Comma, reader.FieldsPerRecord = separator, -1
		var err error
		if rows, err = reader.ReadAll(); err != nil {
			return nil, fmt.Errorf("its columns cannot be told apart: %w", err)
		}
	}
	labels := make([]Label, 0, len(rows))
	for i, cells := range rows[1:] {
		cell := func(name string) string {
			if at, ok := column[name]; ok && at < len(cells) {
				return strings.TrimSpace(cells[at])
			}
			return ""
		}
		if id := cell("class_id"); id != "" && id != strconv.Itoa(i) {
			return nil, fmt.Errorf("line %d: class_id is %q where %d is due; sort the lines by class, and count from 0", i+2, id, i)
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

var (
	// numberBefore is a class number before a name: "0 tench", "0: tench", "1,tench", "3) shark".
	numberBefore = regexp.MustCompile(`^(\d{1,6})(?:\s*[:;,.=)\t-]\s*|\s+)(\S.*)$`)
	// wnidBefore is a WordNet id before a name: "n01440764 tench".
	wnidBefore = regexp.MustCompile(`^(n\d{8})(?:\s*[:;,=\t]\s*|\s+)(\S.*)$`)
)

// withoutNumbers is the lines in the order of the class numbers that stand before their names, without these, if each line has one
// and they count from 0 or from 1. Else they belong to the names, as in "7 segment display", and lines is as it was.
func withoutNumbers(lines []string) (_ []string, numbered bool) {
	names := make(map[int]string, len(lines))
	different := make(map[string]bool, len(lines))
	least := len(lines)
	for _, line := range lines {
		parts := numberBefore.FindStringSubmatch(line)
		if parts == nil {
			return lines, false
		}
		number, err := strconv.Atoi(parts[1])
		if _, twice := names[number]; err != nil || twice {
			return lines, false
		}
		names[number] = unquoted(parts[2])
		different[names[number]] = true
		least = min(least, number)
	}
	sorted := make([]string, len(lines))
	for i := range sorted {
		name, found := names[least+i]
		if !found || least > 1 {
			return lines, false
		}
		sorted[i] = name
	}
	if len(different) == 1 && len(lines) > 1 { // "1 euro", "2 euro"
		return lines, false
	}
	return sorted, true
}

// unquoted is a cell of a CSV file without its quotes.
func unquoted(name string) string {
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return name
}
