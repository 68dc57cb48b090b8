package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/telemetry"
)

// unannounced hides its length, so that the client sends chunks.
type unannounced struct{ io.Reader }

// A9: one byte below, at and above the limit, in every form, with and without a Content-Length.
func TestBodyLimit(t *testing.T) {
	const limit = 10_000
	f := &fake{}
	s, _ := ready(f, func(c *Config) { c.MaxBody = limit })
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	url := "http://" + listen(t, s) + "/predict"

	pad := func(before, after string, length int) []byte {
		return []byte(before + strings.Repeat("A", length-len(before)-len(after)) + after)
	}
	const part = "--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
	for name, build := range map[string]struct {
		contentType string
		body        func(length int) []byte
	}{
		"raw":       {"image/png", func(n int) []byte { return pad("", "", n) }},
		"multipart": {"multipart/form-data; boundary=b", func(n int) []byte { return pad(part, "\r\n--b--\r\n", n) }},
		"json":      {"application/json", func(n int) []byte { return []byte(`{"image":"QUFBQQ=="` + strings.Repeat(" ", n-20) + "}") }},
	} {
		for _, announced := range []bool{true, false} {
			for extra := -1; extra <= 1; extra++ {
				t.Run(fmt.Sprintf("%s %+d announced %v", name, extra, announced), func(t *testing.T) {
					body := build.body(limit + extra)
					if len(body) != limit+extra {
						t.Fatalf("the body has %d bytes", len(body))
					}
					var reader io.Reader = bytes.NewReader(body)
					if !announced {
						reader = unannounced{reader}
					}
					response, err := client.Post(url, build.contentType, reader)
					if err != nil {
						t.Fatal(err)
					}
					defer response.Body.Close()
					answer, _ := io.ReadAll(response.Body)
					if extra <= 0 {
						if response.StatusCode != 200 {
							t.Errorf("status %d: %s", response.StatusCode, answer)
						}
						return
					}
					checkProblem(t, response.StatusCode, response.Header, answer, api.BodyTooLarge)
					if !strings.Contains(string(answer), "9.8 KiB") {
						t.Errorf("the limit is not named: %s", answer)
					}
				})
			}
		}
	}
}

// H2 with 30 MB, and A9's "the answer is delivered": a client that sends everything before it looks gets the refusal too.
func TestRefusalReachesAClientThatSendsEverythingFirst(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	addr := listen(t, s)
	for name, head := range map[string]string{
		"announced": "Content-Length: 30000000\r\n\r\n",
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n1c9c380\r\n", // 30,000,000
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\n%s", head)
			sent := 0
			for block := make([]byte, 1<<20); sent < 30_000_000; {
				n, err := conn.Write(block[:min(len(block), 30_000_000-sent)])
				if err != nil {
					t.Fatalf("after %d bytes: %v", sent, err)
				}
				sent += n
			}
			status, header, body := readAnswer(t, bufio.NewReader(conn))
			checkProblem(t, status, header, body, api.BodyTooLarge)
		})
	}
}

// H16: too large a body is refused before the client is told to send it.
func TestExpectContinue(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	addr := listen(t, s)
	conn := dial(t, addr)
	fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\nExpect: 100-continue\r\n\r\n")
	reader := bufio.NewReader(conn)
	status, header, body := readAnswer(t, reader) // not 100
	checkProblem(t, status, header, body, api.BodyTooLarge)
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("the connection is not closed: %v", err)
	}

	conn = dial(t, addr)
	fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n")
	reader = bufio.NewReader(conn)
	if line, _ := reader.ReadString('\n'); !strings.Contains(line, "100") {
		t.Fatalf("got %q", line)
	}
	reader.ReadString('\n')
	io.WriteString(conn, "picture")
	if status, _, body := readAnswer(t, reader); status != 200 {
		t.Errorf("status %d: %s", status, body)
	}
}

// H13: a million chunks of one byte are one picture of a megabyte, and cost about that.
func TestAMillionChunks(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, nil)
	conn := dial(t, listen(t, s))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
	block := strings.Repeat("1\r\na\r\n", 10_000)
	for range 100 {
		if _, err := io.WriteString(conn, block); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(conn, "0\r\n\r\n")
	if status, _, body := readAnswer(t, bufio.NewReader(conn)); status != 200 {
		t.Errorf("status %d: %s", status, body)
	}
	runtime.ReadMemStats(&after)
	if got := f.pictures(); len(got) != 1 || len(got[0]) != 1_000_000 {
		t.Errorf("%d pictures", len(got))
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 { // all that was ever allocated; the client's side too
		t.Errorf("%d bytes were allocated", grown)
	}
}

// H13 and H14: what is malformed gets 400 or a closed connection, and what a proxy might have taken for the rest of a body
// is never run as a request of its own.
func TestSmugglingAndMalformedChunks(t *testing.T) {
	const second = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsmuggled"
	for name, request := range map[string]string{
		"H14 length and chunks":      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n" + second,
		"H14 chunks and length":      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + second,
		"H14 two lengths":            "Content-Length: 7\r\nContent-Length: 8\r\n\r\npicture" + second,
		"H14 unknown coding":         "Transfer-Encoding: xchunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n" + second,
		"H14 chunked twice":          "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n" + second,
		"H14 negative length":        "Content-Length: -1\r\n\r\n" + second,
		"H14 length 2^64":            "Content-Length: 18446744073709551616\r\n\r\n" + second,
		"H14 length with sign":       "Content-Length: +7\r\n\r\npicture" + second,
		"H14 blank before the colon": "Content-Length : 7\r\n\r\npicture" + second,
		"H13 chunk of no number":     "Transfer-Encoding: chunked\r\n\r\nzz\r\npicture\r\n0\r\n\r\n" + second,
		"H13 chunk too long":         "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + second,
		"H13 huge extension":         "Transfer-Encoding: chunked\r\n\r\n7;" + strings.Repeat("x", 1<<20) + "\r\npicture\r\n0\r\n\r\n" + second,
		"H11 NUL in a header":        "X: a\x00b\r\nContent-Length: 7\r\n\r\npicture" + second,
		"H11 bare CR in a header":    "X: a\rContent-Length: 7\r\n\r\n" + second,
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			s, _ := ready(f, nil)
			addr := listen(t, s)
			conn := dial(t, addr)
			go io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\n"+request) // the server may stop reading
			all, _ := io.ReadAll(conn)                                                       // to the close, or a reset
			if n := bytes.Count(all, []byte("HTTP/1.1 ")); n > 1 {
				t.Errorf("%d answers:\n%s", n, all)
			}
			for _, picture := range f.pictures() {
				if picture == "smuggled" {
					t.Errorf("the smuggled request was run:\n%s", all)
				}
			}
			wantAlive(t, s)
		})
	}
}

// H11.
func TestTooManyHeaderBytes(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	addr := listen(t, s)
	for name, header := range map[string]string{
		"2 MiB": "X: " + strings.Repeat("a", 2<<20) + "\r\n", "10,000 headers": manyHeaders(10_000), "70 KB boundary": "Content-Type: multipart/form-data; boundary=" + strings.Repeat("b", 70_000) + "\r\n",
	} {
		conn := dial(t, addr)
		go io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n")
		if all, _ := io.ReadAll(conn); !bytes.HasPrefix(all, []byte("HTTP/1.1 431 ")) {
			t.Errorf("%s: %.100q", name, all)
		}
	}
	wantAlive(t, s)
}

// H16.
func TestPipeliningAndHTTP10(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, nil)
	addr := listen(t, s)
	conn := dial(t, addr)
	var all strings.Builder
	for i := range 100 {
		fmt.Fprintf(&all, "POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r%d\r\nContent-Length: 7\r\n\r\npicture", i)
	}
	go io.WriteString(conn, all.String())
	reader := bufio.NewReader(conn)
	for i := range 100 {
		status, header, body := readAnswer(t, reader)
		if status != 200 || header.Get("X-Request-Id") != fmt.Sprintf("r%d", i) {
			t.Fatalf("answer %d: %d %s", i, status, body)
		}
	}
	conn = dial(t, addr)
	io.WriteString(conn, "POST /predict HTTP/1.0\r\nContent-Length: 7\r\n\r\npicture")
	if status, _, body := readAnswer(t, bufio.NewReader(conn)); status != 200 {
		t.Errorf("HTTP/1.0: %d %s", status, body)
	}
}

// The answer does not wait for a body that does not come: net/http would read up to 256 KiB of it first.
func TestAStalledUploadIsAnsweredAtOnce(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	conn := dial(t, listen(t, s))
	begun := time.Now()
	io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\npic")
	status, header, body := readAnswer(t, bufio.NewReader(conn))
	checkProblem(t, status, header, body, api.RequestTimeout)
	if took := time.Since(begun); took > admission.PaceTime+10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// H12: slow senders are cut off, and told so where they had a request.
func TestSlowUpload(t *testing.T) {
	counted := telemetry.New()
	s, l := ready(&fake{}, func(c *Config) {
		c.ReadHeaderTimeout, c.ReadTimeout, c.Telemetry = 50*time.Millisecond, 100*time.Millisecond, counted
	})
	addr := listen(t, s)
	conn := dial(t, addr)
	io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\npic")
	status, header, body := readAnswer(t, bufio.NewReader(conn))
	checkProblem(t, status, header, body, api.RequestTimeout)
	metrics := httptest.NewRecorder()
	counted.Handler().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`vidi_http_rejections_total{reason="request_timeout"} 1`, `vidi_http_requests_total{code="408",route="/predict"} 1`,
		`vidi_http_upload_duration_seconds_count{route="/predict"} 1`, `vidi_http_answer_duration_seconds_count{route="/predict"} 0`} {
		if !strings.Contains(metrics.Body.String(), want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	// The time limit is 100 ms from a moment before the upload is timed.
	uploaded := regexp.MustCompile(`upload_ms=(\d+)`).FindStringSubmatch(l.String())
	if strings.Contains(l.String(), "level=ERROR") || uploaded == nil || len(uploaded[1]) < 2 || uploaded[1] < "90" && len(uploaded[1]) == 2 {
		t.Errorf("the log is %s", l)
	}

	conn = dial(t, addr)
	io.WriteString(conn, "POST /predict HTT")
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("slow headers: %v", err)
	}
}

// A refused upload is read further, so that its client hears of it, however slowly it sends. That is
// no time that the server took to answer.
func TestDrainingIsNoAnswerTime(t *testing.T) {
	const dawdles = 700 * time.Millisecond
	counted := telemetry.New()
	s, l := ready(&fake{}, func(c *Config) { c.MaxBody, c.Telemetry = 100, counted })
	conn := dial(t, listen(t, s))
	io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\npicture")
	status, header, body := readAnswer(t, bufio.NewReader(conn))
	checkProblem(t, status, header, body, api.BodyTooLarge)
	for begun := time.Now(); time.Since(begun) < dawdles; time.Sleep(50 * time.Millisecond) {
		io.WriteString(conn, "more")
	}
	if strings.Contains(l.String(), "status=413") {
		t.Error("nothing is drained, so nothing was tested")
	}
	conn.Close()
	eventually(t, "the request ends", func() bool {
		return strings.Contains(metrics(counted), `vidi_http_requests_total{code="413",route="/predict"} 1`)
	})
	for _, metric := range []string{"vidi_http_answer_duration_seconds_sum", "vidi_http_request_duration_seconds_sum"} {
		found := regexp.MustCompile(metric + `{route="/predict"} (\S+)`).FindStringSubmatch(metrics(counted))
		if found == nil {
			t.Fatalf("there is no %s", metric)
		}
		if took, err := strconv.ParseFloat(found[1], 64); err != nil || took <= 0 || took >= dawdles.Seconds() {
			t.Errorf("%s is %s (%v); the client took %v", metric, found[1], err, dawdles)
		}
	}
	logged := regexp.MustCompile(` ms=(\S+)`).FindStringSubmatch(l.String())
	if logged == nil {
		t.Fatalf("the log is %s", l)
	}
	if took, err := strconv.ParseFloat(logged[1], 64); err != nil || took >= 1000*dawdles.Seconds() {
		t.Errorf("the log has ms=%s (%v); the client took %v", logged[1], err, dawdles)
	}
}

// H15, mid-upload: no answer is owed, none of 5xx is logged.
func TestClientGoesAwayWhileItSends(t *testing.T) {
	f := &fake{}
	s, l := ready(f, nil)
	conn := dial(t, listen(t, s))
	io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\npic")
	eventually(t, "the request begins", func() bool { return s.Unfinished() == 1 })
	conn.Close()
	eventually(t, "the request ends", func() bool { return strings.Contains(l.String(), "status=499") })
	if len(f.pictures()) != 0 || s.Unfinished() != 0 {
		t.Errorf("%d pictures seen, %d unfinished", len(f.pictures()), s.Unfinished())
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func readAnswer(t *testing.T, r *bufio.Reader) (status int, header http.Header, body []byte) {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body
}
