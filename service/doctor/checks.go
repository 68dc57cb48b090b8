package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/connections"
	"github.com/vidi-vision/vidi/service/keys"
	"github.com/vidi-vision/vidi/service/machine"
	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/torchbind"
)

const adviceShim = "`make shim` in the source tree builds it; a release has it in lib/ beside the program"

func (c *Doctor) checkLibrary() Finding {
	info, err := torchbind.Runtime()
	if err != nil {
		return Finding{Check: "libtorch", Verdict: Fail, Says: err.Error(), Advice: adviceShim}
	}
	jpeg, err := codec.JPEGVersion()
	if err != nil {
		return Finding{Check: "libtorch", Verdict: Fail, Says: err.Error(), Advice: adviceShim}
	}
	f := Finding{Check: "libtorch", Verdict: OK,
		Says: fmt.Sprintf("libtorch %s and libjpeg-turbo %s can be used; built with %s", info.TorchVersion, jpeg, c.BuiltWith)}
	if strings.Contains(c.BuiltWith, "is older than") {
		f.Verdict, f.Advice = Warn, "update the packages that are named, and build vidi again; or take a newer release of vidi"
	}
	return f
}

func checkCPU() Finding {
	cores, all := runtime.GOMAXPROCS(0), runtime.NumCPU()
	says := fmt.Sprintf("%d cores", cores)
	if cores == 1 {
		says = "1 core"
	}
	if cores < all {
		says += fmt.Sprintf(" of this machine's %d (the CPU quota, or GOMAXPROCS)", all)
	}
	f := Finding{Check: "cpu", Verdict: OK, Says: says}
	info, err := torchbind.Runtime()
	if err != nil {
		return f // said by checkLibrary
	}
	has := []string{info.CPUCapability}
	for name, there := range map[string]bool{"AMX": info.HasAMX, "native bf16": info.HasNativeBF16, "VNNI": info.HasVNNI} {
		if there {
			has = append(has, name)
		}
	}
	slices.Sort(has[1:])
	f.Says += ", " + strings.Join(has, ", ")
	if runtime.GOARCH == "amd64" && info.CPUCapability == "DEFAULT" {
		f.Verdict, f.Advice = Warn, "without AVX2 a picture takes several times as long; use a newer CPU, or let the virtual machine see its host's"
	}
	return f
}

// checkSandbox says what holds models, which are programs.
func checkSandbox(mode sandbox.Mode, err error) Finding {
	f := Finding{Check: "sandbox", Verdict: OK}
	abi := sandbox.ABI()
	switch {
	case err != nil:
		f.Verdict, f.Says = Fail, err.Error()
	case mode == sandbox.Off:
		f.Verdict, f.Says = Warn, "nothing holds models, which are programs"
		f.Advice = "leave " + sandbox.Variable + " away"
	case !sandbox.Seccomp():
		f.Verdict, f.Says = Fail, "this kernel has no seccomp, without which no new model is tried"
		f.Advice = "use one that has it, or " + sandbox.Variable + "=off"
	case abi == 0 && mode == sandbox.Required:
		f.Verdict, f.Says = Fail, sandbox.ErrNoLandlock.Error()
	case abi == 0:
		f.Verdict = Warn
		f.Says = "seccomp holds a model while it is tried, and nothing the server: no Landlock here"
		f.Advice = "use Linux 5.13 or later with landlock among its security modules, or only models " +
			"of people whom you trust"
	case abi < fullABI:
		f.Verdict = Warn
		f.Says = fmt.Sprintf("seccomp and Landlock %d hold a model while it is tried, and Landlock "+
			"the server, which could still empty files or connect", abi)
		f.Advice = "use Linux 6.7 or later"
	default:
		f.Says = fmt.Sprintf("seccomp and Landlock %d hold a model while it is tried, and Landlock "+
			"the server", abi)
	}
	return f
}

// fullABI is the first version of Landlock that keeps from emptying files and from connecting, too.
const fullABI = 4

// checkModels loads the models as a server would, all of them, and times one picture each. It also returns the memory in use then.
func (c *Doctor) checkModels(ctx context.Context, report func(Finding)) (resident int64) {
	host, err := classify.NewHost(classify.Config{Engine: c.Engine(), Limits: c.Limits()})
	if err != nil {
		report(Finding{Check: "model", Verdict: Fail, Says: err.Error()})
		return 0
	}
	defer host.Close()
	for _, name := range c.ModelNames() {
		classifier, f := c.checkModel(ctx, host, name)
		report(f)
		if classifier == nil {
			return 0
		}
		defer classifier.Close() // before the host
	}
	return machine.ProcessBytes("VmRSS")
}

// checkModel loads one model; the classifier is nil if that fails.
func (c *Doctor) checkModel(ctx context.Context, host *classify.Host, name string) (*classify.Classifier, Finding) {
	fail := func(err error) (*classify.Classifier, Finding) {
		return nil, Finding{Check: "model", Verdict: Fail, Says: err.Error()}
	}
	file, verdict, err := c.Find(ctx, name)
	if err != nil {
		return fail(err)
	}
	begun := time.Now()
	classifier, err := host.Open(ctx, file, verdict.Engine, verdict.Memory)
	if err != nil {
		return fail(err)
	}
	warm := time.Since(begun)
	e := classifier.Engine()
	// What comes of the second module is no error: everything works without it, and serve says the same. To hear that it is not worth having
	// takes longer than people like to wait.
	e.WaitCompiled(ctx)
	settled, stop := context.WithTimeout(ctx, 2*time.Second)
	_, _ = e.WaitAlone(settled)
	stop()
	card := classifier.Card()
	begun = time.Now()
	if _, err := e.Infer(ctx, make([]byte, card.Input.Bytes())); err != nil {
		classifier.Close()
		return fail(err)
	}
	f := Finding{Check: "model", Verdict: OK, Says: fmt.Sprintf("%s %s (%s, %s engine, %d names) was ready in %.1f s and looks at a picture in %.1f ms; %s",
		card.Name, card.Version, e.Precision(), e.Prepared(), len(card.Labels), warm.Seconds(), classify.Milliseconds(time.Since(begun)), e.Plan())}
	if card.Assumed {
		f.Verdict, f.Advice = Warn, "it has no card, so ImageNet preprocessing is assumed; `vidi models add` gives it one"
	}
	return classifier, f
}

func (c *Doctor) checkMemory(resident int64, limit machine.Memory) Finding {
	if resident == 0 {
		return Finding{Check: "memory", Verdict: Warn, Says: "not judged, because the model did not load"}
	}
	clients := connections.Memory(c.Connections(limit.Bytes))
	need := resident + c.DecodeMemory.N + c.QueueMemory.N + clients + config.Reserve
	f := Finding{Check: "memory", Verdict: OK, Says: fmt.Sprintf("up to %s may be needed (the model %s, --decode-memory %s, "+
		"--queue-memory %s, connections %s, %s beside them), and %s says %s",
		bytesText(need), bytesText(resident), bytesText(c.DecodeMemory.N), bytesText(c.QueueMemory.N), bytesText(clients),
		bytesText(config.Reserve), limit.Source, bytesText(limit.Bytes))}
	rest := limit.Bytes - resident - c.QueueMemory.N - clients - config.Reserve
	switch {
	case limit.Bytes == 0:
		f.Says = fmt.Sprintf("up to %s may be needed; how much there is could not be found out", bytesText(need))
		f.Verdict = Warn
	case rest < 64<<20:
		f.Verdict, f.Advice = Fail, fmt.Sprintf("give it %s or more", bytesText(need))
	case need > limit.Bytes:
		f.Verdict, f.Advice = Warn, fmt.Sprintf("under large pictures the kernel could end the server: give it %s, or use --decode-memory %dMiB", bytesText(need), rest>>20)
	}
	return f
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func checkFiles(limit uint64) Finding {
	f := Finding{Check: "files", Verdict: OK, Says: fmt.Sprintf("%d connections and files may be open at the same time", limit)}
	if limit < 1024 {
		f.Verdict, f.Advice = Warn, "clients beyond that are refused; raise it with `ulimit -n 4096`, or LimitNOFILE in systemd"
	}
	return f
}

// checkPort finds out whether the port could be opened, and who has it if not. A vidi that runs there is no fault.
func checkPort(name, flag, addr string) Finding {
	f := Finding{Check: name, Verdict: OK, Says: addr + " is free"}
	listener, err := net.Listen("tcp", addr)
	if err == nil {
		listener.Close()
		return f
	}
	_, port, _ := net.SplitHostPort(addr)
	if owner := machine.PortOwner(port); errors.Is(err, syscall.EADDRINUSE) && strings.HasPrefix(owner, "vidi ") {
		return Finding{Check: name, Verdict: Warn, Says: fmt.Sprintf("%s is in use by %s", addr, owner), Advice: "good if that is your server; a second one needs another " + flag}
	}
	return Finding{Check: name, Verdict: Fail, Says: machine.ListenError(flag, addr, err).Error()}
}

func (c *Doctor) checkKeys() Finding {
	if c.Keys == "" {
		f := Finding{Check: "keys", Verdict: OK, Says: "nobody is asked for a key, and only this machine reaches the server"}
		if !config.Loopback(c.Addr) {
			f.Verdict, f.Says = Warn, "anyone who reaches "+c.Addr+" can use the server"
			f.Advice = "use --keys FILE (`vidi keys new` makes one), --addr 127.0.0.1:5000, or a firewall"
		}
		return f
	}
	lines, err := keys.ReadFile(c.Keys)
	if err != nil {
		return Finding{Check: "keys", Verdict: Fail, Says: err.Error()}
	}
	f := Finding{Check: "keys", Verdict: OK, Says: fmt.Sprintf("%d in %s", len(lines), c.Keys)}
	may := func(l keys.Line) bool {
		return slices.Contains(l.Roles, keys.Infer) || slices.Contains(l.Roles, keys.Admin)
	}
	switch {
	case !slices.ContainsFunc(lines, may):
		f.Verdict, f.Advice = Warn, "none has the role infer, so nobody could ask for a prediction"
	case keys.ReadableByOthers(c.Keys):
		f.Verdict, f.Advice = Warn, "every user of this machine can read it; `chmod o-r` it"
	}
	return f
}
