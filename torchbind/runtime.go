package torchbind

import (
	"context"
	"log/slog"
	"time"
)

// RuntimeInfo describes the opened libtorch and what it found on this CPU.
type RuntimeInfo struct {
	TorchVersion  string // "2.7.1"
	CPUCapability string // what ATen's own kernels use: "AVX512", "AVX2", "DEFAULT", …
	HasFuser      bool   // the oneDNN Graph fuser is there (x86-64)
	HasNativeBF16 bool   // the CPU multiplies bfloat16 natively (AVX-512 BF16 or AMX)
	HasFastBF16   bool   // that is faster than fp32: with AMX several times, with AVX-512 BF16 on AMD's CPUs, not on Intel's
	HasAMX        bool
	HasVNNI       bool // AVX-512 VNNI: 8-bit models are fast
}

// Runtime opens libtorch if need be and describes it.
func Runtime() (RuntimeInfo, error) {
	err := Open()
	return library.info, err
}

// TimeConvolution measures a convolution of the kind that image networks are made of, 3 × 3 with 64 channels, on the calling
// thread, in some 50 ms. The times of FP32 and BF16 tell what this CPU gains from bf16 without loading a model twice. Call it
// inside [Worker.Do].
func TimeConvolution(p Precision) (time.Duration, error) {
	if err := Open(); err != nil {
		return 0, err
	}
	ms, err := timeConvolution(p.dtype())
	return time.Duration(ms * float64(time.Millisecond)), err
}

// LiveObjects counts C++ objects that were made and not yet freed.
type LiveObjects struct {
	Modules  int64
	Tensors  int64
	Statuses int64 // error objects; they live inside one call only, so anything but 0 is a bug of this package
}

// Live counts the objects that are alive now; all zero if libtorch was never opened. Cheap, safe for concurrent use.
func Live() LiveObjects {
	if !opened() {
		return LiveObjects{}
	}
	return liveCounts()
}

// SendOutputTo has what libtorch warns of, and what models print, written to a descriptor instead of standard error and output. It
// must stay open, and should be one that does not block: what it has no room for is lost. What C itself writes, such as the reason of
// an abort, still goes to standard error. It opens libtorch if need be.
func SendOutputTo(fd int) error {
	if err := Open(); err != nil {
		return err
	}
	return outputTo(fd)
}

// TrimMemory gives memory that libtorch no longer uses back to the system. Worth calling once after the models are warm: loading
// leaves tens of megabytes behind. What inferences have used stays for the next one otherwise.
func TrimMemory() {
	if opened() {
		memoryTrim()
	}
}

// ForgetFused frees what the fuser still holds of the module that it compiled last, even if that is closed: its weights once more, as
// much as a float32 module's file. It takes some milliseconds, on a thread of its own. TrimMemory gives the memory back then.
func ForgetFused() error {
	worker, err := NewWorker(1)
	if err != nil {
		return err
	}
	defer worker.Close()
	return worker.Do(context.Background(), fuserForget)
}

// OnLeak is called when the garbage collector finds a Tensor or Module that was never closed; kind is "tensor" or "module".
// The object is freed right after. It runs on the collector's cleanup goroutine. Set it before using the package; the
// default logs a warning, tests set it to fail.
var OnLeak = func(kind string) {
	slog.Warn("torchbind: an object was garbage-collected without Close; it was freed, but late", "kind", kind)
}
