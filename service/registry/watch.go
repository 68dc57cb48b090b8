package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/watch"
)

// Watch follows the folder of models until ctx ends: a new version of a served name is tried, loaded, and made stable. A file counts
// once it was found the same twice, so that a half-written one is not taken for whole. One that cannot be used is logged and counted,
// and everything stays as it was; one that there was no memory for is tried again once other models take less. Files that are there
// when Watch begins do nothing, so what was rolled back stays so.
func (r *Registry) Watch(ctx context.Context) {
	w := newWatcher(r)
	watch.Every(ctx, func() { w.look(ctx) })
}

// mark tells one state of a file from another, without reading it.
type mark struct {
	size    int64
	changed int64 // nanoseconds
	file    string
}

// identity tells a file from another of the same name, size and time: its number on its device.
func identity(info os.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint(s.Dev, ":", s.Ino)
	}
	return ""
}

// watcher compares the folder with what was seen a moment ago and with what was dealt with.
type watcher struct {
	registry   *Registry
	dealt      map[string]mark // by path
	seen       map[string]mark
	waiting    map[string]int64 // files there was no memory for, and how much the loaded models took then
	folder     watch.Patient[map[string]mark]
	list       watch.Patient[[]model.Entry]
	unreadable string // what was last said about the folder, and when
	saidAt     time.Time
}

// sayAgain is how often is said that the folder cannot be read.
const sayAgain = 10 * time.Minute

func newWatcher(r *Registry) *watcher {
	w := &watcher{registry: r, waiting: map[string]int64{}}
	w.seen, _ = r.marks() // a folder that cannot be read is told of at the first look
	w.dealt = w.seen
	return w
}

// marks is the model files of the folder.
func (r *Registry) marks() (map[string]mark, error) {
	files, err := os.ReadDir(string(r.cfg.Folder))
	marks := map[string]mark{}
	for _, file := range files {
		path := filepath.Join(string(r.cfg.Folder), file.Name())
		if !model.IsModelFile(path) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() { // os.Stat: a link counts as what it leads to
			marks[path] = mark{info.Size(), info.ModTime().UnixNano(), identity(info)}
		}
	}
	return marks, err
}

// look deals with the files that have changed and were the same a moment ago.
func (w *watcher) look(ctx context.Context) {
	now, err := w.folder.Do(ctx, w.registry.marks)
	if w.tell(ctx, err); err != nil {
		return
	}
	var settled []string
	for path, m := range now {
		taken, waits := w.waiting[path]
		if m == w.seen[path] && (m != w.dealt[path] || waits && w.registry.estimated.Load() < taken) {
			settled = append(settled, path)
		}
	}
	w.seen = now
	var entries []model.Entry
	if len(settled) > 0 {
		if entries, err = w.list.Do(ctx, w.registry.cfg.Folder.List); ctx.Err() != nil || errors.Is(err, watch.ErrHangs) {
			w.tell(ctx, err)
			return // the next look waits for the same list
		}
	}
	dealt := map[string]mark{}
	for path := range now {
		dealt[path] = w.dealt[path]
	}
	for _, path := range settled {
		dealt[path] = now[path]
		delete(w.waiting, path)
		arrived := err
		if err == nil {
			arrived = w.registry.arrived(ctx, path, entries)
		} else {
			w.registry.note(Watched, path, 0, err)
		}
		if refused := (*Error)(nil); errors.As(arrived, &refused) && refused.Code == MemoryLimit {
			w.waiting[path] = w.registry.estimated.Load()
		}
	}
	w.dealt = dealt
}

// tell says that the folder cannot be read, once and then every ten minutes, or that it can again.
func (w *watcher) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if w.registry.cfg.Seen != nil {
		w.registry.cfg.Seen(err == nil)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && (text != w.unreadable || time.Since(w.saidAt) >= sayAgain) {
		w.saidAt = time.Now()
		w.registry.cfg.Log.Error("THE FOLDER OF MODELS CANNOT BE READ: what is served stays", "error", text)
	}
	w.unreadable = text
}

// arrived deals with a file that is new, or has changed. The error is that of the attempt to serve it.
// entries is the folder's list.
func (r *Registry) arrived(ctx context.Context, path string, entries []model.Entry) error {
	for _, e := range entries {
		if e.Path != path {
			continue
		}
		if e.Err != nil {
			r.note(Watched, path, 0, e.Err)
			return nil
		}
		l := r.table.Load().line(e.Name)
		switch {
		case l == nil:
			r.cfg.Log.Info("a new model is in the folder; it is not served until it is loaded", "model", e.Ref())
		case model.CompareVersions(e.Version, l.stable.card.Version) < 0:
			r.cfg.Log.Info("an older version is in the folder; what is served stays", "model", e.Ref(), "stable", l.stable.card.Version)
		case l.find(e.Version) != nil:
			r.note(Watched, path, 0, fmt.Errorf("%s has changed, but calls itself version %s, which is loaded; give what is new a new version", path, e.Version))
		default:
			begun := time.Now()
			err := r.locked(ctx, func(ctx context.Context) error { return r.do(ctx, Swap, e.Ref(), 0) })
			if ctx.Err() == nil {
				r.note(Watched, e.Ref(), time.Since(begun), err)
			}
			return err
		}
	}
	return nil
}
