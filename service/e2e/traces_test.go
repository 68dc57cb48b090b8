package e2e

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// collector receives traces as OpenTelemetry's own does: OTLP in protobuf over HTTP.
type collector struct {
	mu    sync.Mutex
	spans []*wire.Span
	bytes []byte // everything that came
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var export v1.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &export); err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = append(c.bytes, body...)
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// A request becomes a span in its caller's trace, and its pictures and their stages spans below it, which tell nothing of what
// was sent. The last ones come when the server stops.
func TestTraces(t *testing.T) {
	var c collector
	listener := httptest.NewServer(&c)
	defer listener.Close()
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--traces", listener.URL).ready(t)
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	var form bytes.Buffer
	form.WriteString("--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"my-secret-holiday.png\"\r\n\r\n")
	form.Write(read(t, torchtest.File(t, "examples/cat.png")))
	form.WriteString("\r\n--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"b\"\r\n\r\nno picture\r\n--b--\r\n")
	request, err := http.NewRequest(http.MethodPost, s.url+"/predict", &form)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	request.Header.Set("traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(s.stderr.String(), "trace_id="+traceID) {
		t.Error("the log does not say which trace it was")
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	byID := map[string]*wire.Span{}
	for _, span := range c.spans {
		byID[string(span.SpanId)] = span
		if hex.EncodeToString(span.TraceId) != traceID {
			t.Errorf("%s is of the trace %x", span.Name, span.TraceId)
		}
		if span.EndTimeUnixNano < span.StartTimeUnixNano {
			t.Errorf("%s ends before it begins", span.Name)
		}
	}
	var tree []string
	for _, span := range c.spans {
		path := span.Name
		for up := byID[string(span.ParentSpanId)]; up != nil; up = byID[string(up.ParentSpanId)] {
			path = up.Name + " > " + path
		}
		tree = append(tree, path)
	}
	slices.Sort(tree)
	want := []string{
		"POST /predict", "POST /predict > picture", "POST /predict > picture", "POST /predict > picture > decode",
		"POST /predict > picture > inference", "POST /predict > picture > preprocess", "POST /predict > picture > queue",
	}
	if !slices.Equal(tree, want) {
		t.Errorf("the spans are\n%s\nwant\n%s", strings.Join(tree, "\n"), strings.Join(want, "\n"))
	}
	for _, private := range []string{"holiday", "no picture"} {
		if bytes.Contains(c.bytes, []byte(private)) {
			t.Errorf("the traces tell of %q", private)
		}
	}
}

// A collector that is not there costs no answer, and the log says that traces were lost.
func TestTracesWithoutCollector(t *testing.T) {
	s := start(t, "--model="+torchtest.File(t, "build/fixtures/tiny.pt"), "--traces", "http://127.0.0.1:9").ready(t)
	if status, answer := s.post(t, "image/png", read(t, torchtest.File(t, "examples/cat.png"))); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := s.stderr.String(); !strings.Contains(log, "traces were lost") {
		t.Errorf("the log does not tell:\n%s", lastLines(log, 10))
	}
}
