#include "convolution.h"

#include <ATen/Parallel.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/remove_mutation.h>
#include <torch/csrc/jit/runtime/custom_operator.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <vector>

#include "allocator.h"
#include "winograd.h"

// From the OpenMP library that libtorch brings. A `#pragma omp`, and with it at::parallel_for, would have the linker look for one
// itself, and a second library is a second pool of threads. Hence a weak reference, which is null if libtorch was built without.
extern "C" __attribute__((weak)) void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);

namespace tb {

namespace {

using torch::jit::Node;
using torch::jit::Value;

constexpr const char* kOperator = "vidi::convolution_3x3";

at::Tensor channels_last(const at::Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

// A convolution cut into pieces, which go to whichever thread is free: virtual cores are now slower, now faster. Pieces of the
// same tiles transform the input each for itself, which costs less than waiting for each other.
struct Pieces {
  const WinogradLoops& loops;
  const WinogradCall& call;
  int64_t tiles, panels;   // in all
  int64_t across, groups;  // pieces: of up to kWinogradTiles tiles, and of panels; of even sizes, since each reads all of its weights
  float* scratch;          // one for each thread
  int64_t scratch_size;
  std::atomic<int64_t> next_piece{0}, next_thread{0};

  // In each thread.
  void work() {
    float* const mine = scratch + next_thread++ * scratch_size;
    for (int64_t piece; (piece = next_piece++) < across * groups;) {
      const int64_t part = piece / groups, group = piece % groups;
      loops.run(call, tiles * part / across, tiles * (part + 1) / across, panels * group / groups, panels * (group + 1) / groups, mine);
    }
  }
};

void run(const WinogradLoops& loops, const WinogradCall& call) {
  const int64_t tiles = winograd_tiles(call), panels = call.out / loops.panel;
  const int64_t across = (tiles + kWinogradTiles - 1) / kWinogradTiles;
  const int64_t threads = GOMP_parallel == nullptr || at::in_parallel_region() ? 1 : at::get_num_threads();
  // Three pieces or more for each thread even out what they wait for at the end.
  const int64_t groups = threads == 1 || across == 0 ? 1 : std::clamp<int64_t>((3 * threads + across - 1) / across, 1, panels);
  const int64_t scratch_size = (winograd_scratch(loops, call.in) + 15) / 16 * 16;  // threads share no cache line
  at::Tensor scratch = at::empty({threads * scratch_size}, at::kFloat);
  Pieces pieces{loops, call, tiles, panels, across, groups, scratch.mutable_data_ptr<float>(), scratch_size};
  if (threads == 1) return pieces.work();
  GOMP_parallel([](void* data) { static_cast<Pieces*>(data)->work(); }, &pieces, static_cast<unsigned>(threads), 0);
}

void register_operator() {
  static std::once_flag once;
  std::call_once(once, [] {
    torch::jit::registerOperator(torch::jit::Operator(
        std::string(kOperator) + "(Tensor x, Tensor weights, Tensor bias, Tensor? residual, bool relu) -> Tensor",
        [](torch::jit::Stack& stack) {
          at::Tensor y = convolve(torch::jit::peek(stack, 0, 5).toTensor(), torch::jit::peek(stack, 1, 5).toTensor(),
                                  torch::jit::peek(stack, 2, 5).toTensor(), torch::jit::peek(stack, 3, 5).toOptional<at::Tensor>(),
                                  torch::jit::peek(stack, 4, 5).toBool());
          torch::jit::drop(stack, 5);
          torch::jit::push(stack, std::move(y));
        },
        c10::AliasAnalysisKind::FROM_SCHEMA));
  });
}

std::optional<std::vector<int64_t>> integers(const Value* value) {
  std::optional<torch::jit::IValue> v = torch::jit::toIValue(value);
  if (!v || !v->isIntList()) return std::nullopt;
  std::vector<int64_t> list = v->toIntVector();
  if (list.size() == 1) list.push_back(list[0]);  // for both directions
  return list;
}

bool fits(const at::Tensor& filters) {
  const WinogradLoops* loops = winograd_loops();
  return loops != nullptr && filters.scalar_type() == at::kFloat && filters.dim() == 4 && filters.size(2) == 3 && filters.size(3) == 3 &&
         winograd_fits(*loops, filters.size(1), filters.size(0));
}

// Of a convolution that the loops can do.
struct Constants {
  at::Tensor filters, bias;
};

bool is_convolution(const Node& node) {
  return node.kind() == c10::aten::_convolution ||
         node.matches(
             "aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1, SymInt[2] padding=0, "
             "SymInt[2] dilation=1, SymInt groups=1) -> Tensor");
}

std::optional<Constants> constants_of(const Node& node) {
  const bool traced = node.kind() == c10::aten::_convolution;
  const std::vector<int64_t> ones = {1, 1}, zeros = {0, 0};
  if (integers(node.input(3)) != ones || integers(node.input(4)) != ones || integers(node.input(5)) != ones) return std::nullopt;
  if (traced && (torch::jit::constant_as<bool>(node.input(6)).value_or(true) || integers(node.input(7)) != zeros)) return std::nullopt;
  if (torch::jit::constant_as<int64_t>(node.input(traced ? 8 : 6)) != 1) return std::nullopt;
  const std::optional<at::Tensor> filters = torch::jit::constant_as<at::Tensor>(node.input(1));
  if (!filters || !fits(*filters)) return std::nullopt;
  at::Tensor bias;
  if (node.input(2)->mustBeNone()) {
    bias = at::zeros({filters->size(0)});
  } else if (std::optional<at::Tensor> given = torch::jit::constant_as<at::Tensor>(node.input(2));
             given && given->scalar_type() == at::kFloat && given->sizes() == at::IntArrayRef(filters->size(0))) {
    bias = given->contiguous();
  } else {
    return std::nullopt;
  }
  return Constants{*filters, std::move(bias)};
}

// The node that uses `value`, if it is the only one and in the same block.
Node* only_user(const Value* value) {
  if (value->uses().size() != 1) return nullptr;
  Node* user = value->uses()[0].user;
  return user->owningBlock() == value->node()->owningBlock() ? user : nullptr;
}

// A convolution with what follows it and sees nothing else of it; NULL where there is no such thing.
struct Match {
  Node* convolution = nullptr;
  Constants constants;
  Node* add = nullptr;
  Node* relu = nullptr;
};

// `adds` are those that another convolution has taken: two that are added to each other both end there.
void find(torch::jit::Block& block, const torch::jit::AliasDb& aliases, std::unordered_set<const Node*>& adds, std::vector<Match>& found) {
  // What is written to elsewhere may be another thing by the time of the last node that is replaced.
  auto steady = [&aliases](const Value* value) { return !aliases.hasWriters(value); };
  for (Node* node : block.nodes()) {
    for (torch::jit::Block* inner : node->blocks()) find(*inner, aliases, adds, found);
    if (!is_convolution(*node) || !steady(node->input(0)) || !steady(node->output())) continue;
    std::optional<Constants> constants = constants_of(*node);
    if (!constants) continue;
    Match match;
    match.convolution = node;
    match.constants = *constants;
    const Value* last = node->output();
    if (Node* user = only_user(last);
        user != nullptr && user->matches("aten::add(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor") &&
        torch::jit::constant_as<at::Scalar>(user->input(2)).value_or(0).equal(1) && user->input(0) != user->input(1) &&
        steady(user->input(0)) && steady(user->input(1)) && steady(user->output()) && adds.insert(user).second) {
      match.add = user;
      last = user->output();
    }
    if (Node* user = only_user(last); user != nullptr && user->kind() == c10::aten::relu && steady(user->output())) match.relu = user;
    found.push_back(std::move(match));
  }
}

void replace(torch::jit::Graph& graph, const Match& match) {
  Node* last = match.relu != nullptr ? match.relu : match.add != nullptr ? match.add : match.convolution;
  torch::jit::WithInsertPoint here(last);
  const Value* sums = match.convolution->output();
  Value* addend = match.add == nullptr ? graph.insertConstant(torch::jit::IValue()) : match.add->input(match.add->input(0) == sums ? 1 : 0);
  Node* replacement = graph.create(c10::Symbol::fromQualString(kOperator),
                                   {match.convolution->input(0), graph.insertConstant(transform_weights(match.constants.filters)),
                                    graph.insertConstant(match.constants.bias), addend, graph.insertConstant(match.relu != nullptr)});
  replacement->copyMetadata(match.convolution);
  graph.insertNode(replacement);
  last->output()->replaceAllUsesWith(replacement->output());
  Node* filters = match.convolution->input(1)->node();
  for (Node* node : {match.relu, match.add, match.convolution})
    if (node != nullptr) node->destroy();
  if (!filters->hasUses()) filters->destroy();
}

}  // namespace

at::Tensor transform_weights(const at::Tensor& weights) {
  if (!fits(weights)) return {};
  const WinogradLoops& loops = *winograd_loops();
  const int64_t out = weights.size(0), in = weights.size(1);
  at::Tensor transformed = at::empty({out / loops.panel, 16, in, loops.panel}, at::kFloat);
  const at::Tensor rows = weights.stride(2) == 3 * weights.stride(3) ? weights : weights.contiguous();
  winograd_weights(loops, {rows.const_data_ptr<float>(), rows.stride(0), rows.stride(1), rows.stride(3)}, in, out,
                   transformed.mutable_data_ptr<float>());
  return transformed;
}

at::Tensor convolve(const at::Tensor& input, const at::Tensor& weights, const at::Tensor& bias, const std::optional<at::Tensor>& residual,
                    bool relu) {
  if (input.dim() == 3) {  // one picture without its first dimension, which conv2d takes too
    std::optional<at::Tensor> one = residual ? std::optional(residual->dim() == 3 ? residual->unsqueeze(0) : *residual) : std::nullopt;
    at::Tensor y = convolve(input.unsqueeze(0), weights, bias, one, relu);
    return residual && residual->dim() >= 4 ? y : y.squeeze(0);
  }
  // A model's file can name this operator too, and give it anything.
  const WinogradLoops* loops = winograd_loops();
  TORCH_CHECK(loops != nullptr, kOperator, " is not for this CPU");
  TORCH_CHECK(weights.scalar_type() == at::kFloat && weights.dim() == 4 && weights.size(1) == 16 && weights.size(3) == loops->panel &&
                  weights.is_contiguous() && winograd_fits(*loops, weights.size(2), weights.size(0) * loops->panel),
              "These are no weights for ", kOperator);
  const int64_t in = weights.size(2), out = weights.size(0) * loops->panel;
  TORCH_CHECK(bias.scalar_type() == at::kFloat && bias.dim() == 1 && bias.size(0) == out && bias.is_contiguous(),
              "The bias of a convolution to ", out, " channels is ", bias.scalar_type(), " ", bias.sizes());
  TORCH_CHECK(input.dim() == 4 && input.scalar_type() == at::kFloat,
              "Expected a float32 picture of 3 or 4 dimensions for a convolution, but got ", input.scalar_type(), " of ", input.dim());
  TORCH_CHECK(input.size(1) == in && input.size(2) > 0 && input.size(3) > 0, "Given a convolution of ", in, " channels, expected input",
              input.sizes(), " to have ", in, " channels of one pixel or more");
  const at::Tensor x = channels_last(input);
  at::Tensor y = at::empty({x.size(0), out, x.size(2), x.size(3)}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  at::Tensor addend;
  // Anything else that may be added (a number for each channel, say) takes the way of libtorch.
  const bool inside = residual && residual->sizes() == y.sizes() && residual->scalar_type() == at::kFloat;
  if (inside) addend = channels_last(*residual);
  WinogradCall call;
  call.x = x.const_data_ptr<float>();
  call.weights = weights.const_data_ptr<float>();
  call.bias = bias.const_data_ptr<float>();
  call.residual = inside ? addend.const_data_ptr<float>() : nullptr;
  call.y = y.mutable_data_ptr<float>();
  call.images = x.size(0);
  call.height = x.size(2);
  call.width = x.size(3);
  call.in = in;
  call.out = out;
  call.relu = relu && (inside || !residual);
  run(*loops, call);
  if (!residual || inside) return y;
  y = at::add(y, *residual);
  return relu ? at::relu(y) : y;
}

int use_winograd(const std::shared_ptr<torch::jit::Graph>& graph) {
  if (winograd_loops() == nullptr) return 0;
  register_operator();
  // torchvision's networks add and rectify in place.
  torch::jit::RemoveTensorMutation(graph, [](Node* node) { return node->kind() == c10::aten::add_ || node->kind() == c10::aten::relu_; });
  std::vector<Match> found;
  std::unordered_set<const Node*> adds;
  find(*graph->block(), torch::jit::AliasDb(graph), adds, found);
  for (Match& match : found) {
    replace(*graph, match);
    match = {};
    trim_allocator();  // the filters as they were, which no other tensor fits into: a large network should not need room for both
  }
  torch::jit::EliminateDeadCode(graph);
  return static_cast<int>(found.size());
}

}  // namespace tb
