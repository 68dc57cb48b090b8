package eval

import "math"

// Comparison is one model beside another on the same pictures.
type Comparison struct {
	Pictures  int     `json:"pictures"`   // with an answer of both
	Agree     float64 `json:"agree"`      // share with the same first answer, 0–1
	OnlyFirst int     `json:"only_first"` // right with the first model alone
	OnlyOther int     `json:"only_other"` // right with the other alone
	PValue    float64 `json:"p_value"`    // how likely a difference at least as large is if both are equally good
}

// Compare sets the records of two models beside each other, of the pictures that both have: each leaves out those of classes that it
// does not know. Labels of the two need not have the same order: same reports whether a class of the first model is one of the other.
func Compare(first, other []Record, same func(first, other int) bool) Comparison {
	var c Comparison
	others := make(map[string]Record, len(other))
	for _, b := range other {
		others[b.File] = b
	}
	agree := 0
	for _, a := range first {
		b := others[a.File] // one without answers where there is none
		if a.Error != "" || b.Error != "" || len(a.Top) == 0 || len(b.Top) == 0 {
			continue
		}
		c.Pictures++
		if same(a.Top[0].Class, b.Top[0].Class) {
			agree++
		}
		switch right, otherRight := a.Correct(1), b.Correct(1); {
		case right && !otherRight:
			c.OnlyFirst++
		case otherRight && !right:
			c.OnlyOther++
		}
	}
	if c.Pictures > 0 {
		c.Agree = float64(agree) / float64(c.Pictures)
	}
	c.PValue = signTest(c.OnlyFirst, c.OnlyOther)
	return c
}

// signTest is McNemar's test in its exact form: if both models were equally good, each picture that only one gets right would be a
// coin's toss. It is the probability of a split at least as uneven as a to b, on either side.
func signTest(a, b int) float64 {
	n, least := a+b, min(a, b)
	sum := 0.0
	for k := 0; k <= least; k++ {
		sum += math.Exp(logChoose(n, k) - float64(n)*math.Ln2)
	}
	return min(2*sum, 1)
}

func logChoose(n, k int) float64 {
	all, _ := math.Lgamma(float64(n + 1))
	in, _ := math.Lgamma(float64(k + 1))
	out, _ := math.Lgamma(float64(n - k + 1))
	return all - in - out
}
