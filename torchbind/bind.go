package torchbind

// The border to C: the only file with import "C". Functions here translate types, copy texts, and turn statuses into
// errors; they hold no policy. Pointers to Go memory are passed for the time of one call only, which cgo pins, or pinned by the
// caller.

/*
#cgo CFLAGS: -I${SRCDIR}/../cgo/torch -I${SRCDIR}/../cgo/status -I${SRCDIR}/../cgo/native -std=c11
#include <stdlib.h>
#include "loader.h"
#include "calls.h"
*/
import "C"

import (
	"strings"
	"time"
	"unsafe"

	"github.com/vidi-vision/vidi/cgo/cthread"
)

// Opaque C objects as the rest of the package sees them.
type (
	cTensor = *C.tb_tensor
	cModule = *C.tb_module
)

// openLibrary opens the shim at path. It must succeed before any other function of this file is called.
func openLibrary(path string) error { return shim.Open(path, unsafe.Pointer(C.tb_functions())) }

func nameTrappedCalls() { C.tb_name_trapped_calls() }

// check takes ownership of status and returns it as an *Error, or nil. subject names the file or thing at hand, "" for none.
func check(op, subject string, status *C.vidi_status) error {
	return shim.Check(op, subject, unsafe.Pointer(status))
}

func runtimeInit() (RuntimeInfo, error) {
	var r C.tb_runtime
	if err := check("start libtorch", "", C.tb_runtime_init(&r)); err != nil {
		return RuntimeInfo{}, err
	}
	if err := shim.CheckVersion(int(r.abi_version), C.TB_ABI_VERSION); err != nil {
		return RuntimeInfo{}, err
	}
	return RuntimeInfo{
		TorchVersion:  C.GoString(&r.torch_version[0]),
		CPUCapability: C.GoString(&r.cpu_capability[0]),
		HasFuser:      r.has_fuser != 0,
		HasNativeBF16: r.has_native_bf16 != 0,
		HasFastBF16:   r.has_fast_bf16 != 0,
		HasAMX:        r.has_amx != 0,
		HasVNNI:       r.has_vnni != 0,
	}, nil
}

func liveCounts() LiveObjects {
	var live C.tb_live
	C.tb_live_counts(&live)
	return LiveObjects{Modules: int64(live.modules), Tensors: int64(live.tensors), Statuses: int64(live.statuses)}
}

func setThreadCount(n int) error {
	return check("set thread count", "", C.tb_thread_set_count(C.int32_t(min(max(n, -1), 1<<20))))
}

func timeConvolution(dtype DType) (ms float64, err error) {
	var out C.double
	err = check("time a convolution", "", C.tb_runtime_time_convolution(C.int32_t(dtype), &out))
	return float64(out), err
}

func outputTo(fd int) error { return check("redirect the output", "", C.tb_output_to(C.int32_t(fd))) }

func memoryTrim() { C.tb_memory_trim() }

// bytesPointer is the address of b's first byte, or nil; cgo may not be handed &b[0] of an empty slice.
func bytesPointer(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

func tensorNew(dtype DType, shape []int64, data []byte) (cTensor, error) {
	var out cTensor
	err := check("new tensor", "", C.tb_tensor_new(C.tb_dtype(dtype), (*C.int64_t)(unsafe.SliceData(shape)), C.int32_t(len(shape)),
		unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), &out))
	return out, err
}

func tensorFromRGB(rgb []byte, count, height, width int, mean, std [3]float32, dtype DType) (cTensor, error) {
	var out cTensor
	err := check("new input", "", C.tb_tensor_from_rgb(bytesPointer(rgb), C.size_t(len(rgb)), C.int64_t(count), C.int64_t(height),
		C.int64_t(width), (*C.float)(&mean[0]), (*C.float)(&std[0]), C.tb_dtype(dtype), &out))
	return out, err
}

func tensorDescribe(t cTensor) (dtype DType, shape []int64, elements, elementBytes int64, err error) {
	var info C.tb_tensor_info
	if err = check("describe tensor", "", C.tb_tensor_describe(t, &info)); err != nil {
		return 0, nil, 0, 0, err
	}
	shape = make([]int64, info.ndim)
	for i := range shape {
		shape[i] = int64(info.shape[i])
	}
	return DType(info.dtype), shape, int64(info.elements), int64(info.element_bytes), nil
}

func tensorCopy(t cTensor, dst []byte) error {
	return check("copy tensor", "", C.tb_tensor_copy(t, unsafe.Pointer(unsafe.SliceData(dst)), C.size_t(len(dst))))
}

func tensorCopyFloat32(t cTensor, dst []float32) error {
	return check("copy tensor", "", C.tb_tensor_copy_float32(t, (*C.float)(unsafe.SliceData(dst)), C.size_t(len(dst))))
}

func tensorFree(t cTensor) { C.tb_tensor_free(t) }

func tensorHandle(t cTensor) unsafe.Pointer { return C.tb_tensor_handle(t) }

func tensorFromHandle(p unsafe.Pointer) (cTensor, error) {
	var out cTensor
	err := check("tensor from handle", "", C.tb_tensor_from_handle(p, &out))
	return out, err
}

// extraName is a C string for name, nil if name is empty. The caller frees it.
func extraName(name string) *C.char {
	if name == "" {
		return nil
	}
	return C.CString(name)
}

func moduleLoad(path string, o Options) (cModule, error) {
	if strings.ContainsRune(path, 0) || strings.ContainsRune(o.ExtraFile, 0) {
		return nil, &Error{Package: shim.Package, Op: "load", Subject: path, Code: InvalidArgument, Message: "the name has a NUL byte"}
	}
	name, extra := C.CString(path), extraName(o.ExtraFile)
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(extra))
	options := C.tb_module_options{engine: C.int32_t(o.Engine), precision: C.int32_t(o.Precision.dtype()), max_bytes: C.int64_t(o.MaxBytes)}
	var out cModule
	err := check("load", path, C.tb_module_load(name, extra, &options, &out))
	return out, err
}

func moduleLoadBytes(data []byte, o Options) (cModule, error) {
	if strings.ContainsRune(o.ExtraFile, 0) {
		return nil, &Error{Package: shim.Package, Op: "load bytes", Code: InvalidArgument, Message: "the extra file's name has a NUL byte"}
	}
	extra := extraName(o.ExtraFile)
	defer C.free(unsafe.Pointer(extra))
	options := C.tb_module_options{engine: C.int32_t(o.Engine), precision: C.int32_t(o.Precision.dtype()), max_bytes: C.int64_t(o.MaxBytes)}
	var out cModule
	err := check("load bytes", "", C.tb_module_load_bytes(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), extra, &options, &out))
	return out, err
}

func moduleFork(m cModule) (cModule, error) {
	var out cModule
	err := check("fork", "", C.tb_module_fork(m, &out))
	return out, err
}

func moduleEngine(m cModule) Engine { return Engine(C.tb_module_engine(m)) }

// moduleExtra copies the extra file's content.
func moduleExtra(m cModule) []byte {
	var data *C.char
	var size C.size_t
	C.tb_module_extra(m, &data, &size)
	if size == 0 {
		return nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(data)), int(size))...)
}

func modulePeak(m cModule) int64     { return int64(C.tb_module_peak(m)) }
func moduleLoadPeak(m cModule) int64 { return int64(C.tb_module_load_peak(m)) }

func runLimits(l Limits) C.tb_limits {
	return C.tb_limits{max_bytes: C.int64_t(l.Bytes), max_ms: milliseconds(l.Time)}
}

func moduleForward(m cModule, input cTensor, l Limits) (cTensor, error) {
	var out cTensor
	limits := runLimits(l)
	err := check("run", "", C.tb_module_forward(m, input, &limits, &out))
	return out, err
}

// setThreadCountOf has modules use n threads when they run on t, itself included.
func setThreadCountOf(t *cthread.Thread, n int) error {
	call := &C.tb_set_threads_call{threads: C.int32_t(min(max(n, -1), 1<<20))}
	t.Run(unsafe.Pointer(C.tb_call_set_threads), unsafe.Pointer(call))
	return check("set thread count", "", call.status)
}

// forwardOn begins moduleForward on t. When t has waited for its end, finish returns the result. Until then m and input
// must stay open.
func forwardOn(t *cthread.Thread, m cModule, input cTensor, l Limits) (finish func() (cTensor, error)) {
	call := &C.tb_forward_call{module: m, input: input, limits: runLimits(l)}
	t.Start(unsafe.Pointer(C.tb_call_forward), unsafe.Pointer(call))
	return func() (cTensor, error) { return call.output, check("run", "", call.status) }
}

func fuserForget() error { return check("forget what was fused", "", C.tb_fuser_forget()) }

func moduleFree(m cModule) { C.tb_module_free(m) }

// milliseconds rounds up, so that no limit becomes none.
func milliseconds(d time.Duration) C.int64_t {
	return C.int64_t((d + time.Millisecond - 1) / time.Millisecond)
}
