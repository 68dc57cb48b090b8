// Tensors that a model makes without values, as torch.empty does, would have those of somebody
// else's picture: memory is used again and again.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace tb {

// Registers the operator that fills. Once, before other threads use libtorch.
void register_fill();

// Makes the module's functions fill such tensors with zeros. It must come before any pass that
// computes constants ahead.
void fill_new_tensors(torch::jit::Module& module);

}  // namespace tb
