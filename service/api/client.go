package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// Client asks a vidi server. It is safe for concurrent use, and holds nothing that must be closed.
//
// An answer with a status of 400 and above is a [*Problem], which errors.As finds. A request that the server was too busy
// for (429, 503) is sent again, up to four times, after the wait that the server asks for; a context that ends, ends the
// waiting too. There is no other time limit.
type Client struct {
	base    *url.URL
	key     string
	http    *http.Client
	retries int
	maxWait time.Duration
	sleep   func(ctx context.Context, d time.Duration) error
}

// Option changes a new client.
type Option func(*Client)

// WithKey sends an API key with every request, as Authorization: Bearer.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithHTTPClient uses h, for proxies, certificates and timeouts of its own.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithRetries sends a request again at most n times, 0 for never, and waits at most longest before each. A server that asks
// for a longer wait is taken at its word: its problem is returned instead.
func WithRetries(n int, longest time.Duration) Option {
	return func(c *Client) { c.retries, c.maxWait = n, longest }
}

// New makes a client of the server at baseURL, "http://127.0.0.1:5000" or "https://example.org/vidi/". Nothing is sent yet.
func New(baseURL string, options ...Option) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("vidi: address: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("vidi: address %q: begin with http:// or https:// and the host", baseURL)
	}
	base.RawQuery, base.Fragment = "", ""
	c := &Client{base: base, http: &http.Client{}, retries: 4, maxWait: 30 * time.Second, sleep: sleep}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

// Models lists what the server serves, and how much one request may hold.
func (c *Client) Models(ctx context.Context) (*ModelsResponse, error) {
	var answer ModelsResponse
	return pick(&answer, c.do(ctx, request{method: http.MethodGet, path: "api/v1/models"}, &answer))
}

// Ready is nil if a picture would be answered now. Otherwise it says why not, at once: a server that still loads is a
// [*Problem] with the code [NotReady].
func (c *Client) Ready(ctx context.Context) error {
	once := *c
	once.retries = 0 // who asks wants to know how it is
	return once.do(ctx, request{method: http.MethodGet, path: "readyz"}, &Status{})
}

// request is what do sends, as often as it must.
type request struct {
	method, path string
	query        url.Values
	contentType  string
	body         []byte
}

// do sends r and decodes the answer into v.
func (c *Client) do(ctx context.Context, r request, v any) error {
	for attempt := 0; ; attempt++ {
		again, err := c.once(ctx, r, v)
		if err == nil || again == nil || attempt >= c.retries {
			return err
		}
		wait := again.wait(attempt)
		if deadline, ok := ctx.Deadline(); wait > c.maxWait || ok && time.Until(deadline) < wait {
			return err // it would be in vain to wait
		}
		if stopped := c.sleep(ctx, wait); stopped != nil {
			return fmt.Errorf("vidi: waiting to send again after %w: %w", err, stopped)
		}
	}
}

// once sends r a single time. again is when to repeat it; nil where that would not help.
func (c *Client) once(ctx context.Context, r request, v any) (again *backoff, err error) {
	address := c.base.JoinPath(r.path)
	address.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body) // net/http learns its length from this type, and how to send it again after a redirect
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address.String(), body)
	if err != nil {
		return nil, fmt.Errorf("vidi: %w", err)
	}
	req.Header.Set("Accept", "application/json, "+ProblemType)
	req.Header.Set("User-Agent", "vidi-go")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	response, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("vidi: %w", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("vidi: the answer broke off: %w", err)
	}
	if response.StatusCode >= 300 {
		if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
			again = &backoff{told: retryAfter(response.Header.Get("Retry-After"), time.Now())}
		}
		return again, readProblem(response, data)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("vidi: %s answered with no JSON of vidi's: %w", address.Redacted(), err)
	}
	return nil, nil
}

// maxAnswer bounds what a server can make a client hold: 64 pictures with all 1000 names of each are 13 MB.
const maxAnswer = 256 << 20

// readProblem is the problem in an answer. Where a proxy answered instead of vidi, the status is all there is to tell.
func readProblem(response *http.Response, data []byte) *Problem {
	p := &Problem{}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if mediaType == ProblemType && json.Unmarshal(data, p) == nil && p.Code != "" {
		return p
	}
	return &Problem{
		Type: "about:blank", Title: http.StatusText(response.StatusCode), Status: response.StatusCode, Code: NotVidi,
		Detail: "something in between answered instead of vidi: " + response.Status, RequestID: response.Header.Get("X-Request-Id"),
	}
}

// NotVidi is the code of a [*Problem] that the client made itself, from an answer that is not vidi's: a proxy's, mostly.
const NotVidi Code = "not_vidi"

// pick is v, or the error.
func pick[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
