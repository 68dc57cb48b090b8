// The whole C ABI between Go and libtorch. Nothing else crosses.
//
// Rules that hold for every function here
//   Errors     A function that can fail returns vidi_status* (cgo/status/status.h).
//   Ownership  Arguments belong to the caller, are read only during the call, and no pointer to them is kept. What a
//              function writes through a `**out` belongs to the caller, who gives it to the matching _free once;
//              on failure *out is NULL. _free(NULL) does nothing.
//   Memory     Tensor elements are copied in and out; a buffer passed in may be reused as soon as the call returns.
//   Threads    Functions may be called from any thread, but libtorch keeps an OpenMP pool per calling OS thread: call those
//              that take a tb_tensor or a tb_module from few, long-lived threads.
//              One tb_tensor must not be used by two threads at a time. One tb_module may run on several threads at a time
//              once it is warm (see tb_module_forward).
//
// The header is plain C99 and includes nothing of libtorch.
#ifndef TB_SHIM_H
#define TB_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

// Raised whenever a signature or a struct here changes; the Go side refuses a library with another number.
#define TB_ABI_VERSION 8

// ---- Runtime ----------------------------------------------------------------------------------------------------------

typedef struct tb_runtime {
  int32_t abi_version;      // TB_ABI_VERSION of the library
  int32_t has_fuser;        // 1 if the oneDNN Graph fuser is in this libtorch (x86-64 builds)
  int32_t has_native_bf16;  // 1 if the CPU multiplies bfloat16 itself (AVX-512 BF16 or AMX)
  int32_t has_fast_bf16;    // 1 if that is faster than fp32: with AMX, and with AVX-512 BF16 on other CPUs than Intel's
  int32_t has_amx;          // 1 if the CPU has AMX tiles
  int32_t has_vnni;         // 1 if the CPU has AVX-512 VNNI (8-bit dot products)
  char torch_version[32];   // "2.7.1"
  char cpu_capability[32];  // what ATen dispatches to: "AVX512", "AVX2", "DEFAULT", …
} tb_runtime;

// Prepares libtorch once per process (one inter-op thread, the int8 engine, the fuser pass) and describes it.
// Idempotent; call it before anything else. Fails with VIDI_UNAVAILABLE if libtorch cannot be set up.
vidi_status* tb_runtime_init(tb_runtime* out);

// Live objects made by this library and not yet freed.
typedef struct tb_live {
  int64_t modules;
  int64_t tensors;
  int64_t statuses;
} tb_live;
void tb_live_counts(tb_live* out);

// How long one convolution of the kind that image networks are made of takes on this thread, as TB_ENGINE_FUSED computes it, in
// milliseconds: 3 × 3, 64 to 64 channels, 56 × 56 positions; the shortest of a few runs, some 50 ms in all. dtype is TB_FLOAT32
// or TB_BFLOAT16; their ratio tells what this CPU gains from bfloat16 without loading a model twice.
vidi_status* tb_runtime_time_convolution(int32_t dtype, double* milliseconds);

// Sets how many threads libtorch uses for one operation called from this OS thread, 1 ≤ n ≤ 1024.
vidi_status* tb_thread_set_count(int32_t n);

// Gives the system back what is not in use: the blocks of freed tensors, free heap pages (glibc's malloc_trim), and from this
// process's resident memory the code and constants of libtorch, of which starting and compiling touch several times what inference
// does. Those are still in the page cache, and each comes back when it is needed. Useful once after models are warm.
void tb_memory_trim(void);

// From now on C++'s standard streams, which libtorch warns on and TorchScript's print writes to, go to fd, which must stay open. Make it
// one that does not block: what it has no room for is lost. C's own stderr stays, for the last words of a process that aborts.
vidi_status* tb_output_to(int32_t fd);

// ---- Tensors ----------------------------------------------------------------------------------------------------------

typedef struct tb_tensor tb_tensor;

// C++ would call a number outside an enum's list undefined behaviour; with the type fixed it is refused like any other.
#ifdef __cplusplus
#define TB_AS_INT32 : int32_t
#else
#define TB_AS_INT32
#endif

// Element types, numbered as c10::ScalarType.
typedef enum tb_dtype TB_AS_INT32 {
  TB_UINT8 = 0,
  TB_INT8 = 1,
  TB_INT32 = 3,
  TB_INT64 = 4,
  TB_FLOAT16 = 5,
  TB_FLOAT32 = 6,
  TB_FLOAT64 = 7,
  TB_BOOL = 11,
  TB_BFLOAT16 = 15,
} tb_dtype;

#define TB_MAX_DIMS 8

// A tensor of the given shape (ndim axes, each ≥ 0) with row-major elements copied from data, which must hold exactly
// data_bytes = product(shape) × element size. Fails with VIDI_INVALID_ARGUMENT, VIDI_SHAPE (data_bytes) or VIDI_OUT_OF_MEMORY.
vidi_status* tb_tensor_new(tb_dtype dtype, const int64_t* shape, int32_t ndim, const void* data, size_t data_bytes, tb_tensor** out);

typedef struct tb_tensor_info {
  int32_t dtype;  // a tb_dtype, or another c10::ScalarType number
  int32_t ndim;   // ≤ TB_MAX_DIMS
  int64_t shape[TB_MAX_DIMS];
  int64_t elements;
  int64_t element_bytes;
} tb_tensor_info;

// Fails with VIDI_SHAPE if the tensor has more than TB_MAX_DIMS axes.
vidi_status* tb_tensor_describe(const tb_tensor* tensor, tb_tensor_info* out);

// Copies all elements, row-major, whatever the tensor's strides; dst_bytes must be elements × element size.
vidi_status* tb_tensor_copy(const tb_tensor* tensor, void* dst, size_t dst_bytes);

// Copies all elements, row-major, converted to float32; count must be the number of elements. Any real element type.
vidi_status* tb_tensor_copy_float32(const tb_tensor* tensor, float* dst, size_t count);

void tb_tensor_free(tb_tensor* tensor);

// The address of the at::Tensor inside, for libraries that pass at::Tensor* around (gotorch). Still owned by `tensor`,
// valid until tb_tensor_free.
void* tb_tensor_handle(tb_tensor* tensor);

// A new tensor that shares storage with *at_tensor (an at::Tensor* from another library linked with the same libtorch).
// The caller still owns at_tensor and may destroy it at once: storage is reference-counted.
vidi_status* tb_tensor_from_handle(void* at_tensor, tb_tensor** out);

// ---- Modules ----------------------------------------------------------------------------------------------------------

typedef struct tb_module tb_module;

typedef enum tb_engine {
  TB_ENGINE_AUTO = 0,       // fused where the fuser exists, else optimized
  TB_ENGINE_FUSED = 1,      // frozen, with winograd.h and quantised.h, and fused by oneDNN Graph on the second forward of each shape
  TB_ENGINE_OPTIMIZED = 2,  // torch::jit::optimize_for_inference
  TB_ENGINE_PLAIN = 3,      // as saved, no optimisation: the reference to compare the others with
  TB_ENGINE_FROZEN = 4,     // weights as constants, batch norms folded, channels-last; nothing fused and no oneDNN layouts
} tb_engine;

typedef struct tb_module_options {
  int32_t engine;     // a tb_engine
  int32_t precision;  // element type of weights and input: TB_FLOAT32, or TB_BFLOAT16
  int64_t max_bytes;  // that tensors may take at one time while it is being loaded; 0 means no limit
} tb_module_options;

// Loads a TorchScript file (or the same bytes), freezes and prepares it as the options say. extra_name, if not NULL, names
// an extra file inside the archive whose content tb_module_extra then returns.
// TorchScript is a program: load only files from people you trust; a malformed file can end the process.
vidi_status* tb_module_load(const char* path, const char* extra_name, const tb_module_options* options, tb_module** out);
vidi_status* tb_module_load_bytes(const void* data, size_t size, const char* extra_name, const tb_module_options* options, tb_module** out);

// A second module with the weights of `module`, which it shares, and compiled code of its own: the fuser compiles the number
// of threads into its kernels, so one module serves one thread count. It must be warmed like a new one, costs the weights once
// more, in the order of its kernels (quantised ones are packed here, and cost twice), and may outlive `module`. May be called
// while other threads run `module`, once that is warm.
vidi_status* tb_module_fork(const tb_module* module, tb_module** out);

// The extra file named at load: *out points at *size bytes that live as long as the module; *size is 0 if there is none.
void tb_module_extra(const tb_module* module, const char** out, size_t* size);

// The engine that the module runs with, which is never TB_ENGINE_AUTO; TB_ENGINE_AUTO if module is NULL.
tb_engine tb_module_engine(const tb_module* module);

// What one call may cost; 0 means no limit.
typedef struct tb_limits {
  int64_t max_bytes;  // of tensors, lists and texts that the call makes, at one time
  int64_t max_ms;     // on the clock, looked at in each turn of each loop of the model: nothing can end one long operator
} tb_limits;

// The most bytes of tensors that were in use at one time while the module was loaded; 0 for a fork.
int64_t tb_module_load_peak(const tb_module* module);

// The most bytes of tensors that one tb_module_forward of this module had in use at one time so far.
int64_t tb_module_peak(const tb_module* module);

// The bytes that forwards of this module and of its forks have made and not freed, their outputs aside: what was compiled, and
// what the model keeps in its attributes.
int64_t tb_module_kept(const tb_module* module);

// Runs forward(input) and returns its output, which must be one tensor, alone or in a tuple, a list or a dictionary. With TB_BFLOAT16
// it is float32 all the same where the network's end is of a usual kind (precision.h). The engine specialises on each new input shape and
// layout during the first three calls: make them (the warm-up) from one thread before several threads share the module. Fails with
// VIDI_FORWARD_FAILED if the model throws, VIDI_BAD_MODEL if the result is not a tensor, VIDI_OUT_OF_MEMORY and VIDI_TOO_SLOW where it
// passes its limits, which may be NULL, and VIDI_OUT_OF_MEMORY at once where tb_module_kept is above limits->max_bytes.
vidi_status* tb_module_forward(tb_module* module, const tb_tensor* input, const tb_limits* limits, tb_tensor** out);

// Must not be called while another thread is inside tb_module_forward with this module.
void tb_module_free(tb_module* module);

// The fuser holds on to the weights, in its own order, of the network that it compiled last, even after tb_module_free: as much
// memory as a float32 network's file. This has it compile a trifle, some milliseconds on this thread, which takes that place.
vidi_status* tb_fuser_forget(void);

// A network's input, count × 3 × height × width in channels-last memory, from count pictures of height × width × 3 bytes one
// after the other: (value / 255 − mean[channel]) / std[channel] in float32 as torchvision computes it, then converted to
// dtype (TB_FLOAT32 or TB_BFLOAT16).
vidi_status* tb_tensor_from_rgb(const uint8_t* rgb, size_t rgb_bytes, int64_t count, int64_t height, int64_t width, const float mean[3],
                                const float std[3], tb_dtype dtype, tb_tensor** out);

#ifdef __cplusplus
}
#endif
#endif  // TB_SHIM_H
