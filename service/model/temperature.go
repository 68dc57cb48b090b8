package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The temperatures that a card may have.
const (
	MinTemperature = 0.05
	MaxTemperature = 20.0
)

// Calibration is a temperature that was found, and what it gains.
type Calibration struct {
	Temperature float64
	Before      float64 // mean negative log-likelihood of the right classes at temperature 1, in nats
	After       float64 // the same at Temperature: never more
	// AtBound is true where no temperature is best, and Temperature is MinTemperature, as every picture is right, or MaxTemperature, as
	// the logits say nothing.
	AtBound bool
}

// FitTemperature finds the temperature at which softmax's probabilities fit best: the one at which the mean negative
// log-likelihood of the right classes is least. logits is one row of a network's output for each picture, right the index of
// its class. The pictures must be others than the network was trained on: of those it is too sure. Some hundreds will do, and
// the order of the answers stays: one number moves all of them.
//
// This is temperature scaling: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017,
// section 4.2. With b = 1/T the likelihood's derivative is the mean over the pictures of E[z] − z[right], where E is taken under
// softmax(b·z). It only grows with b, so that bisection finds where it is 0. Where it never is, because every picture is right or
// the logits say nothing, the answer is the nearest of MinTemperature and MaxTemperature.
func FitTemperature(logits [][]float32, right []int) (Calibration, error) {
	if len(logits) == 0 || len(logits) != len(right) {
		return Calibration{}, fmt.Errorf("calibration needs one right class for each picture, and at least one; here are %d pictures and %d classes", len(logits), len(right))
	}
	for i, row := range logits {
		if right[i] < 0 || right[i] >= len(row) {
			return Calibration{}, fmt.Errorf("the right class of picture %d is %d; the network has %d", i, right[i], len(row))
		}
		if slices.ContainsFunc(row, func(v float32) bool { return !finite(v) }) {
			return Calibration{}, fmt.Errorf("picture %d: %w", i, ErrOutput)
		}
	}
	slope := func(b float64) (mean float64) {
		for i, row := range logits {
			_, slope := likelihood(row, right[i], b)
			mean += slope / float64(len(logits))
		}
		return mean
	}
	low, high := math.Log(1/MaxTemperature), math.Log(1/MinTemperature)
	for range 60 { // 6 / 2^60 is below what float64 tells apart
		if middle := (low + high) / 2; slope(math.Exp(middle)) < 0 {
			low = middle
		} else {
			high = middle
		}
	}
	c := Calibration{Temperature: math.Exp(-(low + high) / 2)}
	for _, bound := range []float64{MinTemperature, MaxTemperature} {
		if math.Abs(c.Temperature/bound-1) < 1e-6 { // bisection comes near it, rounded to either side
			c.Temperature, c.AtBound = bound, true
		}
	}
	for i, row := range logits {
		before, _ := likelihood(row, right[i], 1)
		after, _ := likelihood(row, right[i], 1/c.Temperature)
		c.Before, c.After = c.Before+before/float64(len(logits)), c.After+after/float64(len(logits))
	}
	if math.IsNaN(c.After) {
		return Calibration{}, errors.New("calibration: the logits are too large to compute with")
	}
	return c, nil
}

// SureFrom is the lowest probability from which on, at the temperature, at least the share target (0–1) of the likeliest answers is
// right, and the share of all answers (0–1) that have it. logits and right are as for [FitTemperature].
func SureFrom(logits [][]float32, right []int, temperature, target float64) (threshold, sure float64, err error) {
	type answer struct {
		probability float64
		right       bool
	}
	answers := make([]answer, len(logits))
	for i, row := range logits {
		p, err := Probabilities(Softmax, temperature, row)
		if err != nil {
			return 0, 0, err
		}
		best := slices.Max(p)
		answers[i] = answer{best, p[right[i]] == best}
	}
	slices.SortFunc(answers, func(a, b answer) int { return cmp.Compare(b.probability, a.probability) })
	good, enough := 0, 0
	for i, a := range answers {
		if a.right {
			good++
		}
		// Answers of the same probability are sure together, or none of them is.
		if together := i+1 < len(answers) && answers[i+1].probability == a.probability; !together && float64(good) >= target*float64(i+1) {
			enough = i + 1
		}
	}
	if enough == 0 {
		return 0, 0, fmt.Errorf("even of the likeliest answers, less than %g %% are right", target*100)
	}
	return answers[enough-1].probability, float64(enough) / float64(len(answers)), nil
}

// likelihood is the negative log-likelihood of the right class under softmax(b·z), and its derivative by b.
func likelihood(z []float32, right int, b float64) (nll, slope float64) {
	top, sum := float64(slices.Max(z)), 0.0
	for _, v := range z {
		e := math.Exp(b * (float64(v) - top))
		sum += e
		slope += e * (float64(v) - float64(z[right])) // not E[z] − z[right] at the end: the difference may be tiny
	}
	return b*(top-float64(z[right])) + math.Log(sum), slope / sum
}
