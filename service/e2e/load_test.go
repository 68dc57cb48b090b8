package e2e

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// client sends requests over one kept connection, and never twice: a request whose answer is lost counts.
type client struct{ http.Client }

func newClient() *client {
	return &client{http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: time.Minute}}
}

// predict returns the status, and how long a refused client should wait.
func (c *client) predict(url string, picture []byte) (status int, retryAfter string, err error) {
	request, err := http.NewRequest(http.MethodPost, url+"/predict", io.NopCloser(bytes.NewReader(picture))) // nothing to rewind: no retries
	if err != nil {
		return 0, "", err
	}
	request.ContentLength = int64(len(picture))
	request.Header.Set("Content-Type", "image/jpeg")
	response, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header.Get("Retry-After"), err
}

// Clients that keep their connections and never try again lose nothing that they sent before the drain delay was over.
// VIDI_STOPS says how often it is tried.
func TestStopUnderLoadLosesNothing(t *testing.T) {
	stops := 3
	if n, err := strconv.Atoi(os.Getenv("VIDI_STOPS")); err == nil {
		stops = n
	}
	picture := read(t, torchtest.File(t, "examples/flower.jpg"))
	const delay = 400 * time.Millisecond
	// From a client's look at its clock to the server's look at the request, connecting in between, takes a moment on a busy machine.
	// A request that was sent so shortly before the end may be refused in words, but gets its answer.
	const underWay = 50 * time.Millisecond
	answered, late := 0, 0
	for range stops {
		s := start(t, "--model", torchtest.File(t, "build/fixtures/tiny.pt"), "--drain-delay", delay.String()).ready(t)
		var stopped atomic.Int64 // when the signal was sent, in Unix nanoseconds
		var mu sync.Mutex
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				c := newClient()
				defer c.CloseIdleConnections()
				for {
					sent := time.Now()
					status, _, err := c.predict(s.url, picture)
					at := stopped.Load()
					left := delay
					if at != 0 {
						left = time.Unix(0, at).Add(delay).Sub(sent)
					}
					before := left > 0
					mu.Lock()
					switch {
					case err == nil && status == http.StatusOK:
						answered++
					case before && (err != nil || status != http.StatusServiceUnavailable || left > underWay):
						t.Errorf("a request sent in time got %d, %v", status, err)
					default:
						late++
					}
					mu.Unlock()
					if err != nil || !before {
						return
					}
					time.Sleep(8 * time.Millisecond) // some 80 % of what two cores can do
				}
			})
		}
		time.Sleep(300 * time.Millisecond)
		stopped.Store(time.Now().UnixNano())
		s.cmd.Process.Signal(syscall.SIGTERM)
		clients.Wait()
		if code := s.exitCode(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	t.Logf("%d stops: %d requests answered, %d sent too late", stops, answered, late)
}

// BenchmarkOverload offers ten times as many requests as can be answered. It reports the rate of good answers at the most that
// sixteen clients get, and then; and how long refusals take. Clients that share their cores with the server take from it what
// they measure, and wait for a core themselves; so it is measured with a core for each side, too.
//
//	go test -run '^$' -bench Overload -benchtime 1x ./service/e2e
func BenchmarkOverload(b *testing.B) {
	picture := read(b, torchtest.File(b, "examples/flower.jpg"))
	overload := func(b *testing.B, s *server) {
		const rounds = 4 // in turn, as the speed of a shared machine comes and goes
		for b.Loop() {
			var peak, goodput, refused, slowest float64 // sums of the rounds; the largest
			for range rounds {
				most, _, _ := offer(b, s.url, picture, 16, 0, 8*time.Second)
				const clients = 400
				good, refusals, p99 := offer(b, s.url, picture, clients, time.Duration(clients/(10*most)*float64(time.Second)), 8*time.Second)
				peak, goodput, refused, slowest = peak+most, goodput+good, refused+refusals, max(slowest, p99)
			}
			b.ReportMetric(peak/rounds, "peak-answers/s")
			b.ReportMetric(goodput/peak, "of-peak")
			b.ReportMetric(refused/peak, "refusals/peak")
			b.ReportMetric(slowest, "refusal-p99-ms")
		}
	}
	arguments := []string{"--model", torchtest.File(b, "build/models/resnet18-seeded.pt"), "--queue", "32"}
	b.Run("sharing-cores", func(b *testing.B) { overload(b, start(b, arguments...).ready(b)) })
	b.Run("a-core-each", func(b *testing.B) {
		if runtime.NumCPU() < 2 {
			b.Skip("there is one core only")
		}
		useCore(b, 0)
		s := start(b, arguments...).ready(b)
		useCore(b, 1)
		overload(b, s)
	})
}

// useCore keeps this process, and what it starts from now on, to the n-th of the cores that it has; until the benchmark ends.
func useCore(b *testing.B, n int) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &before); err != nil {
		b.Fatal(err)
	}
	one.Set(n)
	restrict := func(cores unix.CPUSet) {
		threads, err := os.ReadDir("/proc/self/task") // each has an affinity of its own, and new ones inherit it
		if err != nil {
			b.Fatal(err)
		}
		for _, thread := range threads {
			id, _ := strconv.Atoi(thread.Name())
			if err := unix.SchedSetaffinity(id, &cores); err != nil && !errors.Is(err, unix.ESRCH) {
				b.Fatal(err)
			}
		}
	}
	restrict(one)
	b.Cleanup(func() { restrict(before) })
}

// offer lets clients ask as fast as they are answered, and those that are refused after a pause. Pauses differ by half of their mean,
// and so does the beginning: clients that all ask at the same instant would measure how long the last one of a crowd waits. Answers
// count that come while all clients ask: from a while after the first request on, for as long as how.
func offer(b *testing.B, url string, picture []byte, clients int, pause, how time.Duration) (rate, refusals, p99 float64) {
	rest := func() { time.Sleep(time.Duration((0.5 + rand.Float64()) * float64(pause))) }
	var mu sync.Mutex
	var good int
	var waits []float64
	var all sync.WaitGroup
	begin := time.Now().Add(2*pause + 2*time.Second)
	end := begin.Add(how)
	for range clients {
		all.Go(func() {
			c := newClient()
			defer c.CloseIdleConnections()
			for rest(); time.Now().Before(end); {
				sent := time.Now()
				status, retryAfter, err := c.predict(url, picture)
				now := time.Now()
				counts := now.After(begin) && now.Before(end)
				mu.Lock()
				switch {
				case err == nil && status == http.StatusOK:
					if counts {
						good++
					}
				case err == nil && status == http.StatusTooManyRequests && retryAfter != "":
					if counts {
						waits = append(waits, float64(now.Sub(sent))/1e6)
					}
				default:
					b.Errorf("status %d, Retry-After %q, %v", status, retryAfter, err)
				}
				mu.Unlock()
				if status != http.StatusOK {
					rest()
				}
			}
		})
	}
	all.Wait()
	slices.Sort(waits)
	if n := len(waits); n > 0 {
		p99 = waits[n*99/100]
	}
	return float64(good) / how.Seconds(), float64(len(waits)) / how.Seconds(), p99
}

// BenchmarkSlowConnections compares the slowest answers of eight clients with and without 2,000 connections that send a byte now
// and then.
//
//	go test -run '^$' -bench SlowConnections -benchtime 1x ./service/e2e
func BenchmarkSlowConnections(b *testing.B) {
	s := start(b, "--model", torchtest.File(b, "build/models/efficientnet-lite0.pt")).ready(b)
	picture := read(b, torchtest.File(b, "examples/flower.jpg"))
	for b.Loop() {
		alone := latencies(b, s.url, picture, 6*time.Second)
		var slow []net.Conn
		for range 2000 {
			conn, err := net.Dial("tcp", s.url[len("http://"):])
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n")
			slow = append(slow, conn)
		}
		stop := make(chan struct{})
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					slow[i%len(slow)].Write([]byte{'x'})
					time.Sleep(time.Millisecond)
				}
			}
		}()
		beside := latencies(b, s.url, picture, 6*time.Second)
		close(stop)
		b.ReportMetric(alone, "alone-p99-ms")
		b.ReportMetric(beside, "beside-p99-ms")
		b.ReportMetric(beside/alone, "ratio")
	}
}

func latencies(b *testing.B, url string, picture []byte, how time.Duration) (p99 float64) {
	var mu sync.Mutex
	var times []float64
	var all sync.WaitGroup
	end := time.Now().Add(how)
	for range 8 {
		all.Go(func() {
			c := newClient()
			defer c.CloseIdleConnections()
			for time.Now().Before(end) {
				sent := time.Now()
				status, _, err := c.predict(url, picture)
				if err != nil || status != http.StatusOK {
					b.Errorf("status %d, %v", status, err)
				}
				mu.Lock()
				times = append(times, float64(time.Since(sent))/1e6)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(times)
	return times[len(times)*99/100]
}
