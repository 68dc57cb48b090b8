package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
)

// predict answers POST /predict. Whatever can be refused without reading the body is refused first.
func (s *Server) predict(c echo.Context) error {
	if !s.requests.enter() {
		return draining()
	}
	defer s.requests.leave()
	now, r := s.serving.Load(), requestOf(c)
	if now == nil {
		return notReady()
	}
	if now.models.Stuck() {
		return stuck()
	}
	client := clientOf(c)
	if reason := s.room.Full(client); reason != "" {
		return s.refuse(reason)
	}
	visit := s.room.Visit(client)
	defer visit.Leave()
	// Not by echo's response, which is another request's once this one has ended.
	connection := http.NewResponseController(c.Response().Writer)
	r.upload.within(visit, patience{set: connection.SetReadDeadline, end: s.uploadEnd(r)}, s.refuse)
	in, err := s.readInput(c.Request(), r.upload)
	r.upload.done()
	if err != nil {
		return err
	}
	if visit.Ended() {
		return s.refuse(admission.GaveWay)
	}
	answer, results, err := s.classify(c, now, in, visit)
	if err != nil {
		return err
	}
	in.pictures = nil
	r.upload.forget()
	answer.Timing.Upload = classify.Milliseconds(r.uploadTime())
	answer.Timing.Total = classify.Milliseconds(time.Since(r.begun))
	c.Response().Header().Set("Server-Timing", serverTiming(answer.Timing, results))
	return s.send(c, answer, results, visit, s.answerEnd(r, in.parameters.deadline))
}

// classify classifies a request's pictures. The answer is without its results, which are beside it.
func (s *Server) classify(c echo.Context, now *serving, in *input, visit *admission.Visit) (*api.PredictResponse, []result, error) {
	r := requestOf(c)
	lease, err := now.models.Pick(in.parameters.model, r.id)
	if err != nil {
		return nil, nil, fail(api.ModelNotFound, "%s", err)
	}
	defer lease.Release()
	card := lease.Card()
	s.cfg.Telemetry.Asked(card.Name, card.Version)
	m := &counted{Classifier: lease, telemetry: s.cfg.Telemetry, name: card.Name, version: card.Version}
	places, reason := visit.Enter(in.costs(m))
	if reason != "" {
		return nil, nil, s.refuse(reason)
	}
	s.cfg.Keys.Charge(r.key, len(in.pictures)-1)
	ctx := c.Request().Context()
	in.parameters.deadline = min(in.parameters.deadline, s.cfg.longest())
	// A connection that has no end to write keeps what it has.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(s.answerEnd(r, in.parameters.deadline))
	if deadline := in.parameters.deadline; deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.upload.arrived().Add(deadline))
		defer cancel()
	}
	answer := &api.PredictResponse{RequestID: r.id, Model: card.Name, ModelVersion: card.Version}
	var results []result
	if in.several {
		results, err = s.classifyAll(ctx, m, now.workers, in, visit, places, r.id)
	} else {
		results = make([]result, 1)
		results[0], err = s.classifyOne(ctx, m, in, 0, visit, places[0])
	}
	return answer, results, err
}

// answerEnd is by when the answer must be out, which counts from the end of the upload: an answer that is promised for the deadline must
// still get out. Zero is never; a deadline of 0 is none.
func (s *Server) answerEnd(r *request, deadline time.Duration) time.Time {
	if deadline == 0 {
		return time.Time{}
	}
	return r.upload.arrived().Add(max(deadline+timeToAnswer, s.cfg.WriteTimeout))
}

// timeToAnswer is how long an answer may take to be sent, at least.
const timeToAnswer = 30 * time.Second

// classifyAll classifies several pictures at the same time. A picture's error is its own; only a client that went away ends
// them all.
func (s *Server) classifyAll(ctx context.Context, m Classifier, workers int, in *input, visit *admission.Visit, places []*admission.Place,
	requestID string) ([]result, error) {
	results := make([]result, len(in.pictures))
	var group errgroup.Group
	group.SetLimit(workers + 1) // one more waits, so that no worker is idle between two of them
	for i := range in.pictures {
		group.Go(func() error {
			var r result
			// Nothing above this goroutine recovers: a panic here would end the process.
			err := catch(func() (err error) {
				r, err = s.classifyOne(ctx, m, in, i, visit, places[i])
				return err
			})
			if err != nil {
				r = s.failedResult(ctx, err, in, i, requestID)
			}
			results[i] = r
			return nil
		})
	}
	_ = group.Wait() // every error is in its result
	if err := context.Cause(ctx); err == context.Canceled {
		return nil, err
	}
	return results, nil
}

// failedResult is the result of a picture that could not be classified. Faults of the server's own are logged here: the
// request as a whole answers 200.
func (s *Server) failedResult(ctx context.Context, err error, in *input, i int, requestID string) result {
	f := asFailure(err)
	p := f.problem(requestID)
	if p.Status == http.StatusInternalServerError && !f.gone {
		attributes := append([]slog.Attr{slog.String("request_id", requestID), slog.Int("index", i), slog.String("code", string(f.code))}, causes(f)...)
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelError, "picture failed", attributes...)
	}
	data, err := json.Marshal(api.Result{
		Index: i, Filename: in.pictures[i].filename, Warnings: []string{}, Predictions: []api.Prediction{}, Error: p,
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return result{json: data}
}

// costs is what the pictures are estimated to take.
func (in *input) costs(m Classifier) []admission.Cost {
	costs := make([]admission.Cost, len(in.pictures))
	for i, p := range in.pictures {
		if p.err == nil {
			costs[i] = m.Cost(p.data, in.parameters.options)
		}
	}
	return costs
}

// classifyOne classifies one picture, which has a place, and leaves that.
func (s *Server) classifyOne(ctx context.Context, m Classifier, in *input, i int, visit *admission.Visit,
	place *admission.Place) (result, error) {
	picture := &in.pictures[i]
	var worked time.Duration
	defer func() { place.Left(worked) }()
	if picture.err != nil {
		return result{}, s.failedUnseen(picture.err)
	}
	if err := ctx.Err(); err != nil {
		return result{}, s.failedUnseen(err) // too late: not even begun
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !place.OnDisplaced(cancel) {
		return result{}, s.failedUnseen(s.refuse(admission.Displaced))
	}
	options := in.parameters.options
	options.Place = place
	var found *classify.Result
	err := catch(func() (err error) {
		found, err = m.Classify(ctx, picture.data, options)
		return err
	})
	if err != nil && place.Displaced() {
		return result{}, s.refuse(admission.Displaced)
	}
	if err != nil {
		return result{}, in.explain(inferenceFailure(err), picture.data)
	}
	worked = found.Timing.Decode + found.Timing.Preprocess + found.Timing.Inference
	wire := found.Wire(in.parameters.language)
	wire.Index, wire.Filename = i, picture.filename
	return s.encode(&wire, visit)
}
