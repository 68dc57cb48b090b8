#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/InferenceMode.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <torch/csrc/api/include/torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "allocator.h"
#include "convolution.h"
#include "failures.h"
#include "fills.h"
#include "fusion.h"
#include "quantised.h"
#include "ticks.h"

namespace {

void init_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Before any module is loaded or runs: libtorch's lists of passes and of classes have no lock.
    tb::register_fuser();
    tb::register_quantised_operator();
    tb::register_fill();
    tb::register_tick();
    tb::install_allocator();
    // Inter-op threads are for TorchScript's fork(), which traced classifiers do not use; they would only sit there.
    at::set_num_interop_threads(1);
    // Quantised models pack their weights for one engine when they are loaded. oneDNN's kernels are fast on every x86-64; FBGEMM,
    // which the engine called X86 takes for depthwise layers and without VNNI, makes EfficientNet-Lite0 eight times slower.
    // Elsewhere (ARM) the default stays. Only x86-64 builds have X86, so it tells them apart.
    const auto& engines = at::globalContext().supportedQEngines();
    auto has = [&engines](at::QEngine engine) { return std::find(engines.begin(), engines.end(), engine) != engines.end(); };
    if (has(at::QEngine::X86)) at::globalContext().setQEngine(has(at::QEngine::ONEDNN) ? at::QEngine::ONEDNN : at::QEngine::X86);
  });
}

// Drops the resident pages of libtorch's segments that nobody can have written to. They are the file's, which holds them for next time.
int drop_constant_pages(const dl_phdr_info& library) {
  if (std::strstr(library.dlpi_name, "/libtorch_cpu.so") == nullptr) return 0;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < library.dlpi_phnum; i++) {
    const auto& segment = library.dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    // Whole pages only: a neighbour may share those at the ends.
    const uintptr_t begin = (library.dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    const uintptr_t end = (library.dlpi_addr + segment.p_vaddr + segment.p_memsz) / page * page;
    // It is only worth memory, so that a refusal is no error.
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 1;  // ends the walk
}

bool is_intel() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

}  // namespace

extern "C" {

vidi_status* tb_runtime_init(tb_runtime* out) {
  return tb::guarded(VIDI_UNAVAILABLE, [&] {
    tb::require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    init_once();
    *out = {};
    out->abi_version = TB_ABI_VERSION;
    out->has_fuser = tb::has_fuser();
    out->has_amx = at::cpu::is_amx_tile_supported();
    out->has_native_bf16 = at::cpu::is_avx512_bf16_supported() || at::cpu::is_amx_tile_supported();
    // Intel's AVX-512 multiplies as many pairs of bfloat16 as single floats, and rounds besides: without AMX (masked by a hypervisor, say)
    // ResNet-18 takes 42 ms in bf16 and 21 in fp32. On AMD's EPYC it took 17 and 32.
    out->has_fast_bf16 = out->has_amx || (out->has_native_bf16 && !is_intel());
    out->has_vnni = at::cpu::is_avx512_vnni_supported();
    std::snprintf(out->torch_version, sizeof(out->torch_version), "%s", TORCH_VERSION);
    std::snprintf(out->cpu_capability, sizeof(out->cpu_capability), "%s", at::get_cpu_capability().c_str());
  });
}

vidi_status* tb_runtime_time_convolution(int32_t dtype, double* milliseconds) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    tb::require(milliseconds != nullptr, VIDI_INVALID_ARGUMENT, "milliseconds is NULL");
    tb::require(dtype == TB_FLOAT32 || dtype == TB_BFLOAT16, VIDI_INVALID_ARGUMENT, "the element type is float32 or bfloat16");
    c10::InferenceMode guard;
    auto ones = [dtype](at::IntArrayRef shape) {
      return at::ones(shape, at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype))).contiguous(at::MemoryFormat::ChannelsLast);
    };
    at::Tensor input = ones({1, 64, 56, 56}), weight = ones({64, 64, 3, 3}), bias = ones({1, 1, 1, 64}).view(64);
    at::Tensor transformed = tb::transform_weights(weight);  // undefined in bfloat16
    double best = INFINITY;
    for (int run = 0; run < 8; run++) {
      auto begun = std::chrono::steady_clock::now();
      if (transformed.defined()) {
        tb::convolve(input, transformed, bias, {}, false);
      } else {
        at::mkldnn_convolution(input, weight, bias, {1, 1}, {1, 1}, {1, 1}, 1);
      }
      best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    }
    *milliseconds = best;
  });
}

vidi_status* tb_thread_set_count(int32_t n) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    tb::require(n >= 1 && n <= 1024, VIDI_INVALID_ARGUMENT, "the number of threads is 1 to 1024");
    // ATen sets a thread's count lazily, from the last one set anywhere: asking first makes that happen now, so that it
    // cannot overwrite what is set below.
    at::get_num_threads();
    at::set_num_threads(n);
  });
}

void tb_memory_trim(void) {
  tb::trim_allocator();
  malloc_trim(0);
  dl_iterate_phdr([](dl_phdr_info* library, size_t, void*) { return drop_constant_pages(*library); }, nullptr);
}

}  // extern "C"
