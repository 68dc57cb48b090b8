// The oneDNN Graph fuser of libtorch's JIT, which is in the x86-64 libraries but off by default.
#pragma once

namespace tb {

// Whether this libtorch has it.
bool has_fuser();

// Registers the fuser as a pass of the JIT's optimiser, once per process: a second registration makes forward throw. The pass
// then sees every graph of the process, and leaves alone those that are compiled outside a FuserGuard(true).
void register_fuser();

// Whether graphs that this thread compiles during its life are fused.
class FuserGuard {
 public:
  explicit FuserGuard(bool fuse);
  ~FuserGuard();
  FuserGuard(const FuserGuard&) = delete;
  FuserGuard& operator=(const FuserGuard&) = delete;

 private:
  bool before_;
};

}  // namespace tb
