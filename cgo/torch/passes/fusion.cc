#include "fusion.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/pass_manager.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

// Its header (torch/csrc/jit/codegen/onednn/interface.h) only comes with builds that have oneDNN's own headers. ARM builds
// lack the symbol too: hence a weak reference, which is null there.
namespace torch::jit::fuser::onednn {
__attribute__((weak)) void fuseGraph(std::shared_ptr<Graph>& graph);
}

namespace tb {

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;

thread_local bool fuse_on_this_thread = false;

const c10::Symbol kHidden = c10::Symbol::fromQualString("vidi::hidden");
const c10::Symbol kGuard = c10::Symbol::fromQualString("vidi::fusion_guard");

// Each node of the block and of those inside it. The function may destroy its node.
template <typename Function>
void each_node(Block& block, const Function& function) {
  for (auto it = block.nodes().begin(); it != block.nodes().end();) {
    Node* node = *it++;
    for (Block* inner : node->blocks()) each_node(*inner, function);
    function(node);
  }
}

Node* renamed(Node* node, c10::Symbol name) {
  Node* other = node->replaceWithNewSymbol(name);
  node->destroy();
  return other;
}

// The fuser takes it for granted that these know all but their tensors when they are compiled.
bool must_be_constant(const Node& node) {
  static const std::unordered_set<std::string> names = {
      "aten::conv2d",     "aten::_convolution", "aten::convolution", "aten::batch_norm",
      "aten::layer_norm", "aten::elu",          "aten::clamp",       "aten::hardtanh",
      "aten::leaky_relu", "aten::softmax",      "aten::_softmax",    "aten::_log_softmax",
      "aten::permute",    "aten::max_pool2d",   "aten::avg_pool2d",  "aten::max_pool2d_with_indices"};
  return names.count(node.kind().toQualString()) != 0;
}

// Numbers that are tensors without axes, sums of two element types, and what was not run while profiling (a branch not taken): the fuser
// gives the output another type than libtorch, or fails.
bool mixes_types(const Node& node) {
  if (node.kind() != c10::aten::add && node.kind() != c10::aten::mul && node.kind() != c10::aten::div) return false;
  const auto first = node.input(0)->type()->cast<c10::TensorType>(), second = node.input(1)->type()->cast<c10::TensorType>();
  if (!first) return false;
  if (!first->scalarType()) return true;
  if (!second) return false;
  if (first->dim() == 0 || second->dim() == 0) return true;
  return first->scalarType() != second->scalarType();
}

// Whether the fuser would read what is not there: a setting that is computed, or the weights of a normalisation without any.
bool misleads_the_fuser(const Node& node) {
  if (mixes_types(node)) return true;
  if (!must_be_constant(node)) return false;
  if (node.kind() == c10::aten::layer_norm && (node.input(2)->mustBeNone() || node.input(3)->mustBeNone())) return true;
  for (const Value* input : node.inputs())
    if (input->node()->kind() != c10::prim::Constant && !input->type()->isSubtypeOf(*c10::TensorType::get())) return true;
  return false;
}

// F.max_pool2d(x, 2): a stride that is not given is the size of the window, which the fuser does not know.
void give_stride(Node& node) {
  const bool pools = node.kind() == c10::aten::max_pool2d || node.kind() == c10::aten::avg_pool2d;
  if (!pools || node.inputs().size() < 3) return;
  const std::optional<torch::jit::IValue> stride = torch::jit::toIValue(node.input(2));
  const bool empty_list = node.input(2)->node()->kind() == c10::prim::ListConstruct && node.input(2)->node()->inputs().empty();
  if (empty_list || (stride && stride->isIntList() && stride->toIntVector().empty())) node.replaceInput(2, node.input(1));
}

// What a tensor was like when a fused kernel was compiled for it.
struct Layout {
  std::vector<int64_t> sizes, strides;
  at::ScalarType type;
  bool opaque;  // in oneDNN's own order, from another fused kernel

  explicit Layout(const at::Tensor& t) : sizes(t.sizes().vec()), type(t.scalar_type()), opaque(t.is_mkldnn()) {
    if (!opaque) strides = t.strides().vec();
  }
  bool fits(const at::Tensor& t) const {
    return t.scalar_type() == type && t.is_mkldnn() == opaque && t.sizes() == at::IntArrayRef(sizes) &&
           (opaque || t.strides() == at::IntArrayRef(strides));
  }
};

// A kernel is compiled for the shapes of its first inputs, and computes with those whatever comes later. libtorch's own guard compares
// with what was seen while it profiled, and lets everything through where that was of several shapes or was not looked at.
struct Guard {
  std::vector<c10::TensorTypePtr> types;  // that libtorch asks for
  std::once_flag compiled;
  std::vector<Layout> layouts;

  bool lets_through(c10::ArrayRef<torch::jit::IValue> inputs) {
    bool opaque = false, right = true;
    for (size_t i = 0; i < inputs.size(); i++) {
      if (!inputs[i].isTensor()) return false;
      const at::Tensor& t = inputs[i].toTensor();
      opaque = opaque || t.is_mkldnn();
      right = right && (t.is_mkldnn() || types[i]->matchTensor(t));
    }
    if (right) {
      std::call_once(compiled, [&] {
        for (const torch::jit::IValue& input : inputs) layouts.emplace_back(input.toTensor());
      });
      for (size_t i = 0; i < inputs.size(); i++) right = right && layouts[i].fits(inputs[i].toTensor());
    }
    TORCH_CHECK(right || !opaque, "The shapes inside this network change with the picture, in a way that its fused kernels cannot follow");
    return right;
  }
};

torch::jit::Operation make_guard(const Node* node) {
  auto guard = std::make_shared<Guard>();
  for (const c10::TypePtr& type : node->tys(torch::jit::attr::types)) guard->types.push_back(type->expect<c10::TensorType>());
  return [guard](Stack& stack) {  // the inputs stay where they are, as outputs
    torch::jit::push(stack, guard->lets_through(torch::jit::last(stack, guard->types.size())));
  };
}

torch::jit::Operation never_run(const Node*) {
  return [](Stack&) { TORCH_CHECK(false, "a hidden operator was run"); };
}

void fuse(std::shared_ptr<Graph>& graph) {
  torch::jit::RemoveProfileNodesAndSpecializeTypes(graph);  // as the fuser does first
  each_node(*graph->block(), [](Node* node) {
    give_stride(*node);
    if (!misleads_the_fuser(*node)) return;
    const std::string name = node->kind().toQualString();
    renamed(node, kHidden)->s_(torch::jit::attr::name, name);
  });
  torch::jit::fuser::onednn::fuseGraph(graph);
  each_node(*graph->block(), [](Node* node) {
    if (node->kind() == c10::prim::oneDNNFusionGuard) {
      renamed(node, kGuard);
      return;
    }
    if (node->kind() != kHidden) return;
    const c10::Symbol name = c10::Symbol::fromQualString(node->s(torch::jit::attr::name));
    node->removeAttribute(torch::jit::attr::name);
    renamed(node, name);
  });
}

}  // namespace

bool has_fuser() { return &torch::jit::fuser::onednn::fuseGraph != nullptr; }

void register_fuser() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (has_fuser()) {
      torch::jit::registerOperator(torch::jit::Operator(kHidden, never_run, c10::AliasAnalysisKind::CONSERVATIVE));
      torch::jit::registerOperator(torch::jit::Operator(kGuard, make_guard, c10::AliasAnalysisKind::CONSERVATIVE));
      torch::jit::registerPostPass([](std::shared_ptr<torch::jit::Graph>& graph) {
        if (fuse_on_this_thread) fuse(graph);
      });
    }
  });
}

FuserGuard::FuserGuard(bool fuse) : before_(fuse_on_this_thread) { fuse_on_this_thread = fuse; }
FuserGuard::~FuserGuard() { fuse_on_this_thread = before_; }

}  // namespace tb
