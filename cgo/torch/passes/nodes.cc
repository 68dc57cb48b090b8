#include "nodes.h"

#include <torch/csrc/jit/api/function_impl.h>

namespace tb {

void for_each_graph(torch::jit::Module& module, const std::function<void(std::shared_ptr<torch::jit::Graph>)>& f) {
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) {
    if (function == nullptr) continue;  // freezing has removed it
    if (torch::jit::GraphFunction* code = torch::jit::tryToGraphFunction(*function)) f(code->graph());
  }
}

void for_each_node(torch::jit::Block& block, const std::function<void(torch::jit::Node*)>& f) {
  for (torch::jit::Node* node : block.nodes()) {
    f(node);
    for (torch::jit::Block* inner : node->blocks()) for_each_node(*inner, f);
    for (c10::Symbol name : node->attributeNames())
      if (node->kindOf(name) == torch::jit::AttributeKind::g) for_each_node(*node->g(name)->block(), f);
  }
}

}  // namespace tb
