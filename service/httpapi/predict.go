package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

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
	refuse := func() *failure { return s.full(now.workers) }
	if s.room.Full() {
		return refuse()
	}
	r.upload.within(s.room, refuse)
	in, err := s.readInput(c.Request(), r.upload)
	if err != nil {
		return err
	}
	lease, err := now.models.Pick(in.parameters.model, r.id)
	if err != nil {
		return fail(api.ModelNotFound, "%s", err)
	}
	defer lease.Release()
	card := lease.Card()
	s.cfg.Telemetry.Asked(card.Name, card.Version)
	m := &counted{Classifier: lease, telemetry: s.cfg.Telemetry, name: card.Name, version: card.Version}
	if !s.room.Enter(len(in.pictures)) {
		return refuse()
	}
	ctx := c.Request().Context()
	s.allowTime(c, in.parameters.deadline)
	if in.parameters.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.upload.arrived().Add(in.parameters.deadline))
		defer cancel()
	}
	answer := &api.PredictResponse{RequestID: r.id, Model: card.Name, ModelVersion: card.Version}
	if in.several {
		answer.Results, err = s.classifyAll(ctx, m, now.workers, in, r.id)
	} else {
		answer.Results = make([]api.Result, 1)
		answer.Results[0], err = s.classifyOne(ctx, m, in, 0)
	}
	if err != nil {
		return err
	}
	answer.Timing.Upload = classify.Milliseconds(r.uploadTime())
	answer.Timing.Total = classify.Milliseconds(time.Since(r.begun))
	c.Response().Header().Set("Server-Timing", serverTiming(answer))
	return c.JSON(http.StatusOK, answer)
}

// full refuses a request that there is no room for.
func (s *Server) full(workers int) *failure {
	use := s.room.Use()
	f := fail(api.QueueFull, "the server has as much work as it takes at one time (%d pictures, %s of uploads); try again in a moment", use.Pictures, size(use.Bytes))
	f.retryAfter = s.room.RetryAfter(workers)
	return f
}

// allowTime sets the end of the connection's time to write, which counts from the end of the upload: an answer that is promised for
// the deadline must still get out. 0 is no deadline.
func (s *Server) allowTime(c echo.Context, deadline time.Duration) {
	end := time.Time{} // no end
	if deadline > 0 {
		end = requestOf(c).upload.arrived().Add(max(deadline+timeToAnswer, s.cfg.WriteTimeout))
	}
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(end) // a connection that has none keeps what it has
}

// timeToAnswer is how long an answer may take to be sent, at least.
const timeToAnswer = 30 * time.Second

// classifyAll classifies several pictures at the same time. A picture's error is its own; only a client that went away ends
// them all.
func (s *Server) classifyAll(ctx context.Context, m Classifier, workers int, in *input, requestID string) ([]api.Result, error) {
	results := make([]api.Result, len(in.pictures))
	var group errgroup.Group
	group.SetLimit(workers + 1) // one more waits, so that no worker is idle between two of them
	for i := range in.pictures {
		group.Go(func() error {
			result, err := s.classifyOne(ctx, m, in, i)
			if err != nil {
				result = s.failedResult(ctx, err, in, i, requestID)
			}
			results[i] = result
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
func (s *Server) failedResult(ctx context.Context, err error, in *input, i int, requestID string) api.Result {
	f := asFailure(err)
	p := f.problem(requestID)
	if p.Status == http.StatusInternalServerError && !f.gone {
		attributes := append([]slog.Attr{slog.String("request_id", requestID), slog.Int("index", i), slog.String("code", string(f.code))}, causes(f)...)
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelError, "picture failed", attributes...)
	}
	return api.Result{
		Index: i, Filename: in.pictures[i].filename, Warnings: []string{}, Predictions: []api.Prediction{}, Error: p,
	}
}

// classifyOne classifies one picture, which has entered the queue, and leaves it.
func (s *Server) classifyOne(ctx context.Context, m Classifier, in *input, i int) (api.Result, error) {
	picture := &in.pictures[i]
	var worked time.Duration
	defer func() { s.room.Leave(worked) }()
	if picture.err != nil {
		return api.Result{}, picture.err
	}
	if err := ctx.Err(); err != nil {
		return api.Result{}, err // too late: not even begun
	}
	var result *classify.Result
	err := catch(func() (err error) {
		result, err = m.Classify(ctx, picture.data, in.parameters.options)
		return err
	})
	if err != nil {
		return api.Result{}, in.explain(inferenceFailure(err), picture.data)
	}
	worked = result.Timing.Decode + result.Timing.Preprocess + result.Timing.Inference
	wire := result.Wire(in.parameters.language)
	wire.Index, wire.Filename = i, picture.filename
	return wire, nil
}
