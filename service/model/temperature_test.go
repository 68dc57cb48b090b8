package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// overconfident makes up pictures whose right classes are drawn as softmax(z) says, and a network that says z × factor.
func overconfident(pictures int, factor float32) (logits [][]float32, right []int) {
	r := rand.New(rand.NewPCG(7, 7))
	for range pictures {
		row := make([]float32, 10)
		for i := range row {
			row[i] = float32(2 * r.NormFloat64())
		}
		p, _ := Probabilities(Softmax, 1, row)
		class, left := 0, r.Float64()
		for class < 9 && left > p[class] {
			left -= p[class]
			class++
		}
		for i := range row {
			row[i] *= factor
		}
		logits, right = append(logits, row), append(right, class)
	}
	return logits, right
}

func TestFitTemperatureFindsWhatTheLogitsWereScaledBy(t *testing.T) {
	for _, factor := range []float32{0.5, 1, 3} {
		logits, right := overconfident(4000, factor)
		c, err := FitTemperature(logits, right)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(c.Temperature/float64(factor)-1) > 0.05 { // of 4000 pictures; the standard error is 2 %
			t.Errorf("scaled by %v: temperature %v", factor, c.Temperature)
		}
		nll := func(temperature float64) (mean float64) {
			for i, row := range logits {
				p, _ := Probabilities(Softmax, temperature, row)
				mean -= math.Log(p[right[i]]) / float64(len(logits))
			}
			return mean
		}
		if math.Abs(c.Before-nll(1)) > 1e-9 || math.Abs(c.After-nll(c.Temperature)) > 1e-9 || c.After > c.Before {
			t.Errorf("before %v (want %v), after %v (want %v)", c.Before, nll(1), c.After, nll(c.Temperature))
		}
		for _, other := range []float64{0.999, 1.001} {
			if nll(c.Temperature*other) < c.After {
				t.Errorf("%v times the temperature fits better", other)
			}
		}
	}
}

func TestFitTemperatureAtItsBounds(t *testing.T) {
	always := [][]float32{{5, 0}, {3, 1}}
	for _, c := range []struct {
		right []int
		want  float64
	}{{[]int{0, 0}, MinTemperature}, {[]int{1, 1}, MaxTemperature}} {
		if got, err := FitTemperature(always, c.right); err != nil || got.Temperature != c.want || !got.AtBound {
			t.Errorf("right are %v: %+v, %v", c.right, got, err)
		}
	}
	for name, c := range map[string]struct {
		logits [][]float32
		right  []int
	}{
		"nothing": {}, "too few": {always, []int{0}}, "no such class": {always, []int{0, 2}}, "negative": {always, []int{-1, 0}},
		"NaN": {[][]float32{{0, float32(math.NaN())}}, []int{0}}, "empty": {[][]float32{{}}, []int{0}},
	} {
		if got, err := FitTemperature(c.logits, c.right); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTemperatureKeepsTheOrder(t *testing.T) {
	logits := []float32{1, 5, 3, -2}
	plain, _ := Probabilities(Softmax, 0, logits)
	one, _ := Probabilities(Softmax, 1, logits)
	if !slices.Equal(plain, one) {
		t.Errorf("no temperature: %v; 1: %v", plain, one)
	}
	warm, _ := Probabilities(Softmax, 2, logits)
	if !slices.Equal(TopK(warm, 4), TopK(one, 4)) || warm[1] >= one[1] || math.Abs(warm[1]/warm[2]-math.E) > 1e-12 { // exp((5 − 3) / 2)
		t.Errorf("at 2: %v; at 1: %v", warm, one)
	}
	if sigmoid, _ := Probabilities(Sigmoid, 2, []float32{2}); sigmoid[0] != 1/(1+math.Exp(-1)) {
		t.Errorf("sigmoid: %v", sigmoid)
	}
	if none, _ := Probabilities(None, 2, []float32{0.5}); none[0] != 0.5 {
		t.Errorf("none: %v", none)
	}
}

// Answers with 0.9, 0.8, 0.7 and 0.6, of which the third is wrong: 60 % of the first ones are right everywhere, all of them to 0.8.
func TestSureFrom(t *testing.T) {
	logits := make([][]float32, 4)
	for i, p := range []float64{0.7, 0.9, 0.6, 0.8} {
		logits[i] = []float32{float32(math.Log(p)), float32(math.Log(1 - p))}
	}
	right := []int{1, 0, 0, 0}
	for _, c := range []struct{ target, threshold, sure float64 }{{1, 0.8, 0.5}, {0.75, 0.6, 1}, {0.6, 0.6, 1}} {
		threshold, sure, err := SureFrom(logits, right, 1, c.target)
		if err != nil || math.Abs(threshold-c.threshold) > 1e-6 || sure != c.sure { // logits are float32
			t.Errorf("%v: from %v on, of %v; want %v, %v; %v", c.target, threshold, sure, c.threshold, c.sure, err)
		}
	}
	// Two answers alike are sure together: the right one alone would do, but nothing tells it from the wrong one.
	same := [][]float32{{1, 0}, {1, 0}}
	if _, _, err := SureFrom(same, []int{0, 1}, 1, 0.9); err == nil {
		t.Error("half of the answers is right, and 90 % were asked for")
	}
}
