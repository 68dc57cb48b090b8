package eval

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// Side is one model with what it said.
type Side struct {
	Subject  Subject
	Labels   []model.Label
	Records  []Record
	Measures Measures
}

// Report is an evaluation as people read it: one HTML file that needs nothing beside it.
type Report struct {
	Dataset string
	Side
	Other *Other // nil without a second model
	// Picture is what the network saw of an item, as a JPEG; nil where there is none. It is called for the few that are shown.
	Picture func(name string) []byte
}

// Other is the model that the first is set beside.
type Other struct {
	Side
	Comparison Comparison
}

// MistakesShown is how many mistakes a report shows, at most: the worst.
const MistakesShown = 24

const (
	classesShown = 40
	matrixSide   = 20
	failedShown  = 50
)

//go:embed report.html
var reportSource string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(share float64) string { return fmt.Sprintf("%.1f %%", share*100) },
}).Parse(reportSource))

// Write writes the page.
func (r *Report) Write(w io.Writer) error {
	page := map[string]any{
		"Dataset": r.Dataset, "Subject": r.Subject, "Measures": r.Measures,
		"Reliability": reliability(r.Measures.Bins), "Matrix": r.matrix(), "Mistakes": r.mistakes(), "Failed": r.failed(),
	}
	classes := r.classes()
	page["Classes"], page["ClassesLeft"] = classes, len(r.Measures.Classes)-len(classes)
	if o := r.Other; o != nil {
		page["Other"] = map[string]any{"Subject": o.Subject, "Measures": o.Measures, "Comparison": o.Comparison, "Verdict": o.Comparison.Verdict()}
	}
	return reportPage.Execute(w, page)
}

// Verdict says in a sentence whether one model is better.
func (c Comparison) Verdict() string {
	split := fmt.Sprintf("%d pictures are right with the first alone and %d with the other alone", c.OnlyFirst, c.OnlyOther)
	switch {
	case c.OnlyFirst+c.OnlyOther == 0:
		return "Neither is right where the other is wrong."
	case c.PValue >= 0.05:
		return fmt.Sprintf("%s: that may well be chance (p = %.2g). More pictures would tell.", split, c.PValue)
	case c.OnlyFirst > c.OnlyOther:
		return fmt.Sprintf("%s: the first is better, hardly by chance (p = %.2g).", split, c.PValue)
	}
	return fmt.Sprintf("%s: the other is better, hardly by chance (p = %.2g).", split, c.PValue)
}

// name is a class in both languages where it has two names.
func (s *Side) name(class int) string {
	label := s.Labels[class]
	if zh := label.Names["zh"]; zh != "" && zh != label.Label {
		return label.Label + " (" + zh + ")"
	}
	return label.Label
}

type classRow struct {
	Class
	Name string
}

func (r *Report) classes() []classRow {
	var rows []classRow
	for _, c := range r.Measures.Classes[:min(classesShown, len(r.Measures.Classes))] {
		rows = append(rows, classRow{c, r.name(c.Class)})
	}
	return rows
}

type mistake struct {
	File, Said, Right             string
	Probability, RightProbability float64
	Picture                       template.URL
}

func (r *Report) mistakes() []mistake {
	var shown []mistake
	for _, record := range Worst(r.Records, MistakesShown) {
		first := record.Top[0]
		m := mistake{File: record.File, Said: r.name(first.Class), Right: r.name(record.Class), Probability: first.Probability, RightProbability: record.Right}
		if r.Picture != nil {
			if data := r.Picture(record.File); data != nil {
				m.Picture = dataURL("image/jpeg", data)
			}
		}
		shown = append(shown, m)
	}
	return shown
}

func (r *Report) failed() []Record {
	var failed []Record
	for _, record := range r.Records {
		if record.Error != "" && len(failed) < failedShown {
			failed = append(failed, record)
		}
	}
	return failed
}

type matrix struct {
	Columns []string
	Rows    []matrixRow
	Part    bool // not all classes are in it
}

type matrixRow struct {
	Name  string
	Cells []cell
}

type cell struct {
	Count, Shade int
	Right        bool
}

// matrix counts what was said for what, among the classes with the most mistakes.
func (r *Report) matrix() matrix {
	mistakes, counts := map[int]int{}, map[Pair]int{}
	for _, record := range r.Records {
		if record.Error != "" || len(record.Top) == 0 {
			continue
		}
		pair := Pair{Right: record.Class, Said: record.Top[0].Class}
		counts[pair]++
		if pair.Right != pair.Said {
			mistakes[pair.Right]++
			mistakes[pair.Said]++
		}
	}
	if len(r.Measures.Classes) <= matrixSide { // few classes: show those without mistakes as well
		for _, c := range r.Measures.Classes {
			mistakes[c.Class] += 0
		}
	}
	var classes []int
	for class := range mistakes {
		classes = append(classes, class)
	}
	slices.SortFunc(classes, func(a, b int) int { return cmp.Or(mistakes[b]-mistakes[a], a-b) })
	m := matrix{Part: len(classes) > matrixSide || len(classes) < len(r.Measures.Classes)}
	classes = classes[:min(matrixSide, len(classes))]
	slices.Sort(classes)
	largest := 1
	for pair, count := range counts {
		if pair.Right != pair.Said {
			largest = max(largest, count)
		}
	}
	for _, right := range classes {
		m.Columns = append(m.Columns, r.Labels[right].Label)
		row := matrixRow{Name: r.name(right)}
		for _, said := range classes {
			count := counts[Pair{Right: right, Said: said}]
			row.Cells = append(row.Cells, cell{Count: count, Right: right == said, Shade: int(math.Min(60, 60*float64(count)/float64(largest)))})
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// reliability draws the share that is right over the probability of the first answer.
func reliability(bins []Bin) template.HTML {
	const side, margin = 260.0, 40.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg role="img" aria-label="Share of right answers by the probability of the first answer" viewBox="0 0 %.0f %.0f" width="%.0f">`, side+2*margin, side+2*margin, side+2*margin)
	for i := 0; i <= 4; i++ {
		at := float64(i) / 4
		fmt.Fprintf(&b, `<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, margin, margin+side*(1-at), margin+side, margin+side*(1-at))
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="end">%.0f</text><text x="%.1f" y="%.1f" text-anchor="middle">%.0f</text>`,
			margin-6, margin+side*(1-at)+4, at*100, margin+side*at, margin+side+18, at*100)
	}
	for _, bin := range bins {
		if bin.Pictures == 0 {
			continue
		}
		width := side * (bin.High - bin.Low)
		fmt.Fprintf(&b, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%d pictures: %.0f %% sure, %.0f %% right</title></rect>`,
			margin+side*bin.Low+2, margin+side*(1-bin.Correct), width-4, side*bin.Correct, bin.Pictures, bin.Confidence*100, bin.Correct*100)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%d</text>`, margin+side*bin.Low+width/2, margin+side*(1-bin.Correct)-5, bin.Pictures)
	}
	fmt.Fprintf(&b, `<line class="ideal" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, margin, margin+side, margin+side, margin)
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">how sure, %%</text><text x="%.1f" y="20">right, %%; above the bars: pictures</text></svg>`, margin+side/2, margin+side+36, margin)
	return template.HTML(b.String()) // numbers only
}
