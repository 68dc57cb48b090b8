// Gives the 3×3 convolutions of a network to Winograd's loops (winograd.h), which take half as long as oneDNN's.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <memory>

namespace tb {

// Rewrites, in a frozen float32 graph, each 3×3 convolution with stride 1 and a border of one whose channels fit the CPU's loops,
// together with an addition and a ReLU that follow it and see nothing else of it. Their weights are kept transformed, 16/9 of the
// size, and instead of those in the graph. Returns how many there were.
int use_winograd(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace tb
