#include "quantised.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/quantized/PackedParams.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/runtime/custom_operator.h>
#include <torch/custom_class.h>

#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tb {

namespace {

using torch::jit::IValue;
using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;

constexpr const char* kOperator = "vidi::quantized_convolution_add";

// The output of an operator of libtorch that Python calls torch.ops.quantized.….
IValue call(const char* name, Stack stack, const char* overload = "") {
  c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).callBoxed(stack);
  return std::move(stack.at(0));
}

// What libtorch wraps an object of C++ in; NULL for anything else.
torch::jit::CustomClassHolder* object_in(const IValue& value, c10::intrusive_ptr<torch::jit::CustomClassHolder>& owner) {
  if (!value.isObject() || value.toObjectRef().slots().size() != 1 || !value.toObjectRef().getSlot(0).isCapsule()) return nullptr;
  owner = value.toObjectRef().getSlot(0).toCapsule();
  return owner.get();
}

// A convolution that can add. Only this file makes one, unlike packed weights, which a model's file can exchange; so its shape is what it
// says.
struct Convolution : torch::jit::CustomClassHolder {
  IValue packed;
  std::vector<int64_t> filters, stride, padding, dilation;

  Convolution(IValue weights, ConvPackedParamsBase<2>& p)
      : packed(std::move(weights)),
        filters(std::get<0>(p.unpack()).sizes().vec()),
        stride(p.stride().vec()),
        padding(p.padding().vec()),
        dilation(p.dilation().vec()) {}

  // Of the output for x, which has four dimensions.
  std::vector<int64_t> shape(const at::Tensor& x) const {
    std::vector<int64_t> shape = {x.size(0), filters[0]};
    for (int i : {0, 1}) {
      const int64_t reach = dilation[i] * (filters[2 + i] - 1) + 1;
      shape.push_back((x.size(2 + i) + 2 * padding[i] - reach) / stride[i] + 1);
    }
    return shape;
  }
};

// oneDNN writes an output of its size to the addend, however large that is, and a graph does not tell.
bool can_add_in_place(const Convolution& convolution, const at::Tensor& x, const at::Tensor& addend) {
  auto usual = [](const at::Tensor& t) { return t.dim() == 4 && t.scalar_type() == at::kQUInt8 && t.qscheme() == at::kPerTensorAffine; };
  return usual(x) && usual(addend) && !addend.is_alias_of(x) && addend.sizes() == at::IntArrayRef(convolution.shape(x));
}

void convolution_add(Stack& stack) {
  const std::vector<IValue> in = torch::jit::pop(stack, 8);
  const at::Tensor x = in[0].toTensor(), addend = in[1].toTensor();
  c10::intrusive_ptr<torch::jit::CustomClassHolder> owner;
  const auto* convolution = dynamic_cast<Convolution*>(object_in(in[2], owner));
  TORCH_CHECK(convolution != nullptr, kOperator, " needs a convolution");
  const bool relu = in[7].toBool();
  if (can_add_in_place(*convolution, x, addend)) {
    torch::jit::push(stack,
                     call(relu ? "quantized::conv2d_add_relu" : "quantized::conv2d_add", {x, addend, convolution->packed, in[5], in[6]}));
    return;
  }
  // As it was in the file, but that either side may be the one that is stretched.
  at::Tensor first = call("quantized::conv2d", {x, convolution->packed, in[3], in[4]}, "new").toTensor(), second = addend;
  if (first.numel() < second.numel()) std::swap(first, second);
  torch::jit::push(stack, call(relu ? "quantized::add_relu" : "quantized::add", {first, second, in[5], in[6]}));
}

// The constant for a graph; nothing unless `packed` is weights of the usual kind.
std::optional<IValue> convolution_of(const IValue& packed) {
  c10::intrusive_ptr<torch::jit::CustomClassHolder> owner;
  auto* weights = dynamic_cast<ConvPackedParamsBase<2>*>(object_in(packed, owner));
  if (weights == nullptr || weights->transpose()) return std::nullopt;
  return IValue(c10::make_intrusive<Convolution>(packed, *weights));
}

bool is(const Node& node, const char* name) { return node.kind() == c10::Symbol::fromQualString(name); }

bool is_convolution(const Node& node) { return is(node, "quantized::conv2d") && node.inputs().size() == 4; }

bool is_sum(const Node& node) {  // other overloads, with more inputs, write to one of them
  return (is(node, "quantized::add") || is(node, "quantized::add_relu")) && node.inputs().size() == 4;
}

// Reads its quantised inputs, and its output shows no part of them.
bool only_reads(const Node& node) { return is_convolution(node) || is_sum(node) || is(node, "quantized::conv2d_relu"); }

// Its output is memory that no other value shows, but perhaps one that nobody looks at any more.
bool makes_new(const Node& node) { return only_reads(node) || is(node, kOperator) || is(node, "aten::max_pool2d"); }

// Whether the convolution would find its input as it is if it ran where `sum` is.
bool can_wait(const Node* convolution, const Node* sum) {
  for (const Node* node = convolution->next(); node != sum; node = node->next()) {
    const bool writes_elsewhere = is(*node, kOperator) && node->input(1) != convolution->input(0);
    const bool writes_nowhere = !is(*node, kOperator) && makes_new(*node);
    if (!writes_nowhere && !writes_elsewhere && node->kind() != c10::prim::Constant) return false;
  }
  return true;
}

// Whether `sum`, with the convolution in it, may write to `addend`: all others have read what that was.
bool is_spent(const Value* addend, const Node* sum, const Node* convolution) {
  if (!makes_new(*addend->node()) || addend->node()->owningBlock() != sum->owningBlock()) return false;
  for (const torch::jit::Use& use : addend->uses()) {
    if (use.user == sum) continue;
    if (use.user == convolution || use.user->owningBlock() != sum->owningBlock()) return false;
    if (!only_reads(*use.user) || !use.user->isBefore(sum)) return false;
  }
  return true;
}

// Which side of an addition is a convolution that can take it in; nothing if none is.
std::optional<int> convolution_in(const Node* sum) {
  for (int side : {0, 1}) {
    const Value* addend = sum->input(1 - side);
    const Node* convolution = sum->input(side)->node();
    if (!is_convolution(*convolution) || convolution->owningBlock() != sum->owningBlock()) continue;
    if (convolution->output()->uses().size() == 1 && is_spent(addend, sum, convolution) && can_wait(convolution, sum)) return side;
  }
  return std::nullopt;
}

void find(torch::jit::Block& block, std::vector<Node*>& sums) {
  for (Node* node : block.nodes()) {
    for (torch::jit::Block* inner : node->blocks()) find(*inner, sums);
    if (is_sum(*node)) sums.push_back(node);
  }
}

// The weights that `packed` holds, packed anew; nothing for what is not known here.
std::optional<IValue> repacked(const IValue& packed) {
  c10::intrusive_ptr<torch::jit::CustomClassHolder> owner;
  torch::jit::CustomClassHolder* object = object_in(packed, owner);
  if (auto* sum = dynamic_cast<Convolution*>(object)) {
    auto again = c10::make_intrusive<Convolution>(*sum);  // of the same shape
    again->packed = *repacked(sum->packed);
    return IValue(std::move(again));
  }
  if (auto* linear = dynamic_cast<LinearPackedParamsBase*>(object)) {
    auto [weight, bias] = linear->unpack();
    if (!weight.is_quantized()) return std::nullopt;  // float16
    return call("quantized::linear_prepack", {weight, bias});
  }
  auto* convolution = dynamic_cast<ConvPackedParamsBase<2>*>(object);
  if (convolution == nullptr || convolution->transpose()) return std::nullopt;
  auto [weight, bias] = convolution->unpack();
  return call("quantized::conv2d_prepack",
              {weight, bias, convolution->stride(), convolution->padding(), convolution->dilation(), convolution->groups()});
}

using Repacked = std::unordered_map<const void*, std::optional<IValue>>;  // by the object that was

int repack(torch::jit::Block& block, Repacked& done) {
  int count = 0;
  for (auto it = block.nodes().begin(); it != block.nodes().end();) {
    Node* node = *it++;  // which may go
    for (torch::jit::Block* inner : node->blocks()) count += repack(*inner, done);
    if (node->kind() != c10::prim::Constant || node->output()->type()->kind() != c10::TypeKind::ClassType) continue;
    const IValue packed = *torch::jit::toIValue(node->output());
    auto [known, is_new] = done.try_emplace(packed.internalToPointer());
    if (is_new) known->second = repacked(packed);
    if (!known->second) continue;
    torch::jit::WithInsertPoint here(node);
    node->output()->replaceAllUsesWith(node->owningGraph()->insertConstant(*known->second));
    node->destroy();
    count++;
  }
  return count;
}

bool in_onednn() { return at::globalContext().qEngine() == at::QEngine::ONEDNN; }

}  // namespace

int fuse_quantised_additions(const std::shared_ptr<torch::jit::Graph>& graph) {
  if (!in_onednn()) return 0;
  std::vector<Node*> sums;
  find(*graph->block(), sums);
  int count = 0;
  for (Node* sum : sums) {
    const std::optional<int> side = convolution_in(sum);
    if (!side) continue;
    Node* convolution = sum->input(*side)->node();
    std::optional<IValue> packed = torch::jit::toIValue(convolution->input(1));
    // libtorch remembers one kind of work for packed weights, and does not tell one that adds from one that does not.
    if (packed && convolution->input(1)->uses().size() > 1) packed = repacked(*packed);
    const std::optional<IValue> adding = packed ? convolution_of(*packed) : std::nullopt;
    if (!adding) continue;
    torch::jit::WithInsertPoint here(sum);
    Node* fused = graph->insertNode(
        graph->create(c10::Symbol::fromQualString(kOperator),
                      {convolution->input(0), sum->input(1 - *side), graph->insertConstant(*adding), convolution->input(2),
                       convolution->input(3), sum->input(2), sum->input(3), graph->insertConstant(is(*sum, "quantized::add_relu"))}));
    fused->copyMetadata(convolution);
    sum->output()->replaceAllUsesWith(fused->output());
    sum->destroy();
    convolution->destroy();
    count++;
  }
  torch::jit::EliminateDeadCode(graph);  // weights that only such convolutions used
  return count;
}

int repack_quantised_weights(torch::jit::Graph& graph) {
  Repacked done;
  return in_onednn() ? repack(*graph.block(), done) : 0;
}

void register_quantised_operator() {
  static std::once_flag once;
  std::call_once(once, [] {
    static const torch::class_<Convolution> known("vidi", "QuantizedConvolution");
    torch::jit::registerOperator(torch::jit::Operator(
        std::string(kOperator) +
            "(Tensor x, Tensor(a!) addend, __torch__.torch.classes.vidi.QuantizedConvolution convolution, float convolution_scale, "
            "int convolution_zero_point, float scale, int zero_point, bool relu) -> Tensor(a!)",
        convolution_add, c10::AliasAnalysisKind::FROM_SCHEMA));
  });
}

}  // namespace tb
