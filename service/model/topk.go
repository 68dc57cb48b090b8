package model

import (
	"errors"
	"math"
	"slices"
)

// ErrOutput is returned for a network's output that is no answer: here one that holds NaN or infinities.
var ErrOutput = errors.New("the model's output is not finite")

// Probabilities applies the activation to one row of a network's output, divided by the temperature; 0 is 1, which changes
// nothing. The result is new; softmax is computed with the largest value subtracted first, so that no exponential overflows,
// and in float64, so that 1000 classes sum to 1.
func Probabilities(activation Activation, temperature float64, output []float32) ([]float64, error) {
	if temperature == 0 || activation == None {
		temperature = 1
	}
	p := make([]float64, len(output))
	for i, v := range output {
		if !finite(v) {
			return nil, ErrOutput
		}
		p[i] = float64(v) / temperature
	}
	switch activation {
	case Softmax:
		if len(p) == 0 {
			return p, nil
		}
		top, sum := slices.Max(p), 0.0
		for i, v := range p {
			p[i] = math.Exp(v - top)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
	case Sigmoid:
		for i, v := range p {
			p[i] = 1 / (1 + math.Exp(-v))
		}
	}
	return p, nil
}

// TopK is the classes of the k largest probabilities, largest first; of equal ones the lower class comes first. A k above
// the number of classes is that number.
func TopK(p []float64, k int) []int {
	k = max(min(k, len(p)), 0)
	top := make([]int, 0, k+1)
	for class, v := range p {
		if len(top) == k && (k == 0 || v <= p[top[k-1]]) {
			continue
		}
		at := len(top)
		for at > 0 && v > p[top[at-1]] {
			at--
		}
		top = slices.Insert(top, at, class)[:min(len(top)+1, k)]
	}
	return top
}
