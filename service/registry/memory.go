package registry

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/vidi-vision/vidi/service/model"
)

// Need is the memory that a model takes, in bytes.
type Need struct {
	Loaded  int64 // for as long as it is loaded
	Loading int64 // at most, while it is being loaded or tried
}

// Estimate is what a model whose file has that many bytes needs: from above, as measured (docs/operations.md has the table). Loaded,
// there are the weights, a copy of them in the order that the compiled code wants, and the code of both modules; while loading, there
// are the archive's weights too. libtorch keeps quantised weights both ways for each of the modules.
func Estimate(fileBytes int64, quantised bool) Need {
	copies := int64(2)
	if quantised {
		copies = 4
	}
	return Need{Loaded: fileBytes*copies + 64<<20, Loading: fileBytes*(copies+1) + 64<<20}
}

// Measured is what a model needs that took that much when it was tried, with one module: the second one has the weights in its own
// order once more.
func Measured(loaded, most, fileBytes int64, quantised bool) Need {
	second := fileBytes
	if quantised {
		second *= 2
	}
	return Need{Loaded: loaded + second, Loading: max(most, loaded+second)}
}

// estimate is Estimate for the file at path. What is wrong with a file is said when it is opened.
func estimate(path string, bytes int64) Need {
	file, err := model.Inspect(path)
	return Estimate(bytes, err == nil && file.Origin.Quantised)
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
