package torchbind

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Module is a loaded TorchScript model. It belongs to whoever loaded it, who must Close it.
//
// After [Worker.Warm] it may run on several workers at once: they share the weights.
// Close waits for calls that are under way.
type Module struct {
	mu        sync.RWMutex // Run holds it shared, Close exclusively: it guards the lifetime, not the computation
	ptr       cModule
	cleanup   runtime.Cleanup
	precision Precision
	engine    Engine
	extra     []byte
	limits    atomic.Pointer[Limits] // nil is none
}

// Load reads a TorchScript file, freezes it and prepares it as the options say. Errors: [NotFound], [BadModel],
// [Unavailable], [InvalidArgument], [OutOfMemory].
//
// TorchScript is a program. Load only files from people you trust: libtorch gives no protection against a malicious one,
// and a malformed one can end the process.
func Load(path string, o Options) (*Module, error) {
	if err := o.validate(path); err != nil {
		return nil, err
	}
	if err := Open(); err != nil {
		return nil, err
	}
	ptr, err := moduleLoad(path, o)
	return ownModule(ptr, o, err)
}

// LoadFile is [Load] for a file that is open: the one that was looked at, whatever its path leads to by now.
func LoadFile(file *os.File, o Options) (*Module, error) {
	if err := o.validate(file.Name()); err != nil {
		return nil, err
	}
	if err := Open(); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(file)
	ptr, err := moduleLoad(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), o)
	if failure, ok := err.(*Error); ok { //nolint:errorlint // made by moduleLoad
		failure.Subject = file.Name()
	}
	return ownModule(ptr, o, err)
}

// LoadPeak is the most bytes that tensors had at one time while the module was loaded.
func (m *Module) LoadPeak() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ptr == nil {
		return 0
	}
	return moduleLoadPeak(m.ptr)
}

// LoadBytes is [Load] for a file that is already in memory; data may be reused when it returns.
func LoadBytes(data []byte, o Options) (*Module, error) {
	if err := o.validate(""); err != nil {
		return nil, err
	}
	if err := Open(); err != nil {
		return nil, err
	}
	ptr, err := moduleLoadBytes(data, o)
	return ownModule(ptr, o, err)
}

// Fork makes a second module that shares the weights and the limits of m and has compiled code of its own, to run with another number of
// threads: one Module serves one thread count, because the count is compiled into the fused kernels. The caller must [Worker.Warm] it on
// a worker with its count, and Close it; it may outlive m. Safe while others Run m, once m is warm. Errors: [ErrClosed],
// [OutOfMemory].
func (m *Module) Fork() (*Module, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ptr == nil {
		return nil, ErrClosed
	}
	ptr, err := moduleFork(m.ptr)
	fork, err := ownModule(ptr, Options{Precision: m.precision}, err)
	if err == nil {
		fork.SetLimits(m.Limits())
	}
	return fork, err
}

func ownModule(ptr cModule, o Options, err error) (*Module, error) {
	if err != nil {
		return nil, err
	}
	m := &Module{ptr: ptr, precision: o.Precision, engine: moduleEngine(ptr), extra: moduleExtra(ptr)}
	if m.precision == "" {
		m.precision = FP32
	}
	m.cleanup = runtime.AddCleanup(m, func(ptr cModule) {
		OnLeak("module")
		moduleFree(ptr)
	}, ptr)
	return m, nil
}

// Extra is the content of the archive's file that Options.ExtraFile named, nil if there is none. The caller may keep it.
func (m *Module) Extra() []byte { return append([]byte(nil), m.extra...) }

// Engine is the engine that the module runs with. It is what [EngineAuto] chose, never EngineAuto itself.
func (m *Module) Engine() Engine { return m.engine }

// InputDType is the element type that the module's input must have.
func (m *Module) InputDType() DType { return m.precision.dtype() }

// SetLimits says what each run that begins from now on may cost. There are no limits before.
func (m *Module) SetLimits(l Limits) { m.limits.Store(&l) }

// Peak is the most bytes that the tensors made by one run had at one time so far.
func (m *Module) Peak() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ptr == nil {
		return 0
	}
	return modulePeak(m.ptr)
}

// Limits are those that were set.
func (m *Module) Limits() Limits {
	if l := m.limits.Load(); l != nil {
		return *l
	}
	return Limits{}
}

// Run computes forward(input). The caller owns both tensors and must Close the result. Errors: [ForwardFailed] if the model
// throws, [BadModel] if it returns anything but one tensor, [OutOfMemory] and [TooSlow] where it passes its limits, [ErrClosed].
//
// libtorch keeps a pool of threads for every OS thread it was called from, and goroutines move between OS threads: use
// [Worker.Run], or call Run inside [Worker.Do] or from a goroutine that is locked to its thread.
func (m *Module) Run(input *Tensor) (*Tensor, error) {
	defer runtime.KeepAlive(input)
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ptr == nil || input == nil || input.ptr == nil {
		return nil, ErrClosed
	}
	ptr, err := moduleForward(m.ptr, input.ptr, m.Limits())
	if err != nil {
		return nil, err
	}
	return ownTensor(ptr)
}

// warmRuns is how often a new kind of input must be seen before the engine is at full speed: the first run records shapes,
// the second compiles, and the answers of the third are the first final ones.
const warmRuns = 3

// Warm runs the module on input until it is fully compiled for inputs like it: of its shape, element type and memory layout
// (an input made by [NewInput] is channels-last, one made by [NewTensor] is not, and each is compiled anew). Whatever will be
// used must be warmed by one goroutine before others share the module, on a thread with the thread count that they will
// have ([Worker.Warm] sees to that): the count is compiled into the fused kernels. The result is what [Module.Run] would give.
func (m *Module) Warm(input *Tensor) (*Tensor, error) {
	return warm(func() (*Tensor, error) { return m.Run(input) })
}

func warm(run func() (*Tensor, error)) (*Tensor, error) {
	for range warmRuns - 1 {
		output, err := run()
		if err != nil {
			return nil, err
		}
		output.Close()
	}
	return run()
}

// Close frees the module after calls under way have returned. Further calls do nothing.
func (m *Module) Close() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ptr == nil {
		return nil
	}
	m.cleanup.Stop()
	moduleFree(m.ptr)
	m.ptr = nil
	return nil
}
