// Loops of a model ask at every turn, and functions when they begin, whether the call's time is up (budget.h). Nothing can stop a thread
// inside libtorch from outside.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace tb {

// Registers the operator that asks. Once, before other threads use libtorch.
void register_tick();

// Puts the operator into each loop of the module's functions, and at the beginning of each but forward: a
// comparison that sorts calls itself on the stack of C.
void add_ticks(torch::jit::Module& module);

}  // namespace tb
