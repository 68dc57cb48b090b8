package main

import (
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/torchbind"
)

// confine holds the server to what it needs, where the kernel can: it then starts again in the same
// process and comes here no more. Models are programs, and run in this process.
func (c *serveCmd) confine() error {
	mode, err := sandbox.Wanted()
	if err != nil || mode == sandbox.Off || mode == sandbox.Auto && sandbox.ABI() == 0 {
		return err
	}
	// Who has a port that is taken is told by other processes' files, which nobody sees from
	// inside. The ports stay open meanwhile, so that nobody else can take them.
	ports, err := c.listen()
	if err != nil {
		return err
	}
	files, err := ports.files()
	if err != nil {
		return err
	}
	rules, err := c.needs()
	if err != nil {
		return err
	}
	return sandbox.Enter(mode, rules, files...)
}

// needs is everything that a server with these settings reads, writes, starts and connects to.
func (c *serveCmd) needs() (sandbox.Rules, error) {
	programs, err := sandbox.Program()
	if err != nil {
		return sandbox.Rules{}, err
	}
	rules := sandbox.Rules{Execute: programs, Read: sandbox.Kernel()}
	read := func(paths ...string) { rules.Read = append(rules.Read, paths...) }
	read(sandbox.Resolving()...) // --addr may be a name
	read(sandbox.Libraries()...)
	// Without it the start fails later, in its own words.
	for _, library := range []func() (string, error){torchbind.LibraryPath, codec.LibraryPath} {
		if file, err := library(); err == nil {
			read(sandbox.Libraries(file)...)
		}
	}
	if c.Models == string(model.DefaultFolder()) {
		_ = os.MkdirAll(c.Models, 0o755) // for the models that are added while the server runs
	}
	for _, folder := range []string{c.Models, string(model.BuiltIn())} {
		read(folder)
		links, _ := filepath.Glob(filepath.Join(folder, "*"))
		read(links...) // what they point to may lie elsewhere
	}
	read(sandbox.Switched(c.Models)...)
	for _, name := range c.ModelNames() {
		if path, err := locateModel(c.Models, name, c.Engine().Precision); err == nil {
			read(path)
		}
	}
	for _, file := range []string{c.Keys, c.Rules} {
		if file != "" {
			read(sandbox.Watched(file)...)
		}
	}
	if folder := tried().Dir; folder != "" && os.MkdirAll(folder, 0o755) == nil {
		rules.Write = append(rules.Write, folder)
	}
	if folder := os.Getenv("GOCOVERDIR"); folder != "" {
		rules.Write = append(rules.Write, folder)
	}
	if c.Traces != "" {
		for _, name := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
			read(os.Getenv("OTEL_EXPORTER_OTLP_"+name), os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name))
		}
		rules.Connect = collectorPorts(c.Traces)
	}
	return rules, nil
}

// collectorPorts are those of the collector, of the proxy on the way to it, and of name servers.
func collectorPorts(collector string) []uint16 {
	const names = 53
	ports := []uint16{names}
	add := func(u *url.URL) {
		text := u.Port()
		if text == "" {
			text = map[string]string{"https": "443", "socks5": "1080"}[u.Scheme]
		}
		if text == "" {
			text = "80"
		}
		if port, err := strconv.ParseUint(text, 10, 16); err == nil {
			ports = append(ports, uint16(port))
		}
	}
	if u, err := url.Parse(collector); err == nil {
		add(u)
		if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
			add(proxy)
		}
	}
	return ports
}

// walls are what holds models here; held is the ABI of Landlock that holds this process.
func walls(held int) telemetry.Sandbox {
	mode, _ := sandbox.Wanted() // an error has ended the start
	s := telemetry.Sandbox{ServerLandlock: held,
		KernelLandlock: sandbox.ABI(), KernelSeccomp: sandbox.Seccomp()}
	if mode != sandbox.Off {
		s.TrialLandlock, s.TrialSeccomp = s.KernelLandlock, s.KernelSeccomp
	}
	return s
}

// logWalls says once what holds, and warns where something does not.
func logWalls(log *slog.Logger, s telemetry.Sandbox) {
	log = log.With("server_landlock", s.ServerLandlock, "trial_landlock", s.TrialLandlock, "trial_seccomp", s.TrialSeccomp)
	if s.ServerLandlock > 0 && s.TrialLandlock > 0 && s.TrialSeccomp {
		log.Info("models are held by the kernel to reading and computing")
		return
	}
	log.Warn("models are programs, and the kernel does not hold all that they could do here; "+
		"`vidi doctor` says what to change", "variable", sandbox.Variable)
}
