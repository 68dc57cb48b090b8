package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// csvPrinter writes one line for each picture, in the layout of the page's own CSV (service/web/page/csv.js): the two change together.
func csvPrinter(w io.Writer, s shown) *printer {
	header := []string{"file", "width", "height", "format", "model"}
	for i := 1; i <= s.columns; i++ {
		header = append(header, fmt.Sprintf("label_%d", i), fmt.Sprintf("zh_%d", i), fmt.Sprintf("percent_%d", i))
	}
	header = append(header, "tags", "warnings", "error")
	if s.parents {
		header = append(header, "parents", "top_groups")
	}
	beginning := ""
	if s.bom {
		beginning = "\ufeff"
	}
	beginning += csvLine(textCells(header))
	return &printer{
		print: func(o outcome) error {
			_, err := io.WriteString(w, beginning+csvLine(csvCells(o, s)))
			beginning = ""
			return err
		},
		finish: func() error { return nil },
	}
}

// columnsFor is how many answers a line has: those asked for, but no more than there are classes, if their number is known.
func columnsFor(topK, classes int) int {
	if classes == 0 {
		classes = 1000
	}
	return min(topK, classes)
}

// csvCells are the cells of a picture's line, ready to be joined.
func csvCells(o outcome, s shown) []string {
	r := o.result
	cells := textCells([]string{userfile.Valid(o.name)})
	if o.err == nil {
		cells = append(cells, strconv.Itoa(r.Width), strconv.Itoa(r.Height))
	} else {
		cells = append(cells, `""`, `""`)
	}
	cells = append(cells, textCells([]string{r.Format, o.model})...)
	for i := range s.columns {
		if i >= len(r.Predictions) {
			cells = append(cells, `""`, `""`, `""`)
			continue
		}
		p := r.Predictions[i]
		cells = append(cells, textCells([]string{p.Label, p.Names["zh"]})...)
		cells = append(cells, strconv.FormatFloat(p.Confidence, 'f', -1, 64))
	}
	var tags []string
	for _, t := range r.Tags {
		tags = append(tags, t.Tag)
	}
	failure := ""
	if o.err != nil {
		if failure = string(codeOf(o.err)); failure == "" {
			failure = publicError(o.err)
		}
	}
	cells = append(cells, textCells([]string{strings.Join(tags, "; "), strings.Join(r.Warnings, " "), failure})...)
	if s.parents {
		cells = append(cells, textCells([]string{strings.Join(groupTexts(r.Parents), "; "), strings.Join(groupTexts(r.TopGroups), "; ")})...)
	}
	return cells
}

// formula is where a spreadsheet would see the beginning of a formula: at the beginning of a cell, or behind a separator, at which some
// split cells again.
var formula = regexp.MustCompile(`(^|[;,|\t\r\n])([\s\p{Z}\x{feff}]*["']?)([=+\-@＝＋－＠])`)

// defuse makes text of what a spreadsheet would run: file names and labels come from anywhere.
func defuse(text string) string {
	text = formula.ReplaceAllString(text, "$1$2'$3")
	if strings.HasPrefix(text, "\t") || strings.HasPrefix(text, "\r") {
		return "'" + text
	}
	return text
}

func textCells(texts []string) []string {
	cells := make([]string, len(texts))
	for i, text := range texts {
		cells[i] = `"` + strings.ReplaceAll(defuse(text), `"`, `""`) + `"`
	}
	return cells
}

func csvLine(cells []string) string { return strings.Join(cells, ",") + "\n" }
