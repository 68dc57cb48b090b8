package fake

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/backend/conformance"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Case{
		Backend: &Backend{Classes: 5},
		File:    torchtest.File(t, "build/fixtures/tiny.pt"),
		Slow:    torchtest.File(t, "build/fixtures/misbehaves.pt"),
	})
}
