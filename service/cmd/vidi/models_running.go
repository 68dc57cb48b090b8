package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/vidi-vision/vidi/service/admin"
	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/registry"
)

// runningFlags say which running server is meant.
type runningFlags struct {
	AdminAddr string `help:"The server's port for operators. On its machine ask as its user or root; from elsewhere, put a key of role admin into VIDI_ADMIN_KEY." default:"127.0.0.1:5001" env:"VIDI_ADMIN_ADDR" placeholder:"HOST:PORT"`
	Format    string `help:"${enum}." short:"f" enum:"text,json" default:"text"`
}

// versionArg is the version that a command is about.
type versionArg struct {
	Model string `arg:"" help:"NAME@VERSION, or NAME for its newest version in the server's folder."`
}

type modelsStatusCmd struct {
	runningFlags `embed:""`
}

type modelsLoadCmd struct {
	versionArg
	runningFlags `embed:""`
}

type modelsUnloadCmd struct {
	Model        string `arg:"" help:"NAME@VERSION, or NAME for all of its versions."`
	runningFlags `embed:""`
}

type modelsSwapCmd struct {
	versionArg
	runningFlags `embed:""`
}

type modelsRollbackCmd struct {
	Name         string `arg:"" help:"The model's name."`
	runningFlags `embed:""`
}

type modelsCanaryCmd struct {
	versionArg
	Percent      float64 `arg:"" help:"Of the requests that name no version, 0 to 100; 0 ends it."`
	runningFlags `embed:""`
}

type modelsShadowCmd struct {
	versionArg
	Percent      float64 `arg:"" help:"Of the requests that the stable version answers, 0 to 100; 0 ends it."`
	runningFlags `embed:""`
}

// Run prints what is served.
func (c *modelsStatusCmd) Run(a *app) error {
	status, err := c.ask(a.ctx, http.MethodGet, "/models", nil)
	if err != nil {
		return err
	}
	return c.print(a, status)
}

// Run has the server load it.
func (c *modelsLoadCmd) Run(a *app) error { return c.change(a, registry.Load, c.Model, nil) }

// Run has the server unload it.
func (c *modelsUnloadCmd) Run(a *app) error { return c.change(a, registry.Unload, c.Model, nil) }

// Run has the server swap to it.
func (c *modelsSwapCmd) Run(a *app) error { return c.change(a, registry.Swap, c.Model, nil) }

// Run has the server go back.
func (c *modelsRollbackCmd) Run(a *app) error { return c.change(a, registry.Rollback, c.Name, nil) }

// Run has the server give it requests.
func (c *modelsCanaryCmd) Run(a *app) error {
	return c.change(a, registry.ToCanary, c.Model, &c.Percent)
}

// Run has the server show it pictures.
func (c *modelsShadowCmd) Run(a *app) error {
	return c.change(a, registry.ToShadow, c.Model, &c.Percent)
}

func (f runningFlags) change(a *app, change registry.Change, name string, percent *float64) error {
	body, err := json.Marshal(admin.ModelRequest{Model: name, Percent: percent})
	if err != nil {
		return usageError(fmt.Errorf("the percentage must be a number: %w", err)) // NaN
	}
	if isTerminal(a.stderr) {
		fmt.Fprintln(a.stderr, "vidi: the server is at it; a file that it does not know is tried first, which takes some seconds")
	}
	status, err := f.ask(a.ctx, http.MethodPost, "/models/"+string(change), body)
	if err != nil {
		return err
	}
	return f.print(a, status)
}

// send sends one request over the socket that is beside the admin port on this machine, and to the port itself with a key or where there
// is no socket for this user: on another machine, or for another user's server.
func send(request *http.Request, addr string) (*http.Response, error) {
	by := http.Transport{DisableKeepAlives: true}
	if key := os.Getenv("VIDI_ADMIN_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	} else {
		socket, err := admin.DialSocket(request.Context(), addr)
		if err == nil {
			by.DialContext = func(context.Context, string, string) (net.Conn, error) { return socket, nil }
		} else if !errors.Is(err, admin.ErrNoSocket) {
			return nil, err
		}
	}
	response, err := by.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("nothing answers at %s: %w; is a server running, and is that its --admin-addr?", addr, err)
	}
	return response, nil
}

// ask sends one request to the operators' server. There is no timeout: a change takes as long as its file needs, and Ctrl-C ends the wait.
func (f runningFlags) ask(ctx context.Context, method, path string, body []byte) (*registry.Status, error) {
	addr, ok := reachable(f.AdminAddr)
	if !ok {
		return nil, usageError(fmt.Errorf("--admin-addr %q is not HOST:PORT; for example 127.0.0.1:5001", f.AdminAddr))
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, usageError(fmt.Errorf("--admin-addr %q is not an address: %w", f.AdminAddr, err))
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := send(request, addr)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("%s stopped in the middle of its answer: %w", addr, err)
	}
	var status registry.Status
	var problem api.Problem
	switch {
	case response.StatusCode == http.StatusOK && json.Unmarshal(answer, &status) == nil:
		return &status, nil
	case json.Unmarshal(answer, &problem) == nil && problem.Detail != "":
		return nil, errors.New(strings.ReplaceAll(shortened(problem.Detail), "\n", "\n      "))
	}
	return nil, fmt.Errorf("%s answered %s; is that vidi's port for operators?", addr, printable(shortened(response.Status)))
}

func (f runningFlags) print(a *app, s *registry.Status) error {
	if f.Format == "json" {
		return printJSON(a, s)
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MODEL\tROLE\tPRECISION\tENGINE\tMB\tFILE")
	for _, m := range s.Models {
		for _, v := range m.Versions {
			roles := strings.Join(v.Roles, ", ")
			if m.Canary != nil && m.Canary.Version == v.Version {
				roles = strings.Replace(roles, "canary", fmt.Sprintf("canary %g %%", m.Canary.Percent), 1)
			}
			if m.Default && v.Version == m.Stable {
				roles += " (default)"
			}
			fmt.Fprintf(table, "%s@%s\t%s\t%s\t%s\t%d\t%s\n", cell(m.Name), cell(v.Version), cell(orDash(roles)), cell(v.Precision),
				cell(orDash(v.Engine)), v.Memory>>20, cell(v.File))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, m := range s.Models {
		if m.Shadow != nil {
			printComparison(a.stdout, m)
		}
	}
	return nil
}

func printComparison(w io.Writer, m registry.ModelStatus) {
	c := m.Shadow
	fmt.Fprintf(w, "\n%s: shadow %s against %s, %g %% of the requests since %s\n", cell(m.Name), cell(c.Version), cell(c.Against), c.Percent, c.Since.Local().Format("2006-01-02 15:04:05"))
	fmt.Fprintf(w, "  %d pictures compared, %d dropped, %d failed\n", c.Pictures, c.Dropped, c.Failed)
	if c.Pictures == 0 || c.Agreement == nil || c.Difference == nil || c.InferenceMS == nil { // the last three: no vidi says so
		return
	}
	fmt.Fprintf(w, "  the same first name: %.1f %%; mean difference in probability: %.3f\n", *c.Agreement, *c.Difference)
	fmt.Fprintf(w, "  inference on one worker: %.1f ms", *c.InferenceMS)
	if c.StableInferenceMS != nil {
		fmt.Fprintf(w, ", the stable version %.1f ms", *c.StableInferenceMS)
	}
	fmt.Fprintln(w)
	if len(c.Last) > 0 {
		fmt.Fprintln(w, "  the last that differ (stable → shadow):")
	}
	for _, d := range c.Last {
		fmt.Fprintf(w, "    %s  %s %.0f %% → %s %.0f %%  request %s\n", d.Time.Local().Format("15:04:05"), cell(d.Stable.Label),
			100*d.Stable.Probability, cell(d.Shadow.Label), 100*d.Shadow.Probability, cell(d.RequestID))
	}
}
