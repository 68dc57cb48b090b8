package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/vidi-vision/vidi/service/api"
)

// healthCmd is for container probes. It does not touch libtorch.
type healthCmd struct {
	Addr string `help:"Address of the server." short:"a" default:"127.0.0.1:5000" env:"VIDI_ADDR" placeholder:"HOST:PORT"`
}

const healthTimeout = 2 * time.Second

// Run succeeds if the server is ready; otherwise its error says why not.
func (h *healthCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, healthTimeout)
	defer cancel()
	addr, ok := reachable(h.Addr)
	if !ok {
		return usageError(fmt.Errorf("--addr %q is not HOST:PORT; for example 127.0.0.1:5000", h.Addr))
	}
	if err := checkReady(ctx, addr); err != nil {
		return &exitError{code: exitSomeFailed, err: err}
	}
	fmt.Fprintln(a.stdout, "ready")
	return nil
}

// reachable is where a server can be asked that listens on addr, which may mean every address of this machine; ok is false if addr is
// not HOST:PORT.
func reachable(addr string) (_ string, ok bool) {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), err == nil
}

// direct sends one request, and no proxy in the environment takes part: those are not for the machine itself.
func direct(request *http.Request) (*http.Response, error) {
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
}

func checkReady(ctx context.Context, addr string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("%q is not an address: %w", addr, err)
	}
	response, err := direct(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not ready: %s did not answer within %v", addr, healthTimeout)
	}
	if err != nil {
		return fmt.Errorf("not ready: nothing answers at %s: %w", addr, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("not ready: %s stopped in the middle of its answer: %w", addr, err)
	}
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var problem api.Problem
	if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		return fmt.Errorf("not ready: %s answered %s; is that vidi?", addr, printable(shortened(response.Status)))
	}
	return fmt.Errorf("not ready: %s", printable(shortened(problem.Detail)))
}
