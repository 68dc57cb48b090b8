// Package api is vidi's HTTP API for Go programs: its JSON as types, which the server answers with, and a [Client] that asks
// it. It needs nothing beyond the standard library. Clients must ignore fields they do not know, as this one does: later
// versions add some.
//
// The contract itself is ../openapi/openapi.yaml; docs/api.md tells it in prose. A client in Python is in python/.
package api

// ProblemType is the Content-Type of every answer with a status of 400 and above (RFC 9457).
const ProblemType = "application/problem+json"

// PredictResponse answers POST /predict and POST /api/v1/predict.
type PredictResponse struct {
	RequestID    string   `json:"request_id"`
	Model        string   `json:"model"`
	ModelVersion string   `json:"model_version"`
	Results      []Result `json:"results"` // one per picture, in the order they were sent
	Timing       TotalMS  `json:"timing_ms"`
}

// Result is what is in one picture. Where Error is set, everything but Index and Filename is empty.
type Result struct {
	Index       int          `json:"index"`               // the picture's place in the request, from 0
	Filename    string       `json:"filename"`            // as the client named it, without folders; "" where it did not
	Width       int          `json:"width"`               // pixels, as a person sees the picture: after the EXIF turn
	Height      int          `json:"height"`              // pixels
	Format      string       `json:"format"`              // "jpeg", "png", …: what the bytes are, whatever the name says
	Warnings    []string     `json:"warnings"`            // "low_resolution", "damaged_image", "not_sure"; never null
	Predictions []Prediction `json:"predictions"`         // most likely first; never null
	Parents     []Parent     `json:"parents,omitzero"`    // most likely first; only where they were asked for
	TopGroups   []Parent     `json:"top_groups,omitzero"` // the top-level groups likewise: animal, where a parent is cat
	Tags        []Tag        `json:"tags,omitzero"`       // in the order of the server's rules; only where it has some
	Timing      TimingMS     `json:"timing_ms"`
	Error       *Problem     `json:"error"` // null for a picture that was classified
}

// Prediction is one answer.
type Prediction struct {
	Label       string            `json:"label"`           // the class's unique English id
	Display     string            `json:"display"`         // its name in the language asked for
	Names       map[string]string `json:"names,omitempty"` // by language, "en" and "zh"
	ClassID     int               `json:"class_id"`
	WNID        string            `json:"wnid,omitempty"` // WordNet's id, where the model's card has one
	Confidence  float64           `json:"confidence"`     // percent, rounded to 0.1
	Probability float64           `json:"probability"`    // 0–1, rounded to 0.000001
}

// Parent is a group of classes, and how likely the picture shows one of them.
type Parent struct {
	Label       string            `json:"label"`           // the group's unique English id
	Display     string            `json:"display"`         // its name in the language asked for
	Names       map[string]string `json:"names,omitempty"` // by language, "en" and "zh"
	Confidence  float64           `json:"confidence"`      // percent, rounded to 0.1
	Probability float64           `json:"probability"`     // 0–1, rounded to 0.000001
}

// Tag is a tag that the rules of the server's operator give the picture.
type Tag struct {
	Tag     string   `json:"tag"`
	Action  string   `json:"action,omitempty"` // the operator's word for what to do
	Because []Reason `json:"because"`          // the conditions, all of which hold
}

// Reason is a condition that holds: Percent is at least AtLeast, and below Below, where these are given.
type Reason struct {
	Label   string            `json:"label"`           // labels and groups, the weightiest first; or "brightness" or "best"
	Display string            `json:"display"`         // the same in the language asked for
	Names   map[string]string `json:"names,omitempty"` // by language, "en" and "zh"
	Percent float64           `json:"percent"`         // rounded to 0.1
	AtLeast *float64          `json:"at_least,omitempty"`
	Below   *float64          `json:"below,omitempty"`
}

// TimingMS is where one picture's time went, in milliseconds rounded to 0.01.
type TimingMS struct {
	Decode     float64 `json:"decode"`     // bytes to pixels
	Preprocess float64 `json:"preprocess"` // pixels to the network's input
	Queue      float64 `json:"queue"`      // waiting for a decoder or a worker
	Inference  float64 `json:"inference"`
}

// TotalMS is a request's time in milliseconds, rounded to 0.01. Total is all of it, Upload included: from the headers to the last byte
// of the body. The deadline counts what follows the upload.
type TotalMS struct {
	Upload float64 `json:"upload"`
	Total  float64 `json:"total"`
}

// Problem is why a request, or one picture of several, failed.
type Problem struct {
	Type      string `json:"type"`  // "about:blank": Code tells problems apart
	Title     string `json:"title"` // the status in words
	Status    int    `json:"status"`
	Detail    string `json:"detail"` // a sentence for the person who sent the request
	Code      Code   `json:"code"`
	RequestID string `json:"request_id"` // also in the server's log
}

// Error is the code and the detail.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// Code names a kind of problem. Codes never change their meaning; new ones may come.
type Code string

// The codes, with the status each comes with.
const (
	BadRequest           Code = "bad_request"            // 400
	BadBase64            Code = "bad_base64"             // 400
	BadParameter         Code = "bad_parameter"          // 400
	NoImage              Code = "no_image"               // 400
	EmptyImage           Code = "empty_image"            // 400
	Unauthorized         Code = "unauthorized"           // 401
	Forbidden            Code = "forbidden"              // 403
	ForeignSite          Code = "foreign_site"           // 403
	NotFound             Code = "not_found"              // 404
	ModelNotFound        Code = "model_not_found"        // 404
	MethodNotAllowed     Code = "method_not_allowed"     // 405
	RequestTimeout       Code = "request_timeout"        // 408
	BodyTooLarge         Code = "body_too_large"         // 413
	TooManyImages        Code = "too_many_images"        // 413
	UnsupportedMediaType Code = "unsupported_media_type" // 415
	UnsupportedFormat    Code = "unsupported_format"     // 415
	UnsupportedVariant   Code = "unsupported_variant"    // 422
	CorruptImage         Code = "corrupt_image"          // 422
	ImageTooLarge        Code = "image_too_large"        // 422
	ImageTooComplex      Code = "image_too_complex"      // 422
	QueueFull            Code = "queue_full"             // 429
	RateLimited          Code = "rate_limited"           // 429
	Internal             Code = "internal"               // 500
	InferenceFailed      Code = "inference_failed"       // 500
	ModelOutputInvalid   Code = "model_output_invalid"   // 500
	NotReady             Code = "not_ready"              // 503
	Draining             Code = "draining"               // 503
	DeadlineExceeded     Code = "deadline_exceeded"      // 504
)

// ModelsResponse answers GET /api/v1/models.
type ModelsResponse struct {
	Models []ModelInfo `json:"models"`
	Limits Limits      `json:"limits"`
}

// Limits are what a client can check before it sends; a server that is asked for more answers body_too_large or
// too_many_images.
type Limits struct {
	MaxBody   int64 `json:"max_body"`   // bytes of one request
	MaxImages int   `json:"max_images"` // pictures in one request
}

// ModelInfo is one version of a served model. A request names it NAME@VERSION, or NAME@ALIAS.
type ModelInfo struct {
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Aliases     []string  `json:"aliases"` // "stable" answers to the name alone, "canary" to a share of that; never null
	Description string    `json:"description,omitempty"`
	Licence     string    `json:"licence,omitempty"`
	Precision   string    `json:"precision"` // what it computes in: "fp32", "bf16" or "int8"
	Classes     int       `json:"classes"`
	Input       InputSize `json:"input"`
	Default     bool      `json:"default"` // answers requests that name no model
}

// InputSize is what the network looks at, in pixels. Pictures of any size may be sent: the server resizes them.
type InputSize struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Status answers GET /livez and, once the server is ready, GET /readyz.
type Status struct {
	Status string `json:"status"` // "ok" or "ready"
}
