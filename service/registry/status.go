package registry

import (
	"path/filepath"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/model"
)

// Status is what GET /models of the operators' port answers.
type Status struct {
	Models   []ModelStatus `json:"models"`   // the default first; never null
	Draining int           `json:"draining"` // versions that are let go of, and still have requests
	Memory   MemoryStatus  `json:"memory"`
}

// MemoryStatus is estimates, in bytes.
type MemoryStatus struct {
	Models int64 `json:"models"` // that are loaded
	Limit  int64 `json:"limit"`  // 0 is none
}

// ModelStatus is one name.
type ModelStatus struct {
	Name     string          `json:"name"`
	Default  bool            `json:"default"` // it answers requests that name no model
	Stable   string          `json:"stable"`
	Canary   *CanaryStatus   `json:"canary"` // null for none
	Shadow   *Comparison     `json:"shadow"` // null for none
	Before   string          `json:"before"` // what rollback goes back to; "" for nothing
	Versions []VersionStatus `json:"versions"`
}

// CanaryStatus is a version that answers a share of the requests.
type CanaryStatus struct {
	Version string  `json:"version"`
	Percent float64 `json:"percent"`
}

// VersionStatus is one loaded version.
type VersionStatus struct {
	Version   string    `json:"version"`
	Roles     []string  `json:"roles"` // "stable", "canary", "shadow"; never null
	Precision string    `json:"precision"`
	Engine    string    `json:"engine"` // that libtorch runs it with: "fused", "optimized", "frozen" or "plain"
	File      string    `json:"file"`   // without its folder
	Since     time.Time `json:"since"`
	Memory    int64     `json:"memory"`   // bytes, estimated
	Requests  int64     `json:"requests"` // under way
}

// Status is a snapshot.
func (r *Registry) Status() Status {
	t := r.table.Load()
	s := Status{Models: []ModelStatus{}, Draining: int(r.draining.Load()), Memory: MemoryStatus{Models: r.estimated.Load(), Limit: r.cfg.Memory}}
	for i, l := range t.lines {
		m := ModelStatus{Name: l.name, Default: i == 0, Stable: l.stable.card.Version, Before: l.before}
		if l.canary != nil {
			m.Canary = &CanaryStatus{Version: l.canary.card.Version, Percent: l.percent}
		}
		if l.shadow != nil {
			m.Shadow = l.shadow.comparison()
		}
		for _, v := range l.versions() {
			m.Versions = append(m.Versions, VersionStatus{Version: v.card.Version, Roles: l.roles(v), Precision: v.Precision, Engine: string(v.Engine),
				File: filepath.Base(v.path), Since: v.since.Truncate(time.Second), Memory: v.estimate, Requests: max(0, v.refs.Load()-1)})
		}
		s.Models = append(s.Models, m)
	}
	return s
}

// List is the loaded versions as clients see them, the default first.
func (r *Registry) List() (models []api.ModelInfo) {
	for i, l := range r.table.Load().lines {
		for _, v := range l.versions() {
			aliases := l.roles(v)
			if n := len(aliases); n > 0 && aliases[n-1] == "shadow" { // nobody can ask for a shadow by that word
				aliases = aliases[:n-1]
			}
			models = append(models, api.ModelInfo{
				Name: v.card.Name, Version: v.card.Version, Aliases: aliases, Description: v.card.Description, Licence: v.card.Licence,
				Precision: v.Precision, Classes: len(v.card.Labels),
				Input:   api.InputSize{Width: v.card.Input.Width(), Height: v.card.Input.Height()},
				Default: i == 0 && v == l.stable,
			})
		}
	}
	return models
}

// Cards is the cards of all loaded versions.
func (r *Registry) Cards() (cards []model.Card) {
	for _, v := range r.table.Load().versions() {
		cards = append(cards, v.card)
	}
	return cards
}
