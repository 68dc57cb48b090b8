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
	unreadable string           // what was last said about the folder
}

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
	now, err := w.registry.marks()
	if err != nil {
		if text := err.Error(); text != w.unreadable {
			w.unreadable = text
			w.registry.cfg.Log.Warn("the folder of models cannot be read; what is served stays", "error", text)
		}
		return
	}
	w.unreadable = ""
	var settled []string
	for path, m := range now {
		taken, waits := w.waiting[path]
		if m == w.seen[path] && (m != w.dealt[path] || waits && w.registry.estimated.Load() < taken) {
			settled = append(settled, path)
		}
	}
	dealt := map[string]mark{}
	for path := range now {
		dealt[path] = w.dealt[path]
	}
	for _, path := range settled {
		dealt[path] = now[path]
		delete(w.waiting, path)
		err := w.registry.arrived(ctx, path)
		if refused := (*Error)(nil); errors.As(err, &refused) && refused.Code == MemoryLimit {
			w.waiting[path] = w.registry.estimated.Load()
		}
	}
	w.seen, w.dealt = now, dealt
}

// arrived deals with a file that is new, or has changed. The error is that of the attempt to serve it.
func (r *Registry) arrived(ctx context.Context, path string) error {
	entries, err := r.cfg.Folder.List()
	if err != nil {
		r.note(Watched, path, 0, err)
		return nil
	}
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
