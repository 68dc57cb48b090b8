package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
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

// BenchmarkRequestOverhead measures what a request costs the server beyond decoding, resizing and inference: the CPU that its
// process uses, less what the answers say of these three. The client is a process of its own. The network is tiny, so that the
// rest is not lost in its noise; one worker with one thread, so that stages cost what they last. Beside it stands what any Go server
// pays: one that reads the picture and answers as many bytes.
//
//	go test -run '^$' -bench RequestOverhead -benchtime 3s ./service/e2e
func BenchmarkRequestOverhead(b *testing.B) {
	b.Run("vidi", func(b *testing.B) {
		path := torchtest.File(b, "build/fixtures/tiny.pt")
		c, err := classify.Open(context.Background(), path,
			classify.Config{Engine: engine.Config{Workers: 1, Threads: 1, Alone: 1}})
		if err != nil {
			b.Fatal(err)
		}
		server := httpapi.New(httpapi.Default(), slog.New(slog.DiscardHandler))
		models := registry.New(registry.Config{Log: slog.New(slog.DiscardHandler),
			Try: func(context.Context, string) (registry.Candidate, error) {
				return registry.Candidate{Open: func(context.Context) (registry.Opened, error) {
					return registry.Opened{Model: c, Precision: "fp32"}, nil
				}}, nil
			}})
		defer models.Close(context.Background()) // and with it the classifier
		if err := models.Start(context.Background(), []string{path}); err != nil {
			b.Fatal(err)
		}
		server.Ready(served{models}, 1)
		listener := listen(b)
		go server.Serve(listener)
		defer server.Shutdown(context.Background())
		measureOverhead(b, listener)
	})
	b.Run("reads", func(b *testing.B) {
		answer := []byte(`{"results": [{"timing": {}}], "padding": "` + strings.Repeat("x", 800) + `"}`)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, r.ContentLength))
			w.Write(answer)
		})}
		listener := listen(b)
		go server.Serve(listener)
		defer server.Close()
		measureOverhead(b, listener)
	})
}

func listen(b *testing.B) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return listener
}

// measureOverhead has a client in a process of its own send a picture to the listener's server, over and over.
func measureOverhead(b *testing.B, listener net.Listener) {
	client := exec.Command(os.Args[0])
	client.Env = append(os.Environ(), fmt.Sprintf("%s=http://%s/predict %s", overheadClientEnv, listener.Addr(), torchtest.File(b, "examples/flower.jpg")))
	client.Stderr = os.Stderr
	in, err := client.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := client.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := client.Start(); err != nil {
		b.Fatal(err)
	}
	defer client.Wait()
	defer in.Close()
	request := func(n int) (stages float64) { // milliseconds, of all n
		fmt.Fprintln(in, n)
		if _, err := fmt.Fscanln(out, &stages); err != nil {
			b.Fatal("the client ended: ", err)
		}
		return stages
	}
	request(20)
	before := cpu(b)
	b.ResetTimer()
	stages := request(b.N)
	total := (cpu(b) - before).Seconds() * 1000
	b.ReportMetric(stages/float64(b.N), "stages-ms/op")
	b.ReportMetric((total-stages)/float64(b.N), "rest-cpu-ms/op")
}

// overheadClientEnv holds a URL and a picture's path for the client of BenchmarkRequestOverhead.
const overheadClientEnv = "VIDI_OVERHEAD_CLIENT"

// overheadClient reads how many requests to send, one after the other, and prints what the answers' stages sum to; again until
// its input ends.
func overheadClient(target string) error {
	url, path, _ := strings.Cut(target, " ")
	picture, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for n := 0; ; {
		if _, err := fmt.Scanln(&n); err != nil {
			return nil
		}
		stages := 0.0
		for range n {
			response, err := http.Post(url, "image/jpeg", bytes.NewReader(picture))
			if err != nil {
				return err
			}
			var answer api.PredictResponse
			err = json.NewDecoder(response.Body).Decode(&answer)
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s (%v)", response.Status, err)
			}
			t := answer.Results[0].Timing
			stages += t.Decode + t.Preprocess + t.Inference
		}
		fmt.Println(stages)
	}
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

func (s served) Stuck() bool { return false }
