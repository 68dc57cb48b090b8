// Loops of a model ask at every turn whether the call's time is up (budget.h). Nothing can stop a thread inside libtorch from outside.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace tb {

// Registers the operator that asks. Once, before other threads use libtorch.
void register_tick();

// Puts the operator into each loop of the module's functions. It throws where a function starts threads of its own (torch.jit.fork) and
// freezing has not made plain calls of them: budgets are their thread's.
void tick_in_loops(torch::jit::Module& module);

}  // namespace tb
