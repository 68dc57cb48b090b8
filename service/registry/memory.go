package registry

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"
)

// Need is the memory that a model takes, in bytes.
type Need struct {
	Loaded  int64 // for as long as it is loaded
	Loading int64 // at most, while it is being loaded or tried
}

// Estimate is what a model whose file has that many bytes needs: from above, as measured (docs/operations.md has the table). Loaded,
// there are the weights, a copy of them in the order that the compiled code wants, and the code of both modules; while loading, there
// are the archive's weights too.
func Estimate(fileBytes int64) Need {
	return Need{Loaded: fileBytes*2 + 64<<20, Loading: fileBytes*3 + 64<<20}
}

// drainTime is how long a change waits for the memory of versions that are leaving.
const drainTime = 30 * time.Second

// reserve counts a model's memory as taken, or says why there is none: a server that is killed for its memory answers nobody.
func (r *Registry) reserve(ctx context.Context, path string, need Need) error {
	fits := func() bool { return r.cfg.Memory == 0 || r.estimated.Load()+need.Loading <= r.cfg.Memory }
	for deadline := time.Now().Add(drainTime); !fits() && r.draining.Load() > 0 && time.Now().Before(deadline); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !fits() {
		return refuse(MemoryLimit, "loading %s would take some %s, the loaded models take %s, and all together may take %s; "+
			"unload another, or give the server more with --model-memory", path, bytesText(need.Loading), bytesText(r.estimated.Load()), bytesText(r.cfg.Memory))
	}
	r.estimated.Add(need.Loaded)
	return nil
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
