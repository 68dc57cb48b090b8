package model

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

func TestSoftmax(t *testing.T) {
	for _, c := range []struct{ in, want []float64 }{
		{[]float64{0, 0}, []float64{0.5, 0.5}},
		{[]float64{1000, 1000 + math.Log(3)}, []float64{0.25, 0.75}}, // exp(1000) alone would overflow
		{[]float64{-1e30, 0}, []float64{0, 1}},
		{[]float64{7}, []float64{1}},
		{nil, nil},
	} {
		in := make([]float32, len(c.in))
		for i, v := range c.in {
			in[i] = float32(v)
		}
		got, err := Probabilities(Softmax, 1, in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.want {
			if math.Abs(got[i]-c.want[i]) > 1e-4 { // the inputs are float32: near 1000 they are 6e-5 apart
				t.Errorf("softmax(%v) = %v, want %v", c.in, got, c.want)
			}
		}
	}
}

func TestOtherActivations(t *testing.T) {
	got, _ := Probabilities(Sigmoid, 1, []float32{0, 100, -100})
	if got[0] != 0.5 || got[1] != 1 || got[2] > 1e-40 {
		t.Errorf("sigmoid: %v", got)
	}
	got, _ = Probabilities(None, 1, []float32{0.25, 0.75})
	if !slices.Equal(got, []float64{0.25, 0.75}) {
		t.Errorf("none: %v", got)
	}
}

func TestOutputMustBeFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := Probabilities(Softmax, 1, []float32{0, float32(bad)}); !errors.Is(err, ErrOutput) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestTopKEqualsSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		p := make([]float64, r.IntN(50))
		for i := range p {
			p[i] = float64(r.IntN(20)) // many ties
		}
		order := make([]int, len(p))
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(i, j int) bool { return p[order[i]] > p[order[j]] })
		for _, k := range []int{-1, 0, 1, 3, 49, 1 << 40} {
			want := order[:max(0, min(k, len(order)))]
			if got := TopK(p, k); !slices.Equal(got, want) {
				t.Fatalf("TopK(%v, %d) = %v, want %v", p, k, got, want)
			}
		}
	}
}
