package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/service/rules"
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
	single        bool // there is one picture
}

func newPrinter(format string, w io.Writer, s shown) *printer {
	nothing := func() error { return nil }
	switch format {
	case "json":
		if s.single && !s.parents && !s.tags {
			return &printer{print: func(o outcome) error { return printArticleList(w, o) }, finish: nothing, quiet: true}
		}
		return jsonPrinter(w, s.lang)
	case "jsonl":
		return &printer{print: func(o outcome) error { return printJSONLine(w, s.lang, o) }, finish: nothing}
	case "csv":
		return csvPrinter(w, s)
	}
	bars := isTerminal(w)
	return &printer{print: func(o outcome) error { return printText(w, s.lang, bars, o) }, finish: nothing, quiet: true}
}

// publicError is the sentence for the person: a refused picture's own, without the decoder's cause behind it.
func publicError(err error) string {
	var refused *preprocess.Error
	if errors.As(err, &refused) {
		return refused.Detail
	}
	return err.Error()
}

// printable is a file's name as a terminal may have it: a control character in it could move the cursor, or hide a line.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, name)
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
	t := r.Timing
	heading := fmt.Sprintf("%s  (%d × %d %s, %.1f ms", printable(o.name), r.Width, r.Height, r.Format, classify.Milliseconds(t.Decode+t.Preprocess+t.Inference))
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
		names[i] = p.Label.Display(lang)
		if lang != "en" && names[i] != p.Label.Label {
			names[i] += " (" + p.Label.Label + ")"
		}
		width = max(width, runewidth.StringWidth(names[i]))
	}
	for i, p := range r.Predictions {
		line := fmt.Sprintf("  %s  %5.1f %%", runewidth.FillRight(names[i], width), p.Confidence())
		if bar := barOf(p.Probability); bars && bar != "" {
			line += "  " + bar
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, line := range []string{groupsText("parents", r.Parents, lang), groupsText("top groups", r.TopGroups, lang), tagsText(r, lang)} {
		if line == "" {
			continue
		}
		if _, err := fmt.Fprintln(w, "  "+line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

// groupsText is the groups in one line, "" where they were not asked for.
func groupsText(kind string, groups []classify.Parent, lang string) string {
	if groups == nil {
		return ""
	}
	return kind + ": " + orNone(groupTexts(groups, lang), ", ")
}

func groupTexts(groups []classify.Parent, lang string) []string {
	var texts []string
	for _, p := range groups {
		texts = append(texts, fmt.Sprintf("%s %.1f %%", p.Group.Display(lang), p.Confidence()))
	}
	return texts
}

// tagsText is the tags with their reasons in one line, "" where there are no rules.
func tagsText(r *classify.Result, lang string) string {
	if r.Tags == nil {
		return ""
	}
	var texts []string
	for _, t := range r.Tags {
		var because []string
		for _, reason := range t.Because {
			because = append(because, reason.Text(lang))
		}
		texts = append(texts, fmt.Sprintf("%s (%s)", tagText(t), strings.Join(because, ", ")))
	}
	return "tags: " + orNone(texts, "; ")
}

// tagText is a tag and what to do: cat → notify.
func tagText(t rules.Tag) string {
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

func warningText(w preprocess.Warning) string {
	switch w {
	case preprocess.LowResolution:
		return "low resolution: the answer may be poor"
	case preprocess.DamagedImage:
		return "the file is damaged: the answer may be wrong"
	case classify.NotSure:
		return "not sure"
	}
	return string(w)
}

// printArticleList writes [{"label": "alp", "confidence": 92.3}, …], spaced as Python's json.dumps does.
func printArticleList(w io.Writer, o outcome) error {
	if o.err != nil {
		return nil
	}
	items := make([]string, len(o.result.Predictions))
	for i, a := range o.result.Answers() {
		label, err := json.Marshal(a.Label)
		if err != nil {
			return err
		}
		items[i] = fmt.Sprintf(`{"label": %s, "confidence": %.1f}`, label, a.Confidence)
	}
	_, err := fmt.Fprintf(w, "[%s]\n", strings.Join(items, ", "))
	return err
}

func csvPrinter(w io.Writer, s shown) *printer {
	out := csv.NewWriter(w)
	header := []string{"file", "rank", "label", "display", "class_id", "wnid", "confidence", "probability", "error"}
	if s.parents {
		header = append(header, "parents")
	}
	if s.tags {
		header = append(header, "tags")
	}
	// write fills up the columns that are only there when asked for; they repeat on each line of a picture.
	write := func(r *classify.Result, cells ...string) {
		if s.parents && r != nil {
			cells = append(cells, strings.Join(groupTexts(r.Parents, s.lang), "; "))
		}
		if s.tags && r != nil {
			var tags []string
			for _, t := range r.Tags {
				tags = append(tags, tagText(t))
			}
			cells = append(cells, strings.Join(tags, "; "))
		}
		out.Write(append(cells, make([]string, len(header)-len(cells))...))
	}
	started := false
	return &printer{
		print: func(o outcome) error {
			if !started {
				started = true
				if err := out.Write(header); err != nil {
					return err
				}
			}
			if o.err != nil {
				write(nil, o.name, "", "", "", "", "", "", "", publicError(o.err))
			} else {
				for i, p := range o.result.Predictions {
					write(o.result, o.name, strconv.Itoa(i+1), p.Label.Label, p.Label.Display(s.lang), strconv.Itoa(p.ClassID), p.Label.WNID,
						strconv.FormatFloat(p.Confidence(), 'f', 1, 64), strconv.FormatFloat(p.Probability, 'f', 6, 64), "")
				}
			}
			out.Flush()
			return out.Error()
		},
		finish: func() error { return nil },
	}
}

// jsonPrinter writes one array with an element for each picture.
func jsonPrinter(w io.Writer, lang string) *printer {
	separator := "[\n"
	return &printer{
		print: func(o outcome) error {
			if _, err := io.WriteString(w, separator); err != nil {
				return err
			}
			separator = ",\n"
			data, err := json.Marshal(wireOutcome(lang, o))
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

func printJSONLine(w io.Writer, lang string, o outcome) error {
	data, err := json.Marshal(wireOutcome(lang, o))
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// wireOutcome is an outcome as the HTTP API would answer it; a failed one has its sentence and, for a refused picture, the
// API's code.
func wireOutcome(lang string, o outcome) api.Result {
	wire := api.Result{Warnings: []string{}, Predictions: []api.Prediction{}}
	if o.err == nil {
		wire = o.result.Wire(lang)
	} else {
		problem := &api.Problem{Type: "about:blank", Title: "could not be classified", Detail: publicError(o.err)}
		var refused *preprocess.Error
		if errors.As(o.err, &refused) {
			problem.Code = api.Code(refused.Code)
		}
		wire.Error = problem
	}
	wire.Index, wire.Filename = o.index, o.name
	return wire
}
