#include "ticks.h"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>

#include "budget.h"

namespace tb {

namespace {

using torch::jit::Block;
using torch::jit::Node;

const c10::Symbol kTick = c10::Symbol::fromQualString("vidi::tick");

void visit(Block& block) {
  for (Node* node : block.nodes()) {
    require(node->kind() != c10::prim::fork && node->kind() != c10::prim::awaitable, TB_BAD_MODEL,
            "the model starts threads of its own (torch.jit.fork), which a classifier does not need; export it without");
    for (Block* inner : node->blocks()) visit(*inner);
    for (c10::Symbol name : node->attributeNames())
      if (node->kindOf(name) == torch::jit::AttributeKind::g) visit(*node->g(name)->block());
    if (node->kind() != c10::prim::Loop) continue;
    Block* body = node->blocks()[0];
    if ((*body->nodes().begin())->kind() != kTick) body->prependNode(body->owningGraph()->create(kTick, 0));
  }
}

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
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) {
    if (function == nullptr) continue;  // freezing has removed it
    torch::jit::GraphFunction* code = torch::jit::tryToGraphFunction(*function);
    if (code == nullptr) continue;
    visit(*code->graph()->block());
  }
}

}  // namespace tb
