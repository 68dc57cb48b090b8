#include "ticks.h"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>

#include "budget.h"
#include "nodes.h"

namespace tb {

namespace {

using torch::jit::Block;
using torch::jit::Node;

const c10::Symbol kTick = c10::Symbol::fromQualString("vidi::tick");

torch::jit::Operation make_tick(const Node*) {
  return [](torch::jit::Stack&) {
    if (Budget* budget = Budget::mine()) budget->tick();
  };
}

void begin_with_tick(Block& block) {
  if ((*block.nodes().begin())->kind() != kTick) block.prependNode(block.owningGraph()->create(kTick, 0));
}

}  // namespace

void register_tick() {
  // Conservative: it has an effect, so that no pass drops it, or computes a loop ahead.
  torch::jit::registerOperator(torch::jit::Operator(kTick, make_tick, c10::AliasAnalysisKind::CONSERVATIVE));
}

void add_ticks(torch::jit::Module& module) {
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions())
    if (torch::jit::GraphFunction* code = function == nullptr ? nullptr : torch::jit::tryToGraphFunction(*function))
      code->clear_optimized_graphs();  // copies without ticks, of functions that others have inlined
  const std::shared_ptr<torch::jit::Graph> forward = module.get_method("forward").graph();
  for_each_graph(module, [&](std::shared_ptr<torch::jit::Graph> graph) {
    if (graph != forward) begin_with_tick(*graph->block());
    for_each_node(*graph->block(), [](Node* node) {
      if (node->kind() == c10::prim::Loop) begin_with_tick(*node->blocks()[0]);
    });
  });
}

}  // namespace tb
