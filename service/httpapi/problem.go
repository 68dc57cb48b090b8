package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// statusOf is the status that each code comes with.
var statusOf = map[api.Code]int{
	api.BadRequest: 400, api.BadBase64: 400, api.BadParameter: 400, api.NoImage: 400, api.EmptyImage: 400,
	api.Unauthorized: 401, api.Forbidden: 403, api.ForeignSite: 403,
	api.NotFound: 404, api.ModelNotFound: 404, api.MethodNotAllowed: 405, api.RequestTimeout: 408,
	api.BodyTooLarge: 413, api.TooManyImages: 413,
	api.UnsupportedMediaType: 415, api.UnsupportedFormat: 415,
	api.UnsupportedVariant: 422, api.CorruptImage: 422, api.ImageTooLarge: 422, api.ImageTooComplex: 422,
	api.QueueFull: 429, api.RateLimited: 429,
	api.Internal: 500, api.InferenceFailed: 500, api.ModelOutputInvalid: 500,
	api.NotReady: 503, api.Draining: 503,
	api.DeadlineExceeded: 504,
}

// statusClientGone marks in the log a request whose client did not wait for the answer. It is nginx's number for that.
const statusClientGone = 499

// failure is an error with three faces: the code, which implies the status; a sentence for the client; a cause for the log.
type failure struct {
	code   api.Code
	detail string
	cause  error // never shown to the client; may be nil
	// gone is true where the client went away while it was sending or waiting: it most likely never sees the answer.
	gone bool
	// retryAfter is when to try again, in seconds; 0 where that would not help, or nobody knows.
	retryAfter int
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.detail + " (" + f.cause.Error() + ")"
	}
	return f.detail
}

func (f *failure) Unwrap() error { return f.cause }

func fail(code api.Code, format string, args ...any) *failure {
	return &failure{code: code, detail: fmt.Sprintf(format, args...)}
}

func (f *failure) because(cause error) *failure {
	f.cause = cause
	return f
}

// panicError is a panic that was caught, with the stack of where it happened.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// asFailure finds the failure that err is. Errors that nobody foresaw are internal, and show nothing of themselves.
func asFailure(err error) *failure {
	var known *failure
	var picture *preprocess.Error
	var routing *echo.HTTPError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &picture) && statusOf[api.Code(picture.Code)] != 0:
		return fail(api.Code(picture.Code), "%s", picture.Detail).because(picture.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(api.DeadlineExceeded, "the request's deadline passed before its answer was ready").because(err)
	case errors.Is(err, context.Canceled):
		f := fail(api.Internal, "the request was cancelled").because(err)
		f.gone = true
		return f
	case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
		return fail(api.NotFound, "there is nothing at this address; pictures go to POST /predict")
	case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
		return fail(api.MethodNotAllowed, "this address does not answer to that method; the Allow header lists those it answers to")
	}
	return fail(api.Internal, "internal server error").because(err)
}

// inferenceFailure is what went wrong behind a picture that was fit to be classified.
func inferenceFailure(err error) error {
	var picture *preprocess.Error
	var panicked *panicError
	switch {
	case errors.As(err, &picture), errors.As(err, &panicked), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, model.ErrOutput):
		return fail(api.ModelOutputInvalid, "the model gave no answer that has a meaning for this picture; the server's log says what it gave").because(err)
	}
	return fail(api.InferenceFailed, "the model failed on this picture; the server's log says why").because(err)
}

// problem is what the client gets to see of f.
func (f *failure) problem(requestID string) *api.Problem {
	status := statusOf[f.code]
	return &api.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: f.detail, Code: f.code, RequestID: requestID,
	}
}

// answerError is echo's error handler: the one place where errors become answers. observe logs them.
func (s *Server) answerError(err error, c echo.Context) {
	f := asFailure(err)
	r := requestOf(c)
	r.failure = f
	res := c.Response()
	if res.Committed {
		return // the answer was under way: all that is left is the log
	}
	if f.gone && errors.Is(err, context.Canceled) {
		_ = c.NoContent(statusClientGone)
		return
	}
	p := f.problem(r.id)
	if f.retryAfter > 0 {
		res.Header().Set(echo.HeaderRetryAfter, strconv.Itoa(f.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		res.Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="vidi"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	res.Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))              // it may be flushed before the handler ends
	r.upload.answerBefore(c, func() { _ = c.Blob(p.Status, api.ProblemType, body) }) // a failed write means that the client is gone
}
