package torchbind

import (
	"runtime"
	"sync"
)

// Module is a loaded TorchScript model. It belongs to whoever loaded it, who must Close it.
//
// After [Module.Warm], Run may be called by several goroutines at once, each on its own [Worker]: they share the weights.
// Close waits for calls that are under way.
type Module struct {
	mu        sync.RWMutex // Run holds it shared, Close exclusively: it guards the lifetime, not the computation
	ptr       cModule
	cleanup   runtime.Cleanup
	precision Precision
	extra     []byte
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

func ownModule(ptr cModule, o Options, err error) (*Module, error) {
	if err != nil {
		return nil, err
	}
	m := &Module{ptr: ptr, precision: o.Precision, extra: moduleExtra(ptr)}
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

// InputDType is the element type that the module's input must have.
func (m *Module) InputDType() DType { return m.precision.dtype() }

// Run computes forward(input). The caller owns both tensors and must Close the result. Errors: [ForwardFailed] if the model
// throws, [BadModel] if it returns anything but one tensor, [ErrClosed].
//
// libtorch keeps a pool of threads for every OS thread it was called from, and goroutines move between OS threads: call Run
// inside [Worker.Do], or from a goroutine that is locked to its thread.
func (m *Module) Run(input *Tensor) (*Tensor, error) {
	defer runtime.KeepAlive(input)
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ptr == nil || input == nil || input.ptr == nil {
		return nil, ErrClosed
	}
	ptr, err := moduleForward(m.ptr, input.ptr)
	if err != nil {
		return nil, err
	}
	return ownTensor(ptr)
}

// warmRuns is how often a new input shape must be seen before the engine is at full speed: two runs to profile, the third
// compiles, the fourth is the first fast one.
const warmRuns = 4

// Warm runs the module on zeros of the given shape until it is fully compiled for it. Every shape that will be used must be
// warmed by one goroutine before others share the module, on a thread with the thread count that they will have: the count
// is compiled into the fused kernels.
func (m *Module) Warm(shape []int64) error {
	n := int64(1)
	for _, axis := range shape {
		if axis <= 0 || n > 1<<30/axis {
			return &Error{Op: "warm", Code: InvalidArgument, Message: "the input shape is out of range"}
		}
		n *= axis
	}
	width := int64(4)
	if m.InputDType() == BFloat16 {
		width = 2
	}
	input, err := NewTensor(m.InputDType(), shape, make([]byte, n*width))
	if err != nil {
		return err
	}
	defer input.Close()
	for range warmRuns {
		output, err := m.Run(input)
		if err != nil {
			return err
		}
		output.Close()
	}
	return nil
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
