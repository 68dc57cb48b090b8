package telemetry

import (
	"sync/atomic"
	"time"
)

// Watched is what the server follows while it runs.
type Watched string

// The key file, the rules file, and the folder of models.
const (
	KeyFile     Watched = "keys"
	RulesFile   Watched = "rules"
	ModelFolder Watched = "models"
)

var allWatched = []Watched{KeyFile, RulesFile, ModelFolder}

// failing is since when each of what is watched cannot be read or used, in Unix nanoseconds; 0 where it can.
type failing [3]atomic.Int64

func (f *failing) set(what Watched, usable bool) {
	for i, one := range allWatched {
		switch {
		case one != what:
		case usable:
			f[i].Store(0)
		default:
			f[i].CompareAndSwap(0, time.Now().UnixNano()) // said again, it is no new failure
		}
	}
}

// seconds is for how long each cannot be read or used, 0 where it can.
func (f *failing) seconds() map[Watched]float64 {
	lasts := make(map[Watched]float64, len(allWatched))
	for i, one := range allWatched {
		lasts[one] = 0
		if since := f[i].Load(); since != 0 {
			lasts[one] = time.Since(time.Unix(0, since)).Seconds()
		}
	}
	return lasts
}

// KeysReloaded counts a change of the key file, or a failure that lasts.
func (t *Telemetry) KeysReloaded(usable bool) {
	t.reloads.WithLabelValues(reloaded(usable)).Inc()
	t.failing.set(KeyFile, usable)
}

// RulesReloaded counts a change of the rules file, or a failure that lasts.
func (t *Telemetry) RulesReloaded(usable bool) {
	t.rules.WithLabelValues(reloaded(usable)).Inc()
	t.failing.set(RulesFile, usable)
}

// ModelsSeen tells whether the folder of models could be looked at.
func (t *Telemetry) ModelsSeen(usable bool) { t.failing.set(ModelFolder, usable) }

func reloaded(usable bool) string {
	if usable {
		return "loaded"
	}
	return "failed"
}
