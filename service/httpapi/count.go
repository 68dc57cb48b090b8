package httpapi

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/service/tracing"
)

// otherRoute stands for every address that there is not.
const otherRoute = "other"

// goneReason is the reason where the client left before its answer.
const goneReason = "client_gone"

// pictureReasons is why a picture can fail that was let in.
var pictureReasons = []string{
	string(api.EmptyImage), string(api.UnsupportedFormat), string(api.UnsupportedVariant), string(api.CorruptImage), string(api.ImageTooLarge),
	string(api.ImageTooComplex), string(api.InferenceFailed), string(api.ModelOutputInvalid), string(api.DeadlineExceeded), goneReason,
}

// expectRoutes notes the routes' templates, once all are there, and has their metrics begin with 0.
func (s *Server) expectRoutes() {
	s.known = map[string]bool{}
	for _, route := range s.echo.Routes() {
		s.known[route.Path] = true
	}
	reasons := []string{goneReason}
	for code := range statusOf {
		reasons = append(reasons, string(code))
	}
	routes := append(slices.Sorted(maps.Keys(s.known)), otherRoute)
	s.cfg.Telemetry.Expect(routes, predictionRoutes, reasons, pictureReasons)
}

// route is the template that the request matched. echo's own word for it is the client's path where none did, and a metric of
// that name for each would fill the memory.
func (s *Server) route(c echo.Context) string {
	if path := c.Path(); s.known[path] {
		return path
	}
	return otherRoute
}

// predictionRoutes answer with predictions, which is what their clients wait for.
var predictionRoutes = []string{"/predict", "/api/v1/predict"}

func predicts(route string) bool { return slices.Contains(predictionRoutes, route) }

// count tells the telemetry and the trace how the request went.
func (s *Server) count(c echo.Context, r *request) {
	route, answered := s.route(c), r.answered()
	ended := telemetry.Ended{Route: route, Status: c.Response().Status, Took: answered.Sub(r.begun),
		Upload: r.uploadTime(), Uploaded: r.upload.begun, Cut: r.upload.cut(),
		Prediction: predicts(route) && c.Request().Method == http.MethodPost}
	if f := r.failure; f != nil {
		ended.Reason = string(f.code)
		if f.gone {
			ended.Status, ended.Reason = statusClientGone, goneReason
		}
	}
	s.cfg.Telemetry.End(ended)
	r.trace.End(tracing.Ended{Method: c.Request().Method, Route: route, Status: ended.Status, Code: ended.Reason, RequestID: r.id,
		BytesIn: r.upload.read, Upload: r.uploadTime(), At: answered})
}

// counted is a classifier whose pictures the telemetry, and the traces of their requests, hear of.
type counted struct {
	Classifier
	telemetry     *telemetry.Telemetry
	name, version string // the operator's own, from the model's card
}

// Classify is the classifier's own.
func (c *counted) Classify(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error) {
	begun := time.Now()
	result, err := c.Classifier.Classify(ctx, data, o)
	if err == nil {
		c.telemetry.Picture(c.name, c.version, result.Format, result.Timing)
		tracing.Picture(ctx, begun, result.Format, "", result.Timing)
		return result, nil
	}
	reason := pictureReason(inferenceFailure(err))
	c.telemetry.PictureFailed(reason)
	tracing.Picture(ctx, begun, "", reason, classify.Timing{})
	return nil, err
}

// failedUnseen counts a picture that failed before its classifier saw it, and returns why.
func (s *Server) failedUnseen(err error) error {
	s.cfg.Telemetry.PictureFailed(pictureReason(err))
	return err
}

func pictureReason(err error) string {
	f := asFailure(err)
	if f.gone {
		return goneReason
	}
	return string(f.code)
}
