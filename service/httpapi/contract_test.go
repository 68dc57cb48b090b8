package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/openapi"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// contract is openapi.yaml, loaded and checked.
func contract(t *testing.T) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil // "./" is where the document came from; the router wants addresses from the root
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// contractError is what the document does not allow about an answer: its status, its headers, its type or a field.
func contractError(router routers.Router, r *http.Request, w *httptest.ResponseRecorder) error {
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		return err
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route, Options: options},
		Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(strings.NewReader(w.Body.String())), Options: options,
	})
}

func checkContract(t *testing.T, router routers.Router, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	if err := contractError(router, r, w); err != nil {
		t.Errorf("%s %s: %d is not what the document says: %v\n%s", r.Method, r.URL, w.Code, err, w.Body)
	}
}

// broken is a body that fails after its first bytes.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Every kind of request, and each code that the server has: the answer is one that the document allows.
func TestAnswersAreInTheContract(t *testing.T) {
	_, router := contract(t)
	refuse := func(code preprocess.Code) func(context.Context, []byte) error {
		return func(context.Context, []byte) error { return &preprocess.Error{Code: code, Detail: "it is so"} }
	}
	const typeJSON = "application/json"
	formType, formBody := form(t, part{"file", "a.jpg", "picture"}, part{"image", "", "data:image/png;base64," + b64("picture")}, part{"lang", "", "zh"})
	seen := map[api.Code]bool{}
	for name, c := range map[string]struct {
		target, contentType, body string
		fails                     func(context.Context, []byte) error
		prepare                   func(*http.Request, *Config)
		want                      api.Code
	}{
		"raw":                    {body: "picture"},
		"query":                  {target: "/predict?top_k=1&threshold=5.5&lang=zh&decode=fast&exif=false&model=resnet18&deadline_ms=9000", body: "picture"},
		"nothing over threshold": {target: "/predict?threshold=99", body: "picture"},
		"groups and tags":        {target: "/predict?parents=true&lang=zh", body: "tagged"},
		"form":                   {contentType: formType, body: fmt.Sprint(formBody)},
		"json":                   {contentType: typeJSON, body: `{"image": "` + b64("picture") + `"}`},
		"json, one of two bad":   {contentType: typeJSON, body: `{"images": ["` + b64("picture") + `", "%"]}`},

		"malformed JSON":      {contentType: typeJSON, body: `{"image`, want: api.BadRequest},
		"cut off":             {want: api.BadRequest, prepare: func(r *http.Request, _ *Config) { r.Body = io.NopCloser(broken{errors.New("gone")}) }},
		"bad base64":          {contentType: typeJSON, body: `{"image": "%"}`, want: api.BadBase64},
		"bad parameter":       {target: "/predict?top_k=0", body: "picture", want: api.BadParameter},
		"unknown parameter":   {contentType: typeJSON, body: `{"topk": 0}`, want: api.BadParameter},
		"no picture":          {contentType: typeJSON, body: `{}`, want: api.NoImage},
		"empty":               {want: api.EmptyImage},
		"other model":         {target: "/predict?model=other", body: "picture", want: api.ModelNotFound},
		"timeout":             {want: api.RequestTimeout, prepare: func(r *http.Request, _ *Config) { r.Body = io.NopCloser(broken{os.ErrDeadlineExceeded}) }},
		"too large":           {body: "picture", want: api.BodyTooLarge, prepare: func(_ *http.Request, c *Config) { c.MaxBody = 3 }},
		"too many":            {contentType: typeJSON, body: `{"images": ["YQ==", "YQ=="]}`, want: api.TooManyImages, prepare: func(_ *http.Request, c *Config) { c.MaxImages = 1 }},
		"compressed":          {body: "picture", want: api.UnsupportedMediaType, prepare: func(r *http.Request, _ *Config) { r.Header.Set("Content-Encoding", "gzip") }},
		"queue full":          {body: "picture", want: api.QueueFull, prepare: func(_ *http.Request, c *Config) { c.MaxQueue = 0 }},
		"no picture's format": {body: "bad", want: api.UnsupportedFormat},
		"variant":             {body: "picture", fails: refuse(preprocess.UnsupportedVariant), want: api.UnsupportedVariant},
		"corrupt":             {body: "picture", fails: refuse(preprocess.CorruptImage), want: api.CorruptImage},
		"too many pixels":     {body: "picture", fails: refuse(preprocess.ImageTooLarge), want: api.ImageTooLarge},
		"too complex":         {body: "picture", fails: refuse(preprocess.ImageTooComplex), want: api.ImageTooComplex},
		"panic":               {body: "picture", fails: func(context.Context, []byte) error { panic("a bug") }, want: api.Internal},
		"model fails":         {body: "picture", fails: func(context.Context, []byte) error { return errors.New("torch") }, want: api.InferenceFailed},
		"NaN":                 {body: "picture", fails: func(context.Context, []byte) error { return model.ErrOutput }, want: api.ModelOutputInvalid},
		"another site": {body: "picture", want: api.ForeignSite, prepare: func(r *http.Request, _ *Config) {
			*r = *r.WithContext(context.WithValue(r.Context(), localKey{}, true)) // its Host is example.com
		}},
		"late": {target: "/predict?deadline_ms=1", body: "picture", want: api.DeadlineExceeded, fails: func(ctx context.Context, _ []byte) error {
			<-ctx.Done()
			return ctx.Err()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := func(*Config) {}
			target := c.target
			if target == "" {
				target = "/predict"
			}
			for _, prefix := range []string{"", "/api/v1"} {
				r := httptest.NewRequest(http.MethodPost, prefix+target, strings.NewReader(c.body))
				r.Header.Set("Content-Type", c.contentType)
				if c.prepare != nil {
					cfg = func(cfg *Config) { c.prepare(r, cfg) }
				}
				s, _ := ready(&fake{classify: c.fails}, cfg)
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if c.want != "" {
					wantProblem(t, w, c.want)
				} else if w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				checkContract(t, router, r, w)
			}
		})
		seen[c.want] = true
	}

	loading, _ := ready(nil, nil)
	leaving, _ := ready(&fake{}, nil)
	if err := leaving.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	open, _ := ready(&fake{}, nil)
	for _, s := range []*Server{loading, leaving, open} {
		for _, target := range []string{"/livez", "/readyz", "/api/v1/models", "/predict"} {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			if target == "/predict" {
				r = httptest.NewRequest(http.MethodPost, target, strings.NewReader("picture"))
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			checkContract(t, router, r, w)
		}
	}
	guarded, _ := withKeys(t, nil)
	for _, c := range []struct {
		key  string
		want api.Code
	}{{"", api.Unauthorized}, {"secret-graph", api.Forbidden}, {"secret-slow", ""}, {"secret-slow", api.RateLimited}} {
		r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader("picture"))
		if c.key != "" {
			r.Header.Set("X-API-Key", c.key)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if c.want != "" {
			wantProblem(t, w, c.want)
		}
		checkContract(t, router, r, w)
		seen[c.want] = true
	}
	for _, elsewhere := range []api.Code{api.NotReady, api.Draining, api.NotFound, api.MethodNotAllowed} {
		seen[elsewhere] = true // the last two belong to no operation: TestProblemsOutsideTheContractsPaths
	}
	for code := range statusOf {
		if !seen[code] {
			t.Errorf("no request here is answered with %s", code)
		}
	}
}

// A check that accepts everything would prove nothing.
func TestContractRefusesOtherAnswers(t *testing.T) {
	_, router := contract(t)
	for name, change := range map[string]func(w *httptest.ResponseRecorder){
		"a status":        func(w *httptest.ResponseRecorder) { w.Code = 418 },
		"a header":        func(w *httptest.ResponseRecorder) { w.Header().Del("Server-Timing") },
		"a type":          func(w *httptest.ResponseRecorder) { w.Header().Set("Content-Type", "text/plain") },
		"a field":         func(w *httptest.ResponseRecorder) { replaceIn(w, `"predictions"`, `"guesses"`) },
		"a value":         func(w *httptest.ResponseRecorder) { replaceIn(w, `"confidence":92.3`, `"confidence":"92.3"`) },
		"a value's range": func(w *httptest.ResponseRecorder) { replaceIn(w, `"confidence":92.3`, `"confidence":192.3`) },
		"a group":         func(w *httptest.ResponseRecorder) { replaceIn(w, `"label":"mountain"`, `"group":"mountain"`) },
		"a top group":     func(w *httptest.ResponseRecorder) { replaceIn(w, `"label":"nature"`, `"group":"nature"`) },
		"a tag's reason":  func(w *httptest.ResponseRecorder) { replaceIn(w, `"percent":95`, `"percent":"95"`) },
		"null":            func(w *httptest.ResponseRecorder) { replaceIn(w, `"error":null`, `"error":{}`) },
	} {
		s, _ := ready(&fake{}, nil)
		r := httptest.NewRequest(http.MethodPost, "/predict?parents=true", strings.NewReader("tagged"))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		change(w)
		if contractError(router, r, w) == nil {
			t.Errorf("%s was changed, and nothing said so", name)
		}
	}
}

func replaceIn(w *httptest.ResponseRecorder, old, new string) {
	w.Body = bytes.NewBufferString(strings.Replace(w.Body.String(), old, new, 1))
}

// What belongs to no operation of the document is in its components.
func TestProblemsOutsideTheContractsPaths(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	wantProblem(t, get(s, "/nothing"), api.NotFound)
	w := get(s, "/predict")
	wantProblem(t, w, api.MethodNotAllowed)
	if w.Header().Get("Allow") == "" {
		t.Error("405 without an Allow header")
	}
}

// The document has an example of every code, with the status and title that the server gives it.
func TestContractHasEveryCode(t *testing.T) {
	doc, _ := contract(t)
	examples := map[api.Code]*failure{}
	for status, response := range doc.Components.Responses {
		media := response.Value.Content["application/problem+json"]
		if media == nil {
			continue
		}
		for name, example := range media.Examples {
			raw, err := json.Marshal(example.Value.Value)
			if err != nil {
				t.Fatal(err)
			}
			var p api.Problem
			if err := json.Unmarshal(raw, &p); err != nil {
				t.Fatal(err)
			}
			if string(p.Code) != name || p.Title != http.StatusText(p.Status) || p.Detail == "" || example.Value.Summary == "" {
				t.Errorf("%s %s: %+v", status, name, p)
			}
			if known := statusOf[p.Code]; known != 0 && known != p.Status {
				t.Errorf("%s has status %d in the document and %d in the server", p.Code, p.Status, known)
			}
			examples[p.Code] = fail(p.Code, "%s", p.Detail)
		}
	}
	for code := range statusOf {
		if examples[code] == nil {
			t.Errorf("the document has no %s", code)
		}
	}
}

// What the document shows as a request is answered.
func TestContractsExamplesWork(t *testing.T) {
	doc, _ := contract(t)
	examples := doc.Components.RequestBodies["Pictures"].Value.Content["application/json"].Examples
	for name, example := range examples {
		body, err := json.Marshal(example.Value.Value)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := ready(&fake{}, nil)
		for _, result := range decodeAnswer(t, post(s, "/predict", "application/json", bytes.NewReader(body))).Results {
			if result.Error != nil {
				t.Errorf("%s: %v", name, result.Error)
			}
		}
	}
	if len(examples) == 0 {
		t.Error("there are none")
	}
}

// Each parameter that the server knows is in the document, in all three places, and no other.
func TestContractHasEveryParameter(t *testing.T) {
	doc, _ := contract(t)
	var known []string
	for _, p := range allParameters {
		known = append(known, p.name)
	}
	slices.Sort(known)
	var query []string
	for _, p := range doc.Paths.Find("/predict").Post.Parameters {
		if p.Value.In == "query" {
			query = append(query, p.Value.Name)
		}
	}
	slices.Sort(query)
	if !slices.Equal(query, known) {
		t.Errorf("in the query: %v, want %v", query, known)
	}
	for _, schema := range []string{"PredictForm", "PredictURLEncoded", "PredictJSON"} {
		var fields []string
		for name := range doc.Components.Schemas[schema].Value.Properties {
			if name != "file" && name != "image" && name != "images" {
				fields = append(fields, name)
			}
		}
		slices.Sort(fields)
		if !slices.Equal(fields, known) {
			t.Errorf("%s: %v, want %v", schema, fields, known)
		}
	}
}
