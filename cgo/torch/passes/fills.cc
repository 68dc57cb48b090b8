#include "fills.h"

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <cstring>
#include <string>
#include <unordered_set>

#include "nodes.h"

namespace tb {

namespace {

using torch::jit::Node;

// All operators of service/operators/allowed.txt whose result has memory that nothing was written
// to. Those that change the size of a tensor are not on that list.
bool leaves_memory_unfilled(const Node& node) {
  static const auto& names = *new std::unordered_set<std::string>{
      "aten::empty", "aten::empty_like", "aten::empty_permuted", "aten::new_empty", "aten::new_empty_strided", "aten::empty_strided",
  };
  return names.count(node.kind().toQualString()) > 0;
}

// All of the tensor's memory, and not only its elements: strides can leave gaps between them that
// other views reach.
torch::jit::Operation make_fill(const Node*) {
  return [](torch::jit::Stack& stack) {
    const at::Tensor& tensor = stack.back().toTensor();
    if (!tensor.has_storage()) return;
    const c10::Storage& storage = tensor.storage();
    if (storage.device().is_cpu() && storage.mutable_data() != nullptr) std::memset(storage.mutable_data(), 0, storage.nbytes());
  };
}

}  // namespace

void register_fill() {
  torch::jit::registerOperator(
      torch::jit::Operator("vidi::fill(Tensor(a!) self) -> Tensor(a!)", make_fill, c10::AliasAnalysisKind::FROM_SCHEMA));
}

void fill_new_tensors(torch::jit::Module& module) {
  for_each_graph(module, [](std::shared_ptr<torch::jit::Graph> graph) {
    for_each_node(*graph->block(), [](Node* node) {
      if (!leaves_memory_unfilled(*node)) return;
      Node* fill = node->owningGraph()->create(c10::Symbol::fromQualString("vidi::fill"), {node->output()});
      fill->output()->setType(node->output()->type());
      fill->insertAfter(node);
      node->output()->replaceAllUsesAfterNodeWith(fill, fill->output());
    });
  });
}

}  // namespace tb
