// The code of a TorchScript module, as passes see it that must miss nothing.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <functional>
#include <memory>

namespace tb {

// Calls f with the graph of each function that the module's archive defines, called or not.
void for_each_graph(torch::jit::Module& module, const std::function<void(std::shared_ptr<torch::jit::Graph>)>& f);

// Calls f with each node of the block, and of the blocks and graphs within. f may insert nodes
// behind the one that it gets, or at the beginning of its blocks.
void for_each_node(torch::jit::Block& block, const std::function<void(torch::jit::Node*)>& f);

}  // namespace tb
