package libtorch

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/backend/conformance"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestMain(m *testing.M) {
	torchbind.OnLeak = func(kind string) { panic("a " + kind + " was garbage-collected without Close") }
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	torchtest.NoLeaks(t)
	conformance.Run(t, conformance.Case{
		Backend: Backend{},
		File:    torchtest.File(t, "build/fixtures/tiny.pt"),
		Slow:    torchtest.File(t, "build/fixtures/misbehaves.pt"),
		Broken:  []string{torchtest.File(t, "build/fixtures/forks.pt")},
		// Other kernels round otherwise; bfloat16 keeps 8 bits.
		Tolerance: 1e-5, ToleranceBF16: 0.05,
	})
}
