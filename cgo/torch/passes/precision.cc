#include "precision.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace tb {

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

using Names = std::unordered_set<std::string>;

// Sums of products: the layers that have weights. All their inputs must have one element type.
const Names& layers() {
  static const Names names = {"aten::linear", "aten::addmm",  "aten::matmul", "aten::mm",          "aten::bmm",
                              "aten::conv1d", "aten::conv2d", "aten::conv3d", "aten::_convolution"};
  return names;
}

// Means: their outputs are between two numbers of bfloat16 again.
const Names& means() {
  static const Names names = {"aten::mean", "aten::sum", "aten::avg_pool2d", "aten::adaptive_avg_pool1d", "aten::adaptive_avg_pool2d"};
  return names;
}

// Their output has the element type of the first input.
const Names& shapes() {
  static const Names names = {
      "aten::flatten", "aten::view",    "aten::reshape",   "aten::squeeze", "aten::squeeze_",       "aten::unsqueeze", "aten::select",
      "aten::slice",   "aten::permute", "aten::transpose", "aten::t",       "aten::contiguous",     "aten::clone",     "aten::detach",
      "aten::dropout", "aten::to",      "aten::softmax",   "aten::sigmoid", "aten::log_softmax",    "aten::sigmoid_",  "aten::relu",
      "aten::relu_",   "aten::tanh",    "aten::clamp",     "aten::neg",     "aten::batch_norm",     "aten::exp",       "aten::log",
      "aten::div_",    "aten::mul_",    "aten::add_",      "aten::sub_",    "aten::feature_dropout"};
  return names;
}

// Their output has the widest element type of the inputs, or holds the inputs.
const Names& joins() {
  static const Names names = {"aten::add",          "aten::sub",   "aten::mul",           "aten::div",
                              "aten::cat",          "aten::stack", "prim::ListConstruct", "prim::TupleConstruct",
                              "prim::DictConstruct"};
  return names;
}

bool in(const Names& names, const Node& node) { return names.count(node.kind().toQualString()) != 0; }

bool is_constant(const Value& value) { return value.node()->kind() == c10::prim::Constant; }

bool is_tensor(const Value& value) { return value.type()->isSubtypeOf(*c10::TensorType::get()); }

// The operators that give the output, found from there backwards.
class Tail {
 public:
  explicit Tail(Graph& graph) {
    for (Value* output : graph.outputs()) follow(output);
  }

  bool has(Node* node) const { return nodes_.count(node) != 0; }

  // Rounds what other operators use of its outputs: their weights are bfloat16.
  void round_outputs() {
    for (Node* node : nodes_) {
      for (Value* output : node->outputs()) {
        if (!is_tensor(*output)) continue;
        Value* rounded = nullptr;
        const std::vector<torch::jit::Use> uses = output->uses();
        for (const torch::jit::Use& use : uses) {
          if (has(use.user) || use.user->kind() == c10::prim::Return) continue;
          if (rounded == nullptr) rounded = convert(*node->next(), output, at::kBFloat16);
          use.user->replaceInput(use.offset, rounded);
        }
      }
    }
  }

  // Has the operators with which it begins convert their inputs, and the others the weights that are attributes.
  void convert_inputs() {
    for (Node* node : nodes_) {
      const bool first = is_first(*node);
      for (size_t i = 0; i < node->inputs().size(); i++) {
        const Value* input = node->input(i);
        if (is_constant(*input) || !is_tensor(*input)) continue;
        if (first || (i > 0 && input->node()->kind() == c10::prim::GetAttr)) convert_input(*node, i);
      }
    }
  }

 private:
  void follow(const Value* value) {
    Node* node = const_cast<Node*>(value->node());
    if (node->kind() == c10::prim::If) {
      for (Block* branch : node->blocks()) follow(branch->outputs()[value->offset()]);
      return;
    }
    const bool first = is_first(*node), join = in(joins(), *node);
    if (!first && !join && !in(shapes(), *node)) return;
    if (!nodes_.insert(node).second || first) return;
    if (!join) return follow(node->input(0));
    for (const Value* input : node->inputs()) follow(input);
  }

  static bool is_first(const Node& node) { return in(layers(), node) || in(means(), node); }

  static void convert_input(Node& node, size_t i) { node.replaceInput(i, convert(node, node.input(i), at::kFloat)); }

  // The value in another element type, computed before a node.
  static Value* convert(Node& before, Value* value, at::ScalarType wanted) {
    torch::jit::WithInsertPoint here(&before);
    Graph& graph = *before.owningGraph();
    Value *type = graph.insertConstant(wanted), *no = graph.insertConstant(false), *none = graph.insertConstant(torch::jit::IValue());
    Node* to = graph.create(c10::aten::to, {value, type, no, no, none});
    to->copyMetadata(value->node());
    return graph.insertNode(to)->output();
  }

  std::unordered_set<Node*> nodes_;
};

// Unlike torch::jit::Module::to, which also turns index buffers into bfloat16.
void round_attributes(torch::jit::Module& module) {
  at::NoGradGuard no_grad;
  for (at::Tensor parameter : module.parameters())
    if (parameter.is_floating_point()) parameter.set_data(parameter.to(at::kBFloat16));
  for (at::Tensor buffer : module.buffers())
    if (buffer.is_floating_point()) buffer.set_data(buffer.to(at::kBFloat16));
}

// The same for a frozen graph, but for what its tail uses.
void round_constants(Block& block, const Tail& tail) {
  for (Node* node : block.nodes()) {
    for (Block* inner : node->blocks()) round_constants(*inner, tail);
    if (node->kind() != c10::prim::Constant || !is_tensor(*node->output())) continue;
    at::Tensor value = torch::jit::toIValue(node->output())->toTensor();
    if (!value.is_floating_point()) continue;
    Value* rounded = nullptr;
    const std::vector<torch::jit::Use> uses = node->output()->uses();
    for (const torch::jit::Use& use : uses) {
      if (tail.has(use.user)) continue;
      if (rounded == nullptr) {
        torch::jit::WithInsertPoint here(node);
        rounded = node->owningGraph()->insertConstant(value.to(at::kBFloat16));
      }
      use.user->replaceInput(use.offset, rounded);
    }
  }
}

}  // namespace

void use_bfloat16(torch::jit::Module& module, bool frozen) {
  std::shared_ptr<Graph> graph = module.get_method("forward").graph();
  if (!frozen) torch::jit::Inline(*graph);  // the last layer is another module's
  Tail tail(*graph);
  tail.round_outputs();
  tail.convert_inputs();
  if (frozen) {
    round_constants(*graph->block(), tail);
  } else {
    round_attributes(module);
  }
}

}  // namespace tb
