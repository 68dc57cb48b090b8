package engine

import (
	"fmt"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
)

// Precision is what the operator asks for.
type Precision string

// The precisions. Int8 is not a switch but a kind of model file: asking for it refuses others.
const (
	FP32 Precision = "fp32"
	BF16 Precision = "bf16"
	Int8 Precision = "int8"
	Auto Precision = "auto" // bf16 where the CPU is faster with it, else fp32
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

// Resolve is the precision that the library loads a model with that card in when p is asked for. A
// quantised one is fp32 outside its 8-bit operators, which take nothing else.
func (p Precision) Resolve(b backend.Backend, card model.Card) (backend.Precision, error) {
	switch {
	case card.Precision == "int8":
		return backend.FP32, nil
	case p == BF16:
		return backend.BF16, nil
	case p == Auto:
		return b.Auto()
	}
	return backend.FP32, nil
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
