package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/registry"
)

// Models is what is served and can be changed; [*registry.Registry] is the real one.
type Models interface {
	Status() registry.Status
	Do(ctx context.Context, change registry.Change, ref string, percent float64) error
}

// ModelRequest is the body of POST /models/{change}. Models are named by what the server's folder has: no file can be sent, and no path.
type ModelRequest struct {
	Model   string   `json:"model"`             // NAME@VERSION, or NAME
	Percent *float64 `json:"percent,omitempty"` // of the requests, for canary and shadow; 0 ends it
}

// routeModels adds what looks at the models, and what changes them.
func routeModels(mux *http.ServeMux, d *door, models Models) {
	mux.Handle("GET /models", d.guard(keys.Metrics, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { sendStatus(w, models) })))
	mux.Handle("POST /models/{change}", d.guard(keys.Admin, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { change(w, r, models) })))
}

func sendStatus(w http.ResponseWriter, models Models) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(models.Status()) // a failed write means that the client is gone
}

// offered are the changes that can be asked for.
var offered = slices.DeleteFunc(slices.Clone(registry.Changes), func(c registry.Change) bool { return c == registry.Watched })

func change(w http.ResponseWriter, r *http.Request, models Models) {
	wanted := registry.Change(r.PathValue("change"))
	if !slices.Contains(offered, wanted) {
		problem(w, http.StatusNotFound, "not_found", fmt.Sprintf("there is no such change; there are %v", offered))
		return
	}
	// A web page can make a browser send a form or text to this machine, but JSON only with this server's leave, which it never gives.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "send the request as Content-Type: application/json")
		return
	}
	var request ModelRequest
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	shares := wanted == registry.ToCanary || wanted == registry.ToShadow
	switch {
	case err != nil:
		problem(w, http.StatusBadRequest, "bad_request", `the body must be JSON such as {"model": "pets@2"}: `+err.Error())
		return
	case request.Model == "":
		problem(w, http.StatusBadRequest, string(registry.BadParameter), `"model" must be NAME@VERSION, or NAME for its newest version`)
		return
	case shares != (request.Percent != nil):
		problem(w, http.StatusBadRequest, string(registry.BadParameter), `"percent" belongs to canary and shadow, and they need it: of the requests, 0 to 100; 0 ends it`)
		return
	}
	share := 0.0
	if request.Percent != nil {
		share = *request.Percent
	}
	// Trying and loading a large model takes longer than answers usually may; and who does not wait for the end does not undo it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	if err := models.Do(context.WithoutCancel(r.Context()), wanted, request.Model, share); err != nil {
		refuseChange(w, err)
		return
	}
	sendStatus(w, models)
}

// changeStatus is the status that each code comes with.
var changeStatus = map[registry.Code]int{
	registry.NotFound: http.StatusNotFound, registry.Rejected: http.StatusUnprocessableEntity, registry.MemoryLimit: http.StatusConflict,
	registry.InUse: http.StatusConflict, registry.BadParameter: http.StatusBadRequest, registry.Stopping: http.StatusServiceUnavailable,
}

func refuseChange(w http.ResponseWriter, err error) {
	var known *registry.Error
	if !errors.As(err, &known) {
		problem(w, http.StatusInternalServerError, "internal", err.Error())
		return
	}
	problem(w, changeStatus[known.Code], string(known.Code), known.Detail)
}
