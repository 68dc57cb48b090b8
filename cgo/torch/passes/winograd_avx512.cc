// CMakeLists.txt compiles this file for CPUs with AVX-512: 24 of 32 registers hold sums.
#ifdef __x86_64__
#define TB_LANES 16
#define TB_VECTORS 2
#define TB_ROWS 12
#include "winograd_loops.h"

const tb::WinogradLoops* tb::winograd_avx512() {
  static constexpr WinogradLoops loops = {kLanes, kPanel, run};
  return __builtin_cpu_supports("avx512f") ? &loops : nullptr;
}
#else
#include "winograd.h"
const tb::WinogradLoops* tb::winograd_avx512() { return nullptr; }
#endif
