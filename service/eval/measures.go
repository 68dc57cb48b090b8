package eval

import (
	"cmp"
	"math"
	"slices"
)

// Measures is how well a model does.
type Measures struct {
	Pictures int     `json:"pictures"`       // with an answer
	Failed   int     `json:"failed"`         // without: they count in nothing else
	Top1     float64 `json:"top1"`           // share whose first answer is right, 0–1
	Top5     float64 `json:"top5"`           // share with the right class among the first five
	Low      float64 `json:"top1_low"`       // bounds of the true share, with 95 % confidence
	High     float64 `json:"top1_high"`      //
	MeanNLL  float64 `json:"log_loss"`       // mean of −ln of the right class's probability
	ECE      float64 `json:"ece"`            // how far percentages are from the share that is right, 0–1
	Median   float64 `json:"median_ms"`      // of a picture, from its bytes to the answer, beside others
	Balanced float64 `json:"balanced_top1"`  // mean of the classes' recalls: each class counts the same
	Classes  []Class `json:"classes"`        // those that occur, the worst recall first
	Bins     []Bin   `json:"reliability"`    // of the first answers' probabilities
	Confused []Pair  `json:"confused_pairs"` // the most frequent first
}

// Class is how a model does on one class.
type Class struct {
	Class     int     `json:"class"`
	Pictures  int     `json:"pictures"`  // of this class
	Said      int     `json:"said"`      // how often it was the first answer
	Recall    float64 `json:"recall"`    // share of its pictures whose first answer it is
	Precision float64 `json:"precision"` // share of those where it was said that are right; 0 where it never was
}

// Bin is the pictures whose first answer has a probability from Low up to High.
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Pictures   int     `json:"pictures"`
	Confidence float64 `json:"confidence"` // mean probability of the first answers, 0–1
	Correct    float64 `json:"correct"`    // share that is right, 0–1
}

// Pair is a class taken for another.
type Pair struct {
	Right int `json:"right"` // index of the class that it is
	Said  int `json:"said"`  // index of the class that was answered
	Count int `json:"count"` // pictures
}

// bins of the reliability diagram: the usual number where there are a thousand pictures and more; wide enough for some dozen.
const bins = 10

// Measure sums up the records.
func Measure(records []Record) Measures {
	var m Measures
	var top1, top5 int
	var times []float64
	byClass := map[int]*Class{}
	class := func(c int) *Class {
		if byClass[c] == nil {
			byClass[c] = &Class{Class: c}
		}
		return byClass[c]
	}
	confused := map[Pair]int{}
	m.Bins = make([]Bin, bins)
	for _, r := range records {
		if r.Error != "" || len(r.Top) == 0 {
			m.Failed++
			continue
		}
		m.Pictures++
		first := r.Top[0]
		bin := &m.Bins[min(int(first.Probability*bins), bins-1)]
		bin.Pictures++
		bin.Confidence += first.Probability
		class(r.Class).Pictures++
		class(first.Class).Said++
		if r.Correct(1) {
			top1++
			bin.Correct++
			class(r.Class).Recall++
		} else {
			confused[Pair{Right: r.Class, Said: first.Class}]++
		}
		if r.Correct(5) {
			top5++
		}
		m.MeanNLL -= math.Log(max(r.Right, leastProbability))
		times = append(times, r.Milliseconds)
	}
	if m.Pictures == 0 {
		return m
	}
	n := float64(m.Pictures)
	m.Top1, m.Top5, m.MeanNLL = float64(top1)/n, float64(top5)/n, m.MeanNLL/n
	m.Low, m.High = wilson(top1, m.Pictures)
	slices.Sort(times)
	m.Median = times[len(times)/2]
	m.finishBins()
	m.finishClasses(byClass)
	for pair, count := range confused {
		pair.Count = count
		m.Confused = append(m.Confused, pair)
	}
	slices.SortFunc(m.Confused, func(a, b Pair) int {
		return cmp.Or(b.Count-a.Count, a.Right-b.Right, a.Said-b.Said)
	})
	return m
}

// leastProbability keeps one picture, whose right class got 0, from making the mean infinite.
const leastProbability = 1e-12

// finishBins turns sums into means. The expected calibration error is the mean distance between a bin's confidence and its share
// of right answers, weighted by its pictures (Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3).
func (m *Measures) finishBins() {
	for i := range m.Bins {
		b := &m.Bins[i]
		b.Low, b.High = float64(i)/bins, float64(i+1)/bins
		if b.Pictures == 0 {
			continue
		}
		b.Confidence /= float64(b.Pictures)
		b.Correct /= float64(b.Pictures)
		m.ECE += math.Abs(b.Confidence-b.Correct) * float64(b.Pictures) / float64(m.Pictures)
	}
}

func (m *Measures) finishClasses(byClass map[int]*Class) {
	for _, c := range byClass {
		right := c.Recall
		if c.Said > 0 {
			c.Precision = right / float64(c.Said)
		}
		if c.Pictures == 0 {
			continue // said only, and wrongly: the confused pairs have it
		}
		c.Recall = right / float64(c.Pictures)
		m.Balanced += c.Recall
		m.Classes = append(m.Classes, *c)
	}
	m.Balanced /= float64(len(m.Classes))
	slices.SortFunc(m.Classes, func(a, b Class) int {
		return cmp.Or(cmp.Compare(a.Recall, b.Recall), b.Pictures-a.Pictures, a.Class-b.Class)
	})
}

// wilson is the 95 % confidence interval of a share of which hits of n were seen (Wilson's score interval, 1927): unlike the
// plain ± it stays within 0 and 1, and is right for few pictures.
func wilson(hits, n int) (low, high float64) {
	const z = 1.959964 // the normal distribution's 97.5 % quantile
	p, count := float64(hits)/float64(n), float64(n)
	middle := (p + z*z/(2*count)) / (1 + z*z/count)
	half := z / (1 + z*z/count) * math.Sqrt(p*(1-p)/count+z*z/(4*count*count))
	return max(middle-half, 0), min(middle+half, 1)
}

// Worst is the mistakes that the model was surest of, at most n, the surest first.
func Worst(records []Record, n int) []Record {
	var wrong []Record
	for _, r := range records {
		if r.Error == "" && len(r.Top) > 0 && !r.Correct(1) {
			wrong = append(wrong, r)
		}
	}
	slices.SortStableFunc(wrong, func(a, b Record) int { return cmp.Compare(b.Top[0].Probability, a.Top[0].Probability) })
	return wrong[:min(n, len(wrong))]
}
