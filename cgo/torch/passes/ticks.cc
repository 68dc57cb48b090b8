#include "ticks.h"

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

}  // namespace

void register_tick() {
  // Conservative: it has an effect, so that no pass drops it, or computes a loop ahead.
  torch::jit::registerOperator(torch::jit::Operator(kTick, make_tick, c10::AliasAnalysisKind::CONSERVATIVE));
}

void tick_in_loops(torch::jit::Module& module) {
  for_each_graph(module, [](std::shared_ptr<torch::jit::Graph> graph) {
    for_each_node(*graph->block(), [](Node* node) {
      if (node->kind() != c10::prim::Loop) return;
      Block* body = node->blocks()[0];
      if ((*body->nodes().begin())->kind() != kTick) body->prependNode(body->owningGraph()->create(kTick, 0));
    });
  });
}

}  // namespace tb
