// CMakeLists.txt compiles this file for CPUs with AVX2 and FMA: 12 of 16 registers hold sums.
#ifdef __x86_64__
#define TB_LANES 8
#define TB_VECTORS 2
#define TB_ROWS 6
#include "winograd_loops.h"

const tb::WinogradLoops* tb::winograd_avx2() {
  static constexpr WinogradLoops loops = {kLanes, kPanel, run};
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &loops : nullptr;
}
#else
#include "winograd.h"
const tb::WinogradLoops* tb::winograd_avx2() { return nullptr; }
#endif
