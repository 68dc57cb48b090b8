// Loops of a model ask at every turn whether the call's time is up (budget.h). Nothing can stop a thread inside libtorch from outside.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace tb {

// Registers the operator that asks. Once, before other threads use libtorch.
void register_tick();

// Puts the operator into each loop of the module's functions.
void tick_in_loops(torch::jit::Module& module);

}  // namespace tb
