package engine

import (
	"fmt"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// Precision is what the operator asks for.
type Precision string

// The precisions. Int8 is not a switch but a kind of model file: asking for it refuses others.
const (
	FP32 Precision = "fp32"
	BF16 Precision = "bf16"
	Int8 Precision = "int8"
	Auto Precision = "auto" // bf16 where this CPU is faster with it, else fp32
)

// ParsePrecision checks what a person typed.
func ParsePrecision(s string) (Precision, error) {
	switch p := Precision(s); p {
	case FP32, BF16, Int8, Auto:
		return p, nil
	case "fp16":
		return "", fmt.Errorf("precision fp16 is not offered; use bf16, which saves as much and which CPUs compute natively")
	}
	return "", fmt.Errorf("precision %q is unknown; use fp32, bf16, int8 or auto", s)
}

// resolve is what the module is loaded in. A quantised one is fp32 outside its 8-bit operators, which take nothing else. Call it inside
// a worker's Do.
func (p Precision) resolve(cpu torchbind.RuntimeInfo, quantised bool) torchbind.Precision {
	if !quantised && (p == BF16 || p == Auto && cpu.HasNativeBF16 && bf16Pays()) {
		return torchbind.BF16
	}
	return torchbind.FP32
}

// WorthwhileGain is how many times as fast as fp32 bf16 has to be: for less its rounding is not worth it.
const WorthwhileGain = 1.2

// bf16Pays is measured, for to have the instructions is not to gain from them: those of AVX-512 multiply no faster than fp32 on Intel's
// CPUs. It is measured once, so that all models that a process loads compute alike.
var bf16Pays = sync.OnceValue(func() bool {
	gain, err := bf16Gain()
	return err == nil && gain >= WorthwhileGain
})

// bf16Gain is how many times as fast this CPU computes convolutions in bf16 as in fp32, on the calling thread, inside a worker's Do.
func bf16Gain() (float64, error) {
	var times [2]time.Duration
	for i, p := range []torchbind.Precision{torchbind.FP32, torchbind.BF16} {
		var err error
		if times[i], err = torchbind.TimeConvolution(p); err != nil {
			return 0, err
		}
	}
	return times[0].Seconds() / times[1].Seconds(), nil
}

// check refuses to run a file in a precision that it is not made for.
func (p Precision) check(card model.Card) error {
	switch {
	case p == Int8 && card.Precision != "int8":
		return fmt.Errorf("model %s is not quantised; int8 needs a file of its own, usually named %s-int8", card.Name, card.Name)
	case p == BF16 && card.Precision == "int8":
		return fmt.Errorf("model %s is quantised to int8 and cannot run in bf16; leave --precision out", card.Name)
	}
	return nil
}
