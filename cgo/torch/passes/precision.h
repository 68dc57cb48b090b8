// bfloat16: which weights are rounded to it, and what is computed in float32 all the same.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace tb {

// Rounds the weights of the module to bfloat16: the constants of its graph if it is frozen, else its parameters and buffers.
//
// What gives the output stays in float32: the operators from the last layer with weights (or from the last mean over positions, where
// one comes after it) to the end. Classes whose logits lie within one step of bfloat16 would be exact ties otherwise, and the first of
// them would win. Where an operator is not known the output stays bfloat16.
void use_bfloat16(torch::jit::Module& module, bool frozen);

}  // namespace tb
