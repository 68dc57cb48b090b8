package keys

import (
	"context"
	"log/slog"

	"golang.org/x/time/rate"

	"github.com/vidi-vision/vidi/service/watch"
)

// Open reads the key file at path.
func Open(path string) (*Ring, error) {
	data, lines, err := load(path)
	if err != nil {
		return nil, err
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

// Watch follows the file until ctx ends, as [watch.File] does. A change that cannot be used leaves the keys as they were, and
// tells failed; a good one tells loaded. Either function may be nil.
func (r *Ring) Watch(ctx context.Context, log *slog.Logger, loaded, failed func()) {
	if r != nil {
		newWatcher(r, log, loaded, failed).Follow(ctx)
	}
}

func newWatcher(r *Ring, log *slog.Logger, loaded, failed func()) *watch.File {
	use := func(data []byte) error {
		lines, err := Parse(data)
		if err != nil {
			return err
		}
		r.set(lines)
		log.Info("the key file has changed: its keys count from now on", "file", r.path, "keys", len(lines))
		WarnAboutFile(log, r)
		tell(loaded)
		return nil
	}
	return watch.New(r.opened, func() ([]byte, error) { return read(r.path) }, use, func(err error) {
		log.Error("THE KEY FILE CANNOT BE USED, AND THE OLD KEYS STAY VALID: correct it, or no key can be added or withdrawn",
			"file", r.path, "error", err.Error(), "keys", r.Count())
		tell(failed)
	})
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
