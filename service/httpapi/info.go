package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/api"
)

// livez says that the process answers; it says so while the model loads, too.
func (s *Server) livez(c echo.Context) error { return c.JSON(http.StatusOK, api.Status{Status: "ok"}) }

// readyz says whether a prediction would be answered now: the model is warm, and nobody asked the server to stop.
func (s *Server) readyz(c echo.Context) error {
	if err := s.unready(); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.Status{Status: "ready"})
}

// unready is why the server cannot predict now, nil if it can.
func (s *Server) unready() error {
	if s.leaving.Load() || s.requests.isClosed() {
		return draining()
	}
	now := s.serving.Load()
	switch {
	case now == nil:
		return notReady()
	case now.models.Stuck():
		return stuck()
	}
	return nil
}

// startSeconds is how long a model takes to load, or a successor to be up.
const startSeconds = 2

func draining() error {
	f := fail(api.Draining, "the server is stopping; send the request to another, or again in a moment")
	f.retryAfter = startSeconds
	return f
}

func notReady() error {
	f := fail(api.NotReady, "the model is still loading; try again in a moment")
	f.retryAfter = startSeconds
	return f
}

// stuck is for a server that only a new start will help.
func stuck() error {
	return fail(api.NotReady, "every worker hangs in a picture that its model does not finish; this server has to be started again")
}

func (s *Server) models(c echo.Context) error {
	if err := s.unready(); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.ModelsResponse{Models: s.serving.Load().models.List(),
		Limits: api.Limits{MaxBody: s.cfg.MaxBody, MaxImages: s.cfg.MaxImages}})
}
