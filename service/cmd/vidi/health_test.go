package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
)

func TestHealth(t *testing.T) {
	serve := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				t.Errorf("asked for %s", r.URL)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	ready := serve(200, `{"status":"ready"}`)
	_, port, _ := net.SplitHostPort(ready)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	for name, c := range map[string]struct {
		addr string
		code int
		says string
	}{
		"ready":         {ready, 0, "ready"},
		"wide address":  {"0.0.0.0:" + port, 0, "ready"},
		"no host":       {":" + port, 0, "ready"},
		"loading":       {serve(503, `{"detail":"the model is still loading","code":"not_ready"}`), 1, "not ready: the model is still loading"},
		"nobody":        {free.Addr().String(), 1, "nothing answers"},
		"somebody else": {serve(404, "<html>"), 1, "is that vidi?"},
		"no address":    {"5000", 2, "HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			out := &output{}
			code := run([]string{"health", "--addr", c.addr}, &app{ctx: context.Background(), stdout: out, stderr: out})
			if code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit %d: %s", code, out)
			}
		})
	}
	if torchbind.Live() != (torchbind.LiveObjects{}) {
		t.Error("health touched libtorch")
	}
}
