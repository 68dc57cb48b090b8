package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/httpapi"
	"github.com/vidi-vision/vidi/service/registry"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// BenchmarkRequestOverhead measures what a request costs beyond decoding, resizing and inference: the CPU that the whole process
// uses, less what the answers say of these three. It is an upper bound, since the client's side is in the same process. The
// network is tiny, so that the rest is not lost in its noise; one worker with one thread, so that stages cost what they last.
//
//	go test -run '^$' -bench RequestOverhead -benchtime 3s ./service/e2e
func BenchmarkRequestOverhead(b *testing.B) {
	path := torchtest.File(b, "build/fixtures/tiny.pt")
	c, err := classify.Open(context.Background(), path,
		classify.Config{Engine: engine.Config{Workers: 1, Threads: 1, Alone: 1}})
	if err != nil {
		b.Fatal(err)
	}
	picture, err := os.ReadFile(torchtest.File(b, "examples/flower.jpg"))
	if err != nil {
		b.Fatal(err)
	}
	server := httpapi.New(httpapi.Default(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	models := registry.New(registry.Config{Log: slog.New(slog.DiscardHandler),
		Open: func(context.Context, string) (registry.Opened, error) {
			return registry.Opened{Model: c, Precision: "fp32"}, nil
		}})
	defer models.Close(context.Background()) // and with it the classifier
	if err := models.Start(context.Background(), []string{path}); err != nil {
		b.Fatal(err)
	}
	server.Ready(served{models}, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Shutdown(context.Background())
	url := "http://" + listener.Addr().String() + "/predict"
	stages := 0.0
	request := func() {
		response, err := http.Post(url, "image/jpeg", bytes.NewReader(picture))
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		var answer api.PredictResponse
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
			b.Fatal(response.Status, err)
		}
		io.Copy(io.Discard, response.Body)
		t := answer.Results[0].Timing
		stages += t.Decode + t.Preprocess + t.Inference
	}
	for range 20 {
		request()
	}
	stages = 0
	before := cpu(b)
	b.ResetTimer()
	for b.Loop() {
		request()
	}
	total := (cpu(b) - before).Seconds() * 1000
	b.ReportMetric(stages/float64(b.N), "stages-ms/op")
	b.ReportMetric((total-stages)/float64(b.N), "rest-cpu-ms/op")
}

func cpu(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// served is the registry as the API sees it.
type served struct{ *registry.Registry }

func (s served) Pick(ref, requestID string) (httpapi.Lease, error) {
	return s.Registry.Pick(ref, requestID)
}
