package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// printer writes outcomes in one of the formats of `vidi classify`.
type printer struct {
	print  func(outcome) error
	finish func() error
	quiet  bool // errors have no place in this output
}

func (p *printer) errorsGoToStderr() bool { return p.quiet }

func newPrinter(format, lang string, w io.Writer, single bool) *printer {
	nothing := func() error { return nil }
	switch format {
	case "json":
		if single {
			return &printer{print: func(o outcome) error { return printArticleList(w, o) }, finish: nothing, quiet: true}
		}
		return jsonPrinter(w, lang)
	case "jsonl":
		return &printer{print: func(o outcome) error { return printJSONLine(w, lang, o) }, finish: nothing}
	case "csv":
		return csvPrinter(w, lang)
	}
	bars := isTerminal(w)
	return &printer{print: func(o outcome) error { return printText(w, lang, bars, o) }, finish: nothing, quiet: true}
}

// publicError is the sentence for the person: a refused picture's own, without the decoder's cause behind it.
func publicError(err error) string {
	var refused *preprocess.Error
	if errors.As(err, &refused) {
		return refused.Detail
	}
	return err.Error()
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
	heading := fmt.Sprintf("%s  (%d × %d %s, %.1f ms", o.name, r.Width, r.Height, r.Format, classify.Milliseconds(t.Decode+t.Preprocess+t.Inference))
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
	_, err := fmt.Fprintln(w)
	return err
}

func warningText(w preprocess.Warning) string {
	switch w {
	case preprocess.LowResolution:
		return "low resolution: the answer may be poor"
	case preprocess.DamagedImage:
		return "the file is damaged: the answer may be wrong"
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

func csvPrinter(w io.Writer, lang string) *printer {
	out := csv.NewWriter(w)
	header := []string{"file", "rank", "label", "display", "class_id", "wnid", "confidence", "probability", "error"}
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
				out.Write([]string{o.name, "", "", "", "", "", "", "", publicError(o.err)})
			} else {
				for i, p := range o.result.Predictions {
					out.Write([]string{o.name, strconv.Itoa(i + 1), p.Label.Label, p.Label.Display(lang), strconv.Itoa(p.ClassID), p.Label.WNID,
						strconv.FormatFloat(p.Confidence(), 'f', 1, 64), strconv.FormatFloat(p.Probability, 'f', 6, 64), ""})
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
			_, err := io.WriteString(w, "\n]\n")
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
