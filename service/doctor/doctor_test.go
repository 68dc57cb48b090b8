package doctor

import (
	"testing"

	"github.com/vidi-vision/vidi/service/machine"
)

func TestMemoryVerdicts(t *testing.T) {
	var c Doctor
	c.DecodeMemory.N, c.QueueMemory.N = 1<<30, 128<<20
	for name, check := range map[string]struct {
		resident, limit int64
		want            Verdict
	}{
		"plenty":      {300 << 20, 8 << 30, OK},
		"tight":       {300 << 20, 1 << 30, Warn},
		"hopeless":    {300 << 20, 512 << 20, Fail},
		"unknown":     {300 << 20, 0, Warn},
		"not judged":  {0, 8 << 30, Warn},
		"just enough": {256 << 20, 1760 << 20, OK}, // an eighth of it for connections
	} {
		if f := c.checkMemory(check.resident, machine.Memory{Bytes: check.limit, Source: "the test"}); f.Verdict != check.want {
			t.Errorf("%s: %s", name, f)
		}
	}
	if f := checkFiles(256); f.Verdict != Warn || f.Advice == "" {
		t.Errorf("256 files: %s", f)
	}
}
