// The whole C ABI between Go and libtorch. Nothing else crosses.
//
// Rules that hold for every function here
//   Errors     A function that can fail returns tb_status*: NULL means success, anything else describes the failure and must
//              be given to tb_status_free once. There is no global or thread-local error text. No C++ exception leaves.
//   Ownership  Arguments belong to the caller, are read only during the call, and no pointer to them is kept. What a
//              function writes through a `**out` belongs to the caller, who gives it to the matching _free once;
//              on failure *out is NULL. _free(NULL) does nothing.
//   Memory     Pixels and tensor elements are copied in and out; a buffer passed in may be reused as soon as the call returns.
//   Threads    Image functions and tb_status_* may be called from any thread. Functions that take a tb_tensor or a tb_module
//              may too, but libtorch keeps an OpenMP pool per calling OS thread: call them from few, long-lived threads.
//              One tb_tensor must not be used by two threads at a time. One tb_module may run on several threads at a time
//              once it is warm (see tb_module_forward).
//
// The header is plain C99 and includes nothing of libtorch or libjpeg.
#ifndef TB_SHIM_H
#define TB_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Raised whenever a signature or a struct here changes; the Go side refuses a library with another number.
#define TB_ABI_VERSION 7

// ---- Status -----------------------------------------------------------------------------------------------------------

typedef enum tb_code {
  TB_OK = 0,
  TB_INVALID_ARGUMENT = 1,    // the caller's mistake: NULL, a bad size, an unknown option
  TB_NOT_FOUND = 2,           // no such file, or it cannot be read
  TB_BAD_MODEL = 3,           // libtorch cannot load the file, or its output is not one tensor
  TB_SHAPE = 4,               // a tensor has another shape or element type than the call needs
  TB_OUT_OF_MEMORY = 5,       // an allocation failed
  TB_UNAVAILABLE = 6,         // this build or this CPU cannot do that
  TB_FORWARD_FAILED = 7,      // the model itself failed while it ran
  TB_CORRUPT_IMAGE = 8,       // the picture is damaged or ends early
  TB_IMAGE_TOO_LARGE = 9,     // more pixels than the limit
  TB_IMAGE_TOO_COMPLEX = 10,  // would cost more decoding time or memory than the limit
  TB_UNSUPPORTED_IMAGE = 11,  // a valid picture of a kind that the decoder cannot read
  TB_INTERNAL = 12,           // a bug: anything not foreseen
  TB_TOO_SLOW = 13,           // the model was not done in the time that it may take
} tb_code;

typedef struct tb_status tb_status;

tb_code tb_status_code(const tb_status* status);
// One UTF-8 line without a stack trace; lives as long as the status.
const char* tb_status_message(const tb_status* status);
// The library's full text (it may hold source lines and addresses: for logs only), "" if there is no more than the message.
const char* tb_status_detail(const tb_status* status);
void tb_status_free(tb_status* status);

// ---- Runtime ----------------------------------------------------------------------------------------------------------

typedef struct tb_runtime {
  int32_t abi_version;      // TB_ABI_VERSION of the library
  int32_t has_fuser;        // 1 if the oneDNN Graph fuser is in this libtorch (x86-64 builds)
  int32_t has_native_bf16;  // 1 if the CPU multiplies bfloat16 itself (AVX-512 BF16 or AMX)
  int32_t has_fast_bf16;    // 1 if that is faster than fp32: with AMX, and with AVX-512 BF16 on other CPUs than Intel's
  int32_t has_amx;          // 1 if the CPU has AMX tiles
  int32_t has_vnni;         // 1 if the CPU has AVX-512 VNNI (8-bit dot products)
  int32_t jpeg_version;     // libjpeg-turbo's version number, 2001005 is 2.1.5; 0 if unknown
  char torch_version[32];   // "2.7.1"
  char cpu_capability[32];  // what ATen dispatches to: "AVX512", "AVX2", "DEFAULT", …
} tb_runtime;

// Prepares libtorch once per process (one inter-op thread, the int8 engine, the fuser pass) and describes it.
// Idempotent; call it before anything else. Fails with TB_UNAVAILABLE if libtorch cannot be set up.
tb_status* tb_runtime_init(tb_runtime* out);

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
tb_status* tb_runtime_time_convolution(int32_t dtype, double* milliseconds);

// Sets how many threads libtorch uses for one operation called from this OS thread, 1 ≤ n ≤ 1024.
tb_status* tb_thread_set_count(int32_t n);

// Gives the system back what is not in use: the blocks of freed tensors, free heap pages (glibc's malloc_trim), and from this
// process's resident memory the code and constants of libtorch, of which starting and compiling touch several times what inference
// does. Those are still in the page cache, and each comes back when it is needed. Useful once after models are warm.
void tb_memory_trim(void);

// From now on C++'s standard streams, which libtorch warns on and TorchScript's print writes to, go to fd, which must stay open. Make it
// one that does not block: what it has no room for is lost. C's own stderr stays, for the last words of a process that aborts.
tb_status* tb_output_to(int32_t fd);

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
// data_bytes = product(shape) × element size. Fails with TB_INVALID_ARGUMENT, TB_SHAPE (data_bytes) or TB_OUT_OF_MEMORY.
tb_status* tb_tensor_new(tb_dtype dtype, const int64_t* shape, int32_t ndim, const void* data, size_t data_bytes, tb_tensor** out);

typedef struct tb_tensor_info {
  int32_t dtype;  // a tb_dtype, or another c10::ScalarType number
  int32_t ndim;   // ≤ TB_MAX_DIMS
  int64_t shape[TB_MAX_DIMS];
  int64_t elements;
  int64_t element_bytes;
} tb_tensor_info;

// Fails with TB_SHAPE if the tensor has more than TB_MAX_DIMS axes.
tb_status* tb_tensor_describe(const tb_tensor* tensor, tb_tensor_info* out);

// Copies all elements, row-major, whatever the tensor's strides; dst_bytes must be elements × element size.
tb_status* tb_tensor_copy(const tb_tensor* tensor, void* dst, size_t dst_bytes);

// Copies all elements, row-major, converted to float32; count must be the number of elements. Any real element type.
tb_status* tb_tensor_copy_float32(const tb_tensor* tensor, float* dst, size_t count);

void tb_tensor_free(tb_tensor* tensor);

// The address of the at::Tensor inside, for libraries that pass at::Tensor* around (gotorch). Still owned by `tensor`,
// valid until tb_tensor_free.
void* tb_tensor_handle(tb_tensor* tensor);

// A new tensor that shares storage with *at_tensor (an at::Tensor* from another library linked with the same libtorch).
// The caller still owns at_tensor and may destroy it at once: storage is reference-counted.
tb_status* tb_tensor_from_handle(void* at_tensor, tb_tensor** out);

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
tb_status* tb_module_load(const char* path, const char* extra_name, const tb_module_options* options, tb_module** out);
tb_status* tb_module_load_bytes(const void* data, size_t size, const char* extra_name, const tb_module_options* options, tb_module** out);

// A second module with the weights of `module`, which it shares, and compiled code of its own: the fuser compiles the number
// of threads into its kernels, so one module serves one thread count. It must be warmed like a new one, costs the weights once
// more, in the order of its kernels (quantised ones are packed here, and cost twice), and may outlive `module`. May be called
// while other threads run `module`, once that is warm.
tb_status* tb_module_fork(const tb_module* module, tb_module** out);

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

// Runs forward(input) and returns its output, which must be one tensor, alone or in a tuple, a list or a dictionary. With TB_BFLOAT16
// it is float32 all the same where the network's end is of a usual kind (precision.h). The engine specialises on each new input shape and
// layout during the first three calls: make them (the warm-up) from one thread before several threads share the module. Fails with
// TB_FORWARD_FAILED if the model throws, TB_BAD_MODEL if the result is not a tensor, TB_OUT_OF_MEMORY and TB_TOO_SLOW where it passes its
// limits, which may be NULL.
tb_status* tb_module_forward(tb_module* module, const tb_tensor* input, const tb_limits* limits, tb_tensor** out);

// Must not be called while another thread is inside tb_module_forward with this module.
void tb_module_free(tb_module* module);

// The fuser holds on to the weights, in its own order, of the network that it compiled last, even after tb_module_free: as much
// memory as a float32 network's file. This has it compile a trifle, some milliseconds on this thread, which takes that place.
tb_status* tb_fuser_forget(void);

// ---- Pictures ---------------------------------------------------------------------------------------------------------
// A picture is rows of 8-bit pixels, 4 bytes each: red, green, blue, and a fourth byte that is 255 after decoding and is
// otherwise ignored. `stride` is the distance between rows in bytes, ≥ 4 × width.

typedef enum tb_jpeg_colors {
  TB_JPEG_GRAY = 1,
  TB_JPEG_RGB = 3,   // stored as YCbCr or RGB
  TB_JPEG_CMYK = 4,  // stored as CMYK or YCCK
} tb_jpeg_colors;

typedef struct tb_jpeg_info {
  int32_t width;  // pixels, > 0
  int32_t height;
  int32_t colors;         // a tb_jpeg_colors
  int32_t progressive;    // 1 if the file has several scans over the whole picture
  int64_t decoder_bytes;  // estimate of what the decoder needs beside the pixels
} tb_jpeg_info;

// Reads the header only. Fails with TB_CORRUPT_IMAGE or TB_UNSUPPORTED_IMAGE.
tb_status* tb_jpeg_probe(const uint8_t* data, size_t size, tb_jpeg_info* out);

typedef struct tb_jpeg_limits {
  int64_t max_pixels;         // width × height; 0 means no limit, here and below
  int64_t max_scan_pixels;    // scans × width × height: work that a small file can ask for many times over
  int64_t max_decoder_bytes;  // memory of the decoder beside the pixels
  int64_t max_cpu_ms;         // CPU time of this call
} tb_jpeg_limits;

typedef struct tb_jpeg_report {
  int64_t warnings;         // pieces of damage that the decoder repaired or skipped
  int64_t resize_ns;        // of tb_jpeg_resize: about how long it resized, by the clock on the wall; the rest is decoding
  char first_warning[200];  // what it said of the first, "" if there was none
} tb_jpeg_report;

// Decodes the whole picture, scaled to eighths / 8 of its size, into dst: h rows of stride bytes, where
// w = ceil(width × eighths / 8), h likewise, and dst_bytes ≥ stride × (h − 1) + 4 × w. eighths is 8, or 4, 2 or 1 to let the
// inverse DCT shrink the picture, which is faster and not what Pillow does. At 8 the pixels are those that Pillow gives:
// accurate integer DCT, smooth chroma upsampling, grey replicated, CMYK and YCCK inverted as Adobe writes them and turned to
// RGB by Pillow's formula. Data that ends before the last row is TB_CORRUPT_IMAGE.
tb_status* tb_jpeg_decode(const uint8_t* data, size_t size, const tb_jpeg_limits* limits, int32_t eighths, uint8_t* dst, size_t stride,
                          size_t dst_bytes, tb_jpeg_report* report);

// Numbered as in Pillow, but for nearest, which is 0 there. All but nearest are antialiased.
typedef enum tb_filter { TB_LANCZOS = 1, TB_BILINEAR = 2, TB_BICUBIC = 3, TB_BOX = 4, TB_HAMMING = 5, TB_NEAREST = 6 } tb_filter;

typedef struct tb_box {
  double x0, y0, x1, y1;
} tb_box;

typedef struct tb_resize {
  int64_t width;  // the size that the whole upright picture is resized to …
  int64_t height;
  int64_t crop_x;  // … and the window of it that is computed
  int64_t crop_y;
  int64_t crop_width;
  int64_t crop_height;
  int32_t filter;       // a tb_filter
  int32_t orientation;  // EXIF's, 1 to 8: how the stored picture is turned upright, before it is resized; 0 is 1
  tb_box box;           // the part of the stored picture to resize, in pixels and fractions of them; all 0 for the whole
} tb_resize;

// Writes the crop, crop_height × crop_width × 3 bytes (rows of RGB, no padding), bit for bit what Pillow's
// ImageOps.exif_transpose, then resize((width, height), filter, box), then crop(window) give, where the box is turned with the
// picture. Costs memory and time for the window only.
tb_status* tb_image_resize(const uint8_t* pixels, int64_t width, int64_t height, size_t stride, const tb_resize* resize, uint8_t* dst,
                           size_t dst_bytes);

// tb_jpeg_decode and tb_image_resize in one: the same bytes in dst, without the decoded picture ever being in memory. Only the
// rows and columns that the crop needs are decoded, so damage below them is not found. A file without an end marker is
// decoded to its last row: TB_CORRUPT_IMAGE if rows are missing, a warning in the report if not. The box is in pixels of the stored picture
// at full size, whatever the eighths. The limits are those of tb_jpeg_decode.
tb_status* tb_jpeg_resize(const uint8_t* data, size_t size, const tb_jpeg_limits* limits, int32_t eighths, const tb_resize* resize,
                          uint8_t* dst, size_t dst_bytes, tb_jpeg_report* report);

// The same for a PNG that is not interlaced (others are TB_UNSUPPORTED_IMAGE), laid over white where it is transparent; of 16 bits
// the high 8 count. All of the file is read, so damage anywhere in it is TB_CORRUPT_IMAGE. max_pixels and max_cpu_ms are limits as
// in tb_jpeg_limits; the decoder needs little beside some rows. *resize_ns is about how long it resized, by the clock on the wall.
tb_status* tb_png_resize(const uint8_t* data, size_t size, int64_t max_pixels, int64_t max_cpu_ms, const tb_resize* resize, uint8_t* dst,
                         size_t dst_bytes, int64_t* resize_ns);

// A network's input, count × 3 × height × width in channels-last memory, from count pictures of height × width × 3 bytes one
// after the other: (value / 255 − mean[channel]) / std[channel] in float32 as torchvision computes it, then converted to
// dtype (TB_FLOAT32 or TB_BFLOAT16).
tb_status* tb_tensor_from_rgb(const uint8_t* rgb, size_t rgb_bytes, int64_t count, int64_t height, int64_t width, const float mean[3],
                              const float std[3], tb_dtype dtype, tb_tensor** out);

#ifdef __cplusplus
}
#endif
#endif  // TB_SHIM_H
