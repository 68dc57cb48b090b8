package keys

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

// Open reads the key file at path.
func Open(path string) (*Ring, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	lines, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s, %w", path, err)
	}
	r := &Ring{path: path, opened: data}
	r.set(lines)
	return r, nil
}

// set makes the lines the ring's keys. A key whose line is as before keeps what it has used up.
func (r *Ring) set(lines []Line) {
	before := map[string]*key{}
	if old := r.keys.Load(); old != nil {
		for _, k := range *old {
			before[k.name] = k
		}
	}
	keys := make([]*key, len(lines))
	for i := range lines {
		quota, _ := lines[i].quota() // Parse has checked it
		k := &key{name: lines[i].Name, roles: lines[i].Roles, hash: lines[i].hash, quota: quota}
		if old := before[k.name]; old != nil && old.hash == k.hash && old.quota == k.quota {
			k.limiter = old.limiter
		} else if quota.burst > 0 {
			k.limiter = rate.NewLimiter(quota.perSecond, quota.burst)
		}
		keys[i] = k
	}
	r.keys.Store(&keys)
}

// Interval is how often Watch looks. It reads the file instead of asking the system for changes: that works on every file
// system and through the symbolic links of a mounted secret, and some kilobytes a second cost nothing.
const Interval = time.Second

// Watch follows the file until ctx ends. A change counts once the file was found the same twice, so that a half-written one is
// not taken for whole. One that cannot be used leaves the keys as they were, and tells failed; a good one tells loaded.
// Either function may be nil.
func (r *Ring) Watch(ctx context.Context, log *slog.Logger, loaded, failed func()) {
	if r == nil {
		return
	}
	w := newWatcher(r, log, loaded, failed)
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look()
		}
	}
}

// watcher compares the file with what was seen a moment ago and with what is in use. Failures are texts, "" for none.
type watcher struct {
	ring           *Ring
	log            *slog.Logger
	loaded, failed func()
	used, seen     []byte
	failure        string // what was last said about the file
	seenFailure    string
}

func newWatcher(r *Ring, log *slog.Logger, loaded, failed func()) *watcher {
	return &watcher{ring: r, log: log, loaded: loaded, failed: failed, used: r.opened, seen: r.opened}
}

func readText(path string) ([]byte, string) {
	data, err := read(path)
	if err != nil {
		return nil, err.Error()
	}
	return data, ""
}

func (w *watcher) look() {
	data, failure := readText(w.ring.path)
	settled := failure == w.seenFailure && bytes.Equal(data, w.seen)
	changed := failure != w.failure || !bytes.Equal(data, w.used)
	w.seen, w.seenFailure = data, failure
	if !settled || !changed {
		return
	}
	w.used, w.failure = data, failure
	if failure == "" {
		lines, err := Parse(data)
		if err == nil {
			w.ring.set(lines)
			w.log.Info("the key file has changed: its keys count from now on", "file", w.ring.path, "keys", len(lines))
			WarnAboutFile(w.log, w.ring)
			tell(w.loaded)
			return
		}
		failure = err.Error()
	}
	w.log.Error("THE KEY FILE CANNOT BE USED, AND THE OLD KEYS STAY VALID: correct it, or no key can be added or withdrawn",
		"file", w.ring.path, "error", failure, "keys", w.ring.Count())
	tell(w.failed)
}

func tell(f func()) {
	if f != nil {
		f()
	}
}

// WarnAboutFile logs what is unwise about a key file that can be used.
func WarnAboutFile(log *slog.Logger, r *Ring) {
	if r == nil {
		return
	}
	if ReadableByOthers(r.path) {
		log.Warn("every user of this machine can read the key file; it holds hashes only, but `chmod o-r` keeps names and rates private too",
			"file", r.path)
	}
	if r.Count() == 0 {
		log.Warn("the key file holds no key: nobody can use this server", "file", r.path)
	}
}
