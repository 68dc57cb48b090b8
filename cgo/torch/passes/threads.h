// Threads of a model's own (torch.jit.fork). What a call may cost is counted on its thread alone.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace tb {

// Makes plain calls of the threads that a function starts and waits for itself: their answer is the
// same.
void join_threads(torch::jit::Module& module);

// Throws where threads are left.
void require_no_threads(torch::jit::Module& module);

}  // namespace tb
