package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vidi-vision/vidi/service/model"
)

// Change names a kind of change.
type Change string

// The changes.
const (
	Load     Change = "load"
	Unload   Change = "unload"
	Swap     Change = "swap"
	Rollback Change = "rollback"
	ToCanary Change = "canary"
	ToShadow Change = "shadow"
	Watched  Change = "watch" // a swap that the folder's watcher made
)

// Changes are all of them.
var Changes = []Change{Load, Unload, Swap, Rollback, ToCanary, ToShadow, Watched}

// Do makes a change that an operator asked for. ref is NAME@VERSION, or NAME, which means its newest version in the folder;
// for Unload all that is loaded of it, for Rollback the name. share is the percentage of ToCanary and ToShadow, and 0 ends them. It
// returns when the change is made: a file is tried and loaded first, which takes seconds, and ctx can end that. On an error, which is an
// [*Error] or ctx's, everything is as before.
func (r *Registry) Do(ctx context.Context, change Change, ref string, share float64) error {
	begun := time.Now()
	err := r.locked(ctx, func(ctx context.Context) error { return r.do(ctx, change, ref, share) })
	r.note(change, ref, time.Since(begun), err)
	return err
}

func (r *Registry) note(change Change, ref string, took time.Duration, err error) {
	if err != nil {
		r.cfg.Log.Warn("a change of the models was refused; everything is as before", "change", string(change), "model", ref, "error", err)
	} else {
		r.cfg.Log.Info("the models have changed", "change", string(change), "model", ref, "seconds", math.Round(took.Seconds()*100)/100,
			"serving", r.table.Load().available())
	}
	if r.cfg.Changed != nil {
		r.cfg.Changed(change, err)
	}
}

// locked runs f when no other change is under way. f's context ends when the registry is closed, too.
func (r *Registry) locked(ctx context.Context, f func(context.Context) error) error {
	stopping := refuse(Stopping, "the server is stopping")
	select {
	case r.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stopping.Done():
		return stopping
	}
	defer func() { <-r.changing }()
	if r.stopping.Err() != nil {
		return stopping
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.stopping, cancel)()
	err := f(ctx)
	if err != nil && r.stopping.Err() != nil {
		return stopping
	}
	return err
}

func (r *Registry) do(ctx context.Context, change Change, ref string, share float64) error {
	switch change {
	case Unload:
		return r.unload(ref)
	case Rollback:
		return r.rollback(ctx, ref)
	case ToCanary, ToShadow:
		if !(share >= 0 && share <= 100) { // NaN too
			return refuse(BadParameter, "the share must be a percentage, 0 to 100")
		}
		return r.accompany(ctx, change, ref, share)
	case Load:
		path, number, err := r.find(ref)
		if err != nil {
			return err
		}
		return r.load(ctx, path, model.Ref(nameOf(ref), number))
	case Swap:
		l := r.table.Load().line(nameOf(ref))
		if l == nil {
			return r.notServed(ref)
		}
		return r.swap(ctx, l, ref)
	}
	return refuse(BadParameter, "%q is no change that can be asked for", string(change))
}

func nameOf(ref string) string { name, _, _ := strings.Cut(ref, "@"); return name }

func (r *Registry) notServed(ref string) error {
	return refuse(NotFound, "%s is not served; there are: %s. Load it first", nameOf(ref), r.table.Load().available())
}

// load puts a version beside what is loaded of its name; the first one becomes stable. wanted, if it is not "", is what
// the file must call itself.
func (r *Registry) load(ctx context.Context, path, wanted string) error {
	t := r.table.Load()
	if l := t.line(nameOf(wanted)); l != nil && l.find(strings.TrimPrefix(wanted, l.name+"@")) != nil {
		return nil
	}
	v, err := r.open(ctx, path, wanted)
	if err != nil {
		return err
	}
	l := t.line(v.card.Name)
	switch {
	case l == nil:
		r.commit(t.with(&line{name: v.card.Name, stable: v}))
	case l.find(v.card.Version) != nil: // the same model is asked for twice
		r.draining.Add(1)
		v.release()
	default:
		changed := *l
		changed.beside = append(slices.Clone(l.beside), v)
		r.commit(t.with(&changed))
	}
	return nil
}

// swap makes a version stable. It ends its time as a canary or shadow; the version before is let go of, and remembered.
func (r *Registry) swap(ctx context.Context, l *line, ref string) error {
	v, err := r.loaded(ctx, l, ref)
	if err != nil || v == l.stable {
		return err
	}
	changed := *l
	changed.before, changed.stable = l.stable.card.Version, v
	changed.beside = slices.DeleteFunc(slices.Clone(l.beside), func(other *version) bool { return other == v })
	if l.canary == v {
		changed.canary, changed.percent = nil, 0
	}
	if l.shadow != nil { // it was compared with the version before; what it has become is another comparison
		changed.shadow = nil
		if l.shadow.version != v {
			changed.shadow = newShadow(l.shadow.version, v, l.shadow.share)
		}
	}
	r.commit(r.table.Load().with(&changed))
	return nil
}

func (r *Registry) rollback(ctx context.Context, ref string) error {
	l := r.table.Load().line(nameOf(ref))
	if l == nil {
		return r.notServed(ref)
	}
	if l.before == "" {
		return refuse(NotFound, "%s has had no other version since the server started; swap to the one that you want", l.name)
	}
	return r.swap(ctx, l, model.Ref(l.name, l.before))
}

// accompany gives the stable version a canary or a shadow, or ends it.
func (r *Registry) accompany(ctx context.Context, change Change, ref string, share float64) error {
	l := r.table.Load().line(nameOf(ref))
	if l == nil {
		return r.notServed(ref)
	}
	changed := *l
	if share == 0 {
		if change == ToCanary {
			changed.canary, changed.percent = nil, 0
		} else {
			changed.shadow = nil
		}
		r.commit(r.table.Load().with(&changed))
		return nil
	}
	v, err := r.loaded(ctx, l, ref)
	switch {
	case err != nil:
		return err
	case change == ToCanary && v == l.stable:
		return refuse(BadParameter, "%s is the stable version; a canary is another one", v.ref())
	case change == ToCanary:
		changed.canary, changed.percent = v, share
	default:
		changed.shadow = newShadow(v, l.stable, share)
	}
	r.commit(r.table.Load().with(&changed))
	return nil
}

// unload lets go of a version, or of all of a name.
func (r *Registry) unload(ref string) error {
	t := r.table.Load()
	l := t.line(nameOf(ref))
	if l == nil {
		return r.notServed(ref)
	}
	_, number, exact := strings.Cut(ref, "@")
	v := l.find(number)
	switch {
	case exact && v == nil:
		return refuse(NotFound, "%s is not loaded; there are: %s", ref, t.available())
	case !exact || len(l.versions()) == 1:
		if l == t.lines[0] {
			return refuse(InUse, "%s answers where no model is named, and cannot be unloaded; swap it, or start the server with another --model first", l.name)
		}
		r.commit(t.without(l.name))
		return nil
	case v == l.stable:
		return refuse(InUse, "%s is the stable version of %s; swap to another one first", ref, l.name)
	}
	changed := *l
	changed.beside = slices.DeleteFunc(slices.Clone(l.beside), func(other *version) bool { return other == v })
	if l.canary == v {
		changed.canary, changed.percent = nil, 0
	}
	if l.shadow != nil && l.shadow.version == v {
		changed.shadow = nil
	}
	r.commit(t.with(&changed))
	return nil
}

// loaded is the version that ref means; it is loaded if it is not yet.
func (r *Registry) loaded(ctx context.Context, l *line, ref string) (*version, error) {
	_, number, exact := strings.Cut(ref, "@")
	if v := l.find(number); exact && v != nil {
		return v, nil
	}
	path, number, err := r.find(ref)
	if err != nil {
		return nil, err
	}
	if v := l.find(number); v != nil {
		return v, nil
	}
	return r.open(ctx, path, model.Ref(l.name, number))
}

// open tries and loads the file. The version belongs to the table that it is put in.
func (r *Registry) open(ctx context.Context, path, wanted string) (*version, error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, because(NotFound, err)
	}
	need := estimate(path, before.Size())
	if err := r.reserve(ctx, path, need); err != nil {
		return nil, err
	}
	candidate, err := r.cfg.Try(ctx, path)
	if known := candidate.Need; err == nil && known != (Need{}) {
		r.estimated.Add(-need.Loaded)
		need = known
		if err := r.reserve(ctx, path, need); err != nil {
			return nil, err
		}
	}
	var opened Opened
	if err == nil {
		opened, err = candidate.Open(ctx)
	}
	if err == nil {
		err = stillThere(before, path, wanted, opened.Card())
		if err == nil {
			return r.adopt(opened, path, need.Loaded), nil
		}
		err = errors.Join(err, opened.Close())
	}
	var going interface{ Ended() <-chan struct{} }
	if errors.As(err, &going) { // it keeps the memory that loading takes
		r.estimated.Add(need.Loading - need.Loaded)
		go func() {
			<-going.Ended()
			r.estimated.Add(-need.Loading)
		}()
	} else {
		r.estimated.Add(-need.Loaded)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, because(Rejected, err)
}

// stillThere says that the file which was tried is the one that was loaded, and the one that was asked for.
func stillThere(before os.FileInfo, path, wanted string, card model.Card) error {
	after, err := os.Stat(path)
	switch {
	case err != nil || !os.SameFile(before, after) || before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()):
		return fmt.Errorf("%s was changed while it was being loaded; try again when it is complete", path)
	case wanted != "" && model.Ref(card.Name, card.Version) != wanted:
		return fmt.Errorf("%s is %s, not %s", path, model.Ref(card.Name, card.Version), wanted)
	}
	return nil
}

// find is the file of NAME@VERSION, or of NAME's newest version, in the folder of models. What a network sends is only ever compared
// with what the folder has; it is never a path.
func (r *Registry) find(ref string) (path, number string, err error) {
	name, number, exact := strings.Cut(ref, "@")
	entries, err := r.cfg.Folder.List()
	if err != nil {
		return "", "", because(Rejected, err)
	}
	var there []string
	var broken error
	for _, e := range entries { // the newest version of a name comes first
		switch {
		case e.Err != nil:
			// A file that cannot be read has no card: its name is NAME-VERSION.
			if e.Name == name || exact && e.Name == name+"-"+number || e.Version != "" && e.Ref() == ref {
				broken = e.Err
			}
			continue
		case e.Name == name && (!exact || e.Version == number):
			return e.Path, e.Version, nil
		}
		there = append(there, e.Ref())
	}
	if broken != nil {
		return "", "", because(Rejected, broken)
	}
	return "", "", refuse(NotFound, "%q is not in the folder of models; there are: %s", ref, strings.Join(there, ", "))
}
