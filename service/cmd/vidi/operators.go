package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/admin"
	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/logs"
	"github.com/vidi-vision/vidi/service/machine"
	"github.com/vidi-vision/vidi/service/telemetry"
	"github.com/vidi-vision/vidi/service/tracing"
	"github.com/vidi-vision/vidi/torchbind"
)

// operators is what runs beside the public server: the figures, the keys, the admin listener.
type operators struct {
	log       *slog.Logger
	lines     *logs.Writer // that log is written to; nil where it is written at once
	telemetry *telemetry.Telemetry
	tracer    *tracing.Tracer // nil without --traces
	ring      *keys.Ring      // nil without a key file
	admin     *admin.Server
	running   sync.WaitGroup
	stop      context.CancelFunc
}

// listeners are the ports of a server; admin is nil where it is turned off.
type listeners struct{ public, admin net.Listener }

// files are the open ports as [sandbox.Enter] can keep them, and keptListeners turns them back.
func (l listeners) files() (files []*os.File, err error) {
	for _, port := range []net.Listener{l.public, l.admin} {
		if port == nil {
			continue
		}
		file, err := port.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func keptListeners(files []*os.File) (l listeners, err error) {
	for i, port := range []*net.Listener{&l.public, &l.admin} {
		if i >= len(files) {
			break
		}
		if *port, err = net.FileListener(files[i]); err != nil {
			return l, err
		}
		files[i].Close() // the listener has its own
	}
	return l, nil
}

// listen opens both ports, and reports both where neither is free.
func (c *serveCmd) listen() (l listeners, err error) {
	if len(c.kept) > 0 {
		return keptListeners(c.kept)
	}
	l.public, err = net.Listen("tcp", c.Addr)
	if err != nil {
		err = machine.ListenError("--addr", c.Addr, err)
	}
	if c.AdminAddr == "" {
		return l, err
	}
	var adminErr error
	if l.admin, adminErr = net.Listen("tcp", c.AdminAddr); adminErr != nil {
		err = errors.Join(err, machine.ListenError("--admin-addr", c.AdminAddr, adminErr))
		if l.public != nil {
			l.public.Close()
		}
	} else if err != nil {
		l.admin.Close()
	}
	return l, err
}

// newOperators reads the keys, and makes ready what watches.
func (c *serveCmd) newOperators(log *slog.Logger, lines *logs.Writer) (*operators, error) {
	o := &operators{log: log, lines: lines, telemetry: telemetry.New()}
	if c.Keys != "" {
		ring, err := keys.Open(c.Keys)
		if err != nil {
			return nil, err
		}
		o.ring = ring
	}
	if c.Traces != "" {
		tracer, err := tracing.Open(context.Background(), tracing.Config{Endpoint: c.Traces, Share: c.TracesShare, Version: version}, log)
		if err != nil {
			return nil, err
		}
		o.tracer = tracer
	}
	o.telemetry.SetSource(o.source())
	o.telemetry.SetBuild(build(""))
	return o, nil
}

// source is where the figures come from that are there before any model is.
func (o *operators) source() telemetry.Source {
	return telemetry.Source{Objects: liveObjects, Resident: residentBytes, LogDropped: o.lines.Dropped}
}

// start puts everything to work until close.
func (o *operators) start(l listeners, models admin.Models) {
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.running.Go(func() { o.telemetry.Sample(ctx) })
	if o.ring != nil {
		o.log.Info("requests need a key", "keys", o.ring.Count())
		keys.WarnAboutFile(o.log, o.ring)
		o.running.Go(func() {
			o.ring.Watch(ctx, o.log, func() { o.telemetry.KeysReloaded(true) }, func() { o.telemetry.KeysReloaded(false) })
		})
	}
	if o.tracer != nil {
		o.log.Info("traces of requests are sent", "collector", o.tracer.Endpoint())
	}
	warnWhoCanUse(o.log, l, o.ring)
	if l.admin == nil {
		return
	}
	o.admin = admin.New(o.telemetry, models, o.ring, o.log)
	o.log.Info("for operators: /stats, /metrics, /models, /debug/pprof/", "admin", l.admin.Addr().String())
	socket, err := admin.ListenSocket(l.admin.Addr().String(), o.log)
	if err != nil {
		o.log.Warn("there is no UNIX socket for operators: changes of the models and profiles need a key of role admin", "error", err)
	}
	for _, l := range []net.Listener{l.admin, socket} {
		if l == nil {
			continue // no socket
		}
		o.running.Go(func() {
			if err := o.admin.Serve(l); err != nil {
				o.log.Error("the admin listener is gone; predictions go on", "at", l.Addr().String(), "error", err)
			}
		})
	}
}

func warnWhoCanUse(log *slog.Logger, l listeners, ring *keys.Ring) {
	public := l.public.Addr().String()
	if !config.Loopback(public) && ring == nil {
		log.Warn("ANYONE WHO REACHES THIS PORT CAN USE THIS SERVER: it listens beyond this machine and asks for no key. "+
			"Use --keys FILE to ask for keys, --addr 127.0.0.1:5000 to keep it to this machine, or a firewall", "addr", public)
	}
	if l.admin != nil && !config.Loopback(l.admin.Addr().String()) {
		log.Warn("the admin port listens beyond this machine: without a key it shows this machine its figures only, but keep it in a private network all the same",
			"addr", l.admin.Addr().String())
	}
}

// serving tells the figures which model answers.
func (o *operators) serving(m *loaded, models admin.Models) {
	source := o.source()
	source.Engine, source.Models = m.engine, models.Status
	o.telemetry.SetSource(source)
	if info, err := torchbind.Runtime(); err == nil {
		o.telemetry.SetBuild(build(info.TorchVersion))
	}
}

// close ends everything that start began. The admin listener goes last, so that a stop can be watched.
func (o *operators) close() {
	o.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // a collector that is gone must not hold up a stop
	defer cancel()
	if err := o.tracer.Close(ctx); err != nil {
		o.log.Warn("the last traces were lost", "error", err)
	}
	if o.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		o.admin.Close(ctx)
	}
	o.running.Wait()
}

func residentBytes() int64 { return machine.ProcessBytes("VmRSS") }

func liveObjects() telemetry.NativeObjects {
	live := torchbind.Live()
	return telemetry.NativeObjects{Modules: live.Modules, Tensors: live.Tensors, Statuses: live.Statuses + codec.LiveStatuses()}
}

func build(torch string) telemetry.Build {
	return telemetry.Build{Version: version, Revision: strings.Trim(revision(), " ()"), Go: runtime.Version(), Torch: torch}
}
