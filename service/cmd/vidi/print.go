package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/logs"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/service/rules"
	"github.com/vidi-vision/vidi/service/userfile"
)

// printer writes outcomes in one of the formats of `vidi classify`.
type printer struct {
	print  func(outcome) error
	finish func() error
	quiet  bool // errors have no place in this output
}

func (p *printer) errorsGoToStderr() bool { return p.quiet }

// shown is what is printed beside the answers, and how.
type shown struct {
	lang          string
	parents, tags bool
	single        bool // there is one picture, beside files that vidi does not read
	bom           bool // CSV begins with a byte-order mark
	columns       int  // answers in a line of CSV
}

func newPrinter(format string, w io.Writer, s shown) *printer {
	nothing := func() error { return nil }
	switch format {
	case "json", "jsonl":
		w = logs.PrintableJSON(raw(w))
	case "csv":
		if !isTerminal(w) { // spreadsheets take names as they are
			w = raw(w)
		}
	}
	switch format {
	case "json":
		if s.single && !s.parents && !s.tags {
			return &printer{print: func(o outcome) error { return printArticleList(w, o) }, finish: nothing, quiet: true}
		}
		return jsonPrinter(w)
	case "jsonl":
		return &printer{print: func(o outcome) error { return printJSONLine(w, o) }, finish: nothing}
	case "csv":
		return csvPrinter(w, s)
	}
	bars := isTerminal(w)
	return &printer{print: func(o outcome) error { return printText(w, s.lang, bars, o) }, finish: nothing, quiet: true}
}

// publicError is the sentence for the person: a refused picture's own, without the decoder's cause behind it.
func publicError(err error) string {
	var refused *preprocess.Error
	var problem *api.Problem
	switch {
	case errors.As(err, &refused):
		return refused.Detail
	case errors.As(err, &problem): // a server's
		return shortened(problem.Detail)
	}
	return userfile.Explain(err)
}

// codeOf is the API's code for what is wrong with a picture, "" where there is none.
func codeOf(err error) api.Code {
	var refused *preprocess.Error
	var problem *api.Problem
	switch {
	case errors.As(err, &refused):
		return api.Code(refused.Code)
	case errors.As(err, &problem):
		return problem.Code
	case errors.As(err, new(unreadError)):
		return api.UnsupportedFormat
	}
	return ""
}

// barOf is a bar for 0 to 1.
func barOf(part float64) string {
	const width = 20
	return strings.Repeat("█", min(max(int(part*width+0.5), 0), width))
}

// printText writes a heading and one line an answer, with a bar where a person looks.
func printText(w io.Writer, lang string, bars bool, o outcome) error {
	if o.err != nil {
		return nil
	}
	r := o.result
	heading := fmt.Sprintf("%s  (%d × %d %s, %.1f ms", printable(o.name), r.Width, r.Height, printable(shortened(r.Format)), r.Timing.Decode+r.Timing.Preprocess+r.Timing.Inference)
	for _, warning := range r.Warnings {
		heading += ", " + warningText(warning)
	}
	if _, err := fmt.Fprintln(w, heading+")"); err != nil {
		return err
	}
	if len(r.Predictions) == 0 {
		_, err := fmt.Fprintln(w, "  no answer")
		return err
	}
	names := make([]string, len(r.Predictions))
	width := 0
	for i, p := range r.Predictions {
		names[i] = p.Display
		if lang != "en" && names[i] != p.Label {
			names[i] += " (" + p.Label + ")"
		}
		names[i] = printable(shortened(names[i])) // a server's may hold anything
		width = max(width, runewidth.StringWidth(names[i]))
	}
	for i, p := range r.Predictions {
		line := fmt.Sprintf("  %s  %5.1f %%", runewidth.FillRight(names[i], width), p.Confidence)
		if bar := barOf(p.Probability); bars && bar != "" {
			line += "  " + bar
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, line := range []string{groupsText("parents", r.Parents), groupsText("top groups", r.TopGroups), tagsText(r, lang)} {
		if line == "" {
			continue
		}
		if _, err := fmt.Fprintln(w, "  "+printable(shortened(line))); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

// groupsText is the groups in one line, "" where they were not asked for.
func groupsText(kind string, groups []api.Parent) string {
	if groups == nil {
		return ""
	}
	return kind + ": " + orNone(groupTexts(groups), ", ")
}

func groupTexts(groups []api.Parent) []string {
	var texts []string
	for _, p := range groups {
		texts = append(texts, fmt.Sprintf("%s %.1f %%", p.Display, p.Confidence))
	}
	return texts
}

// tagsText is the tags with their reasons in one line, "" where there are no rules.
func tagsText(r api.Result, lang string) string {
	if r.Tags == nil {
		return ""
	}
	var texts []string
	for _, t := range r.Tags {
		var because []string
		for _, reason := range t.Because {
			because = append(because, reasonText(reason, lang))
		}
		texts = append(texts, fmt.Sprintf("%s (%s)", tagText(t), strings.Join(because, ", ")))
	}
	return "tags: " + orNone(texts, "; ")
}

func reasonText(r api.Reason, lang string) string {
	percent := func(p *float64) float64 {
		if p == nil {
			return math.NaN()
		}
		return *p
	}
	return rules.Reason{Label: r.Label, Names: r.Names, Percent: r.Percent, AtLeast: percent(r.AtLeast), Below: percent(r.Below)}.Text(lang)
}

// tagText is a tag and what to do: cat → notify.
func tagText(t api.Tag) string {
	if t.Action == "" {
		return t.Tag
	}
	return t.Tag + " → " + t.Action
}

func orNone(texts []string, separator string) string {
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, separator)
}

func warningText(code string) string {
	switch preprocess.Warning(code) {
	case preprocess.LowResolution:
		return "low resolution: the answer may be poor"
	case preprocess.DamagedImage:
		return "the file is damaged: the answer may be wrong"
	case classify.NotSure:
		return "not sure"
	}
	return printable(shortened(code))
}

// printArticleList writes [{"label": "alp", "confidence": 92.3}, …], spaced as Python's json.dumps does.
func printArticleList(w io.Writer, o outcome) error {
	if o.err != nil {
		return nil
	}
	items := make([]string, len(o.result.Predictions))
	for i, a := range o.result.Predictions {
		label, err := json.Marshal(a.Label)
		if err != nil {
			return err
		}
		items[i] = fmt.Sprintf(`{"label": %s, "confidence": %.1f}`, label, a.Confidence)
	}
	_, err := fmt.Fprintf(w, "[%s]\n", strings.Join(items, ", "))
	return err
}

// jsonPrinter writes one array with an element for each picture.
func jsonPrinter(w io.Writer) *printer {
	separator := "[\n"
	return &printer{
		print: func(o outcome) error {
			if _, err := io.WriteString(w, separator); err != nil {
				return err
			}
			separator = ",\n"
			data, err := json.Marshal(wireOutcome(o))
			if err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		},
		finish: func() error {
			end := "\n]\n"
			if separator == "[\n" { // interrupted before the first picture
				end = "[]\n"
			}
			_, err := io.WriteString(w, end)
			return err
		},
	}
}

func printJSONLine(w io.Writer, o outcome) error {
	data, err := json.Marshal(wireOutcome(o))
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// wireOutcome is an outcome as the HTTP API would answer it; a failed one has its sentence and, for a refused picture, the
// API's code. Bytes of a file's name that are no UTF-8, which JSON cannot hold, are written \xe9.
func wireOutcome(o outcome) api.Result {
	wire := o.result
	if o.err != nil {
		wire = api.Result{Warnings: []string{}, Predictions: []api.Prediction{}}
		wire.Error = &api.Problem{Type: "about:blank", Title: "could not be classified", Detail: publicError(o.err), Code: codeOf(o.err)}
	}
	wire.Index, wire.Filename = o.index, userfile.Valid(o.name)
	return wire
}
