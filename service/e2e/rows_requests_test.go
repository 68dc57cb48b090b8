package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// requestRows are the rows, and parts of rows, whose input is a request and not a picture.
var requestRows = map[string]func(t *testing.T, r rowOf){
	"A9": func(t *testing.T, r rowOf) {
		const limit = 20 << 20
		for _, over := range []int{-1, 0, 1} {
			body := append(pngOf(t, 8, 8), make([]byte, limit+over-len(pngOf(t, 8, 8)))...)
			want := "200"
			if over > 0 {
				want = "413 body_too_large"
			}
			r.want(t, fmt.Sprint("limit ", over), r.answer(t, http.MethodPost, "/predict", "image/png", body), want)
		}
	},
	"A14": func(t *testing.T, r rowOf) {
		r.want(t, "52 megapixels", r.picture(t, pngOf(t, 10_000, 5_200)), "200")
		r.want(t, "one column more", r.picture(t, pngOf(t, 10_001, 5_200)), "422 image_too_large")
	},
	"H2": func(t *testing.T, r rowOf) {
		encoded := base64.StdEncoding.EncodeToString(pngOf(t, 8, 8))
		for _, mediaType := range []string{"image/png", "image/jpeg", "text/html", ""} {
			r.want(t, mediaType, r.json(t, `{"image": "data:`+mediaType+`;base64,`+encoded+`"}`), "200")
		}
		r.want(t, "30 MB", r.json(t, `{"image": "data:image/png;base64,`+strings.Repeat("A", 30_000_000)+`"}`), "413 body_too_large")
	},
	"H6": func(t *testing.T, r rowOf) {
		r.query(t, "top_k", "400 bad_parameter", "-1", "0", "1.5", `"5"`, "null", "")
		r.query(t, "top_k", "200", "1", "1000000000", "9223372036854775808")
	},
	"H7": func(t *testing.T, r rowOf) {
		r.query(t, "threshold", "400 bad_parameter", "NaN", "Infinity", "-1", "101", "x", "1e400")
		r.query(t, "threshold", "200", "0", "100")
	},
	"H8": func(t *testing.T, r rowOf) {
		for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "no/such", "image/jpeg", "\"", "text/html; charset=x"} {
			r.want(t, contentType, r.answer(t, http.MethodPost, "/predict", contentType, pngOf(t, 8, 8)), "200")
			r.want(t, contentType, r.answer(t, http.MethodPost, "/predict", contentType, []byte("hello, this is no picture")), "415 unsupported_format")
		}
	},
	"H9": func(t *testing.T, r rowOf) {
		var bomb bytes.Buffer
		for range 2 { // members
			z := gzip.NewWriter(&bomb)
			for range 64 {
				z.Write(make([]byte, 1<<20))
			}
			z.Close()
		}
		for _, contentType := range []string{"image/png", "application/json"} {
			r.want(t, contentType, r.answer(t, http.MethodPost, "/predict", contentType, bomb.Bytes(), "Content-Encoding", "gzip"), "415 unsupported_media_type")
		}
	},
	"H10": func(t *testing.T, r rowOf) {
		for _, method := range []string{"PUT", "DELETE", "PATCH", "BREW", "GET"} {
			r.want(t, method, r.answer(t, method, "/predict", "", nil), "405 method_not_allowed")
		}
		for _, path := range []string{"/nothing", "/predict/", "//predict", "/%2Fpredict", "/predict%2F", "/x/../predict", "/..%2f..%2fetc%2fpasswd", "/web/..%2f..%2fgo.mod"} {
			r.want(t, path, r.raw(t, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), "404 not_found")
		}
	},
	"H11": func(t *testing.T, r rowOf) {
		const head = "GET /livez HTTP/1.1\r\nHost: localhost\r\n"
		r.want(t, "2 MiB", r.raw(t, head+"X: "+strings.Repeat("a", 2<<20)+"\r\n\r\n"), "431")
		var many strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&many, "x%d: y\r\n", i)
		}
		r.want(t, "10,000 headers", r.raw(t, head+many.String()+"\r\n"), "431")
		for _, header := range []string{"X: a\x00b", "X: a\rY: b", "X\n: b", "X y: b", ": b"} {
			r.want(t, fmt.Sprintf("%q", header), r.raw(t, head+header+"\r\n\r\n"), "400")
		}
	},
	"H13": func(t *testing.T, r rowOf) {
		const head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
		r.want(t, "no number", r.raw(t, head+"zz\r\nabc\r\n0\r\n\r\n"), "400 bad_request", "400")
		r.want(t, "too long a number", r.raw(t, head+"fffffffffffffffff\r\n"), "400 bad_request", "400")
		r.want(t, "bare line feeds", r.raw(t, head+"3\nabc\n0\n\n"), "400 bad_request", "400")
		r.want(t, "a huge extension", r.raw(t, head+"3;"+strings.Repeat("x", 1<<20)+"\r\nabc\r\n0\r\n\r\n"), "400 bad_request", "400")
	},
	"H14": func(t *testing.T, r rowOf) {
		const head, second = "POST /predict HTTP/1.1\r\nHost: localhost\r\n", "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
		for _, framing := range []string{"Content-Length: 7\r\nContent-Length: 8", "Transfer-Encoding: xchunked", "Content-Length: -1", "Content-Length: 18446744073709551616",
			"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Content-Length: +7", "Content-Length : 7"} {
			r.want(t, framing, r.raw(t, head+framing+"\r\n\r\n7\r\npicture\r\n0\r\n\r\n"+second), "400", "501")
		}
		// Chunks count, as RFC 9112 has it, and the connection is closed after them.
		r.want(t, "both", r.raw(t, head+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n"+second), "422 corrupt_image", "415 unsupported_format", "400")
	},
	"H15": func(t *testing.T, r rowOf) {
		left := func() float64 {
			_, text := fetch(t, r.admin+"/metrics")
			return metric(t, text, `vidi_http_requests_total{code="499",route="/predict"}`)
		}
		r.s.waitFor(t, "a series", func() bool { // it is there once somebody has left
			conn := r.dial(t)
			io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
			conn.Close()
			_, text := fetch(t, r.admin+"/metrics")
			return strings.Contains(text, `code="499"`)
		})
		before := left()
		slow := pngOf(t, 7_000, 7_000)
		conn := r.dial(t)
		fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(slow), slow)
		time.Sleep(20 * time.Millisecond)
		conn.Close()
		r.s.waitFor(t, "a client counted as gone", func() bool { return left() > before })
		r.add(r.row, "499")
	},
	"H16": func(t *testing.T, r rowOf) {
		var all strings.Builder
		for i := range 100 {
			fmt.Fprintf(&all, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r%d\r\n\r\n", i)
		}
		conn := r.dial(t)
		go io.WriteString(conn, all.String())
		reader := bufio.NewReader(conn)
		for i := range 100 {
			response, err := http.ReadResponse(reader, nil)
			if err != nil || response.Header.Get("X-Request-Id") != fmt.Sprint("r", i) {
				t.Fatalf("answer %d: %v, %v", i, response, err)
			}
			r.want(t, "pipelined", describe(t, response), "200")
		}
		r.want(t, "HTTP/1.0", r.raw(t, "GET /livez HTTP/1.0\r\n\r\n"), "200")
		r.want(t, "Expect with too much", r.raw(t, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\nExpect: 100-continue\r\n\r\n"), "413 body_too_large")
	},
	"H18": func(t *testing.T, r rowOf) {
		r.query(t, "model", "404 model_not_found", "no-such-model")
		r.query(t, "model", "400 bad_parameter", "../../etc/passwd", "a\x00b", strings.Repeat("a", 10<<10), "模型", ".", "/etc/passwd", "a/../b")
	},
	"H20": func(t *testing.T, r rowOf) {
		large := pngOf(t, 7_000, 7_000)
		r.want(t, "1 ms", r.answer(t, http.MethodPost, "/predict?deadline_ms=1", "image/png", large), "504 deadline_exceeded")
	},
	"H21": func(t *testing.T, r rowOf) {
		good := `"` + base64.StdEncoding.EncodeToString(pngOf(t, 8, 8)) + `"`
		r.want(t, "none", r.json(t, `{"images": []}`), "400 no_image")
		code, answer := r.s.post(t, "application/json", []byte(`{"images": [`+strings.Repeat(good+",", 63)+`"cGljdHVyZQ=="]}`))
		r.want(t, "one bad of 64", fmt.Sprint(code), "200")
		if bad := bytes.Count(answer, []byte(`"code":"corrupt_image"`)); bad != 1 || bytes.Count(answer, []byte(`"error":null`)) != 63 {
			t.Errorf("%d of 64 pictures are bad: %.300s", bad, answer)
		}
		r.want(t, "65", r.json(t, `{"images": [`+strings.Repeat(good+",", 64)+good+`]}`), "413 too_many_images")
	},
	// There are no jobs yet.
	"H22": func(t *testing.T, r rowOf) {
		r.want(t, "a job", r.answer(t, http.MethodPost, "/api/v1/jobs", "application/json", []byte("{}"), "Idempotency-Key", "1"), "404 not_found")
	},
	"H23": func(t *testing.T, r rowOf) {
		r.want(t, "a job", r.answer(t, http.MethodGet, "/api/v1/jobs/..%2fx", "", nil), "404 not_found")
	},
}

// pngOf is a black PNG of this size.
func pngOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.Black, color.White}) // one bit a pixel in the file
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (r rowOf) picture(t *testing.T, data []byte) string {
	t.Helper()
	return r.answer(t, http.MethodPost, "/predict", "application/octet-stream", data)
}

func (r rowOf) json(t *testing.T, body string) string {
	t.Helper()
	return r.answer(t, http.MethodPost, "/predict", "application/json", []byte(body))
}

// query sends a good picture with a parameter that takes each of the values.
func (r rowOf) query(t *testing.T, name, want string, values ...string) {
	t.Helper()
	for _, value := range values {
		got := r.answer(t, http.MethodPost, "/predict?"+name+"="+url.QueryEscape(value), "image/png", pngOf(t, 8, 8))
		r.want(t, fmt.Sprintf("%s=%.20q", name, value), got, want)
	}
}

func (g *guard) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// raw sends bytes as they are and reads the one answer, after which the server must close the connection: what else was sent
// must not be taken for a request. "closed" is no answer at all.
func (g *guard) raw(t *testing.T, request string) string {
	t.Helper()
	conn := g.dial(t)
	go io.WriteString(conn, request) // the server may stop reading
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%.80q: neither an answer nor the end", request)
		}
		return "closed"
	}
	answer := describe(t, response)
	response.Body.Close()
	if rest, _ := io.ReadAll(reader); bytes.Contains(rest, []byte("HTTP/1.1 ")) { // to the end, or a reset
		t.Errorf("%.80q: a second answer: %.200s", request, rest)
	}
	return answer
}
