#include "callstack.h"

#include <torch/csrc/jit/ir/scope.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace tb {

namespace {

using torch::jit::Function;
using torch::jit::InlinedCallStack;
using torch::jit::InlinedCallStackPtr;

class Replacement {
 public:
  explicit Replacement(torch::jit::CompilationUnit& unit) : unit_(unit) {}

  void visit(torch::jit::Block& block) {
    visit(*block.param_node());
    for (torch::jit::Node* node : block.nodes()) visit(*node);
    visit(*block.return_node());
  }

 private:
  void visit(torch::jit::Node& node) {
    if (std::optional<InlinedCallStackPtr> stack = node.callstack(); stack && *stack) node.setCallStack(replaced(*stack));
    for (torch::jit::Block* inner : node.blocks()) visit(*inner);
    for (c10::Symbol name : node.attributeNames()) {
      if (node.kindOf(name) == torch::jit::AttributeKind::g) visit(*node.g(name)->block());
      if (node.kindOf(name) != torch::jit::AttributeKind::gs) continue;
      for (const std::shared_ptr<torch::jit::Graph>& graph : node.gs(name)) visit(*graph->block());
    }
  }

  // Stacks share their ends, and so do the new ones. Never follows function(), which may be gone; the name is a copy.
  InlinedCallStackPtr replaced(const InlinedCallStackPtr& stack) {
    if (auto known = done_.find(stack.get()); known != done_.end()) return known->second.second;
    Function* caller = stand_in(stack->function_name());
    std::optional<InlinedCallStackPtr> callee = stack->callee();
    InlinedCallStackPtr made = callee && *callee ? c10::make_intrusive<InlinedCallStack>(replaced(*callee), caller, stack->source_range())
                                                 : c10::make_intrusive<InlinedCallStack>(caller, stack->source_range());
    done_.emplace(stack.get(), std::pair(stack, made));
    return made;
  }

  // A function that does nothing and has the name.
  Function* stand_in(const std::string& name) {
    Function*& known = stand_ins_[name];
    if (known == nullptr) {
      const c10::QualifiedName full(c10::QualifiedName("__vidi__.inlined"), name.empty() ? "unnamed" : name);
      known = unit_.create_function(full, std::make_shared<torch::jit::Graph>(), /*shouldMangle=*/true);
    }
    return known;
  }

  torch::jit::CompilationUnit& unit_;
  std::unordered_map<std::string, Function*> stand_ins_;
  // By the old stack, which is kept so that no new one gets its address.
  std::unordered_map<const InlinedCallStack*, std::pair<InlinedCallStackPtr, InlinedCallStackPtr>> done_;
};

}  // namespace

void keep_call_stacks(torch::jit::Graph& graph, torch::jit::CompilationUnit& unit) { Replacement(unit).visit(*graph.block()); }

}  // namespace tb
