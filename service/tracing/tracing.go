// Package tracing sends OpenTelemetry traces of requests and of the pictures in them to a collector, where an operator names
// one. It is the only package that imports OpenTelemetry. What leaves the process are times, sizes, codes and the request's
// id; never pictures, file names or answers.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/vidi-vision/vidi/service/classify"
)

// scope is this program's name among the makers of spans.
const scope = "github.com/vidi-vision/vidi"

// Config says where traces go.
type Config struct {
	Endpoint string  // the collector's address for OTLP over HTTP, "http://127.0.0.1:4318"; /v1/traces is added
	Share    float64 // of the requests that come without a decision of their caller's (the flag in traceparent), 0–1
	Version  string  // of this program
}

// Tracer makes traces. A nil Tracer makes none, and its methods may be called. All methods are safe for concurrent use.
type Tracer struct {
	endpoint string
	provider *trace.TracerProvider
	tracer   api.Tracer
}

// Endpoint is the collector's address.
func (t *Tracer) Endpoint() string { return t.endpoint }

// Open starts to send traces in the background; the collector need not be there yet. What cannot be sent is dropped, and
// log hears of it. Headers, time limits and certificates of the connection are taken from OpenTelemetry's own environment
// variables (OTEL_EXPORTER_OTLP_HEADERS and so on).
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(cfg.Endpoint+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("cannot send traces to %s: %w", cfg.Endpoint, err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces were lost", "collector", cfg.Endpoint, "error", err) }))
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "vidi"), attribute.String("service.version", cfg.Version)),
		resource.WithFromEnv()) // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be used: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about),
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(cfg.Share))))
	return &Tracer{endpoint: cfg.Endpoint, provider: provider, tracer: provider.Tracer(scope)}, nil
}

// Close sends what is left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Request is the trace of one request; nil where it is not traced.
type Request struct{ span api.Span }

// Begin begins the trace of a request, as a part of its caller's trace where a traceparent header names one. The context
// is for whatever works on it.
func (t *Tracer) Begin(r *http.Request) (context.Context, *Request) {
	if t == nil {
		return r.Context(), nil
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, "request", api.WithSpanKind(api.SpanKindServer))
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, &Request{span}
}

// ID is the trace's id in hexadecimal, "" without a trace.
func (r *Request) ID() string {
	if r == nil {
		return ""
	}
	return r.span.SpanContext().TraceID().String()
}

// Ended is how a request went, in OpenTelemetry's words for HTTP.
type Ended struct {
	Method, Route string // the route's template, never what the client sent
	Status        int
	Code          string // of the error; "" for none
	RequestID     string
	BytesIn       int64
	Upload        time.Duration // from the headers to the last byte of the body
	At            time.Time     // when the answer was out
}

// End ends the trace.
func (r *Request) End(e Ended) {
	if r == nil {
		return
	}
	r.span.SetName(e.Method + " " + e.Route)
	r.span.SetAttributes(attribute.String("http.request.method", e.Method), attribute.String("http.route", e.Route),
		attribute.Int("http.response.status_code", e.Status), attribute.Int64("http.request.body.size", e.BytesIn),
		attribute.Float64("vidi.upload_ms", classify.Milliseconds(e.Upload)),
		attribute.String("vidi.request_id", e.RequestID))
	if e.Code != "" {
		r.span.SetAttributes(attribute.String("error.type", e.Code))
	}
	if e.Status >= 500 {
		r.span.SetStatus(codes.Error, e.Code)
	}
	r.span.End(api.WithTimestamp(e.At))
}

// Picture adds a picture to the request's trace: begun is when work on it was asked for. Its stages follow one another from then
// on; of a JPEG or PNG, which is resized while it is decoded, the two are sums shown one after the other. code is why it
// failed, "" if it did not; then there is no timing.
func Picture(ctx context.Context, begun time.Time, format, code string, timing classify.Timing) {
	request := api.SpanFromContext(ctx)
	if !request.IsRecording() {
		return
	}
	tracer := request.TracerProvider().Tracer(scope)
	ctx, picture := tracer.Start(ctx, "picture", api.WithTimestamp(begun))
	defer picture.End()
	if code != "" {
		picture.SetAttributes(attribute.String("error.type", code))
		return
	}
	picture.SetAttributes(attribute.String("vidi.format", format))
	at := begun
	for _, stage := range []struct {
		name string
		took time.Duration
	}{
		{"queue", timing.Queue}, {"decode", timing.Decode}, {"preprocess", timing.Preprocess}, {"inference", timing.Inference},
	} {
		_, span := tracer.Start(ctx, stage.name, api.WithTimestamp(at))
		at = at.Add(stage.took)
		span.End(api.WithTimestamp(at))
	}
}
