// The oneDNN Graph fuser of libtorch's JIT, which is in the x86-64 libraries but off by default.
#pragma once

namespace tb {

// Whether this libtorch has it.
bool has_fuser();

// Registers the fuser as a pass of the JIT's optimiser, once per process: a second registration makes forward throw.
void register_fuser();

}  // namespace tb
