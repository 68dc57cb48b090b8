// Which quantised additions go into their convolutions, and that the answers stay.
#include "quantised.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/ir/irparser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/custom_class.h>

#include "fusion.h"
#include "testing_module.h"

namespace {

using namespace tb::testing;
using torch::jit::IValue;

constexpr double kScale = 0.05;  // of every value in the graphs

IValue packed(int64_t out, int64_t side, int64_t stride = 1) {
  at::Tensor weights = at::quantize_per_channel(at::randn({out, 16, side, side}) * 0.06, at::full({out}, 0.0015, at::kDouble),
                                                at::zeros({out}, at::kLong), 0, at::kQInt8);
  const c10::List<int64_t> strides({stride, stride}), border({side / 2, side / 2}), ones({1, 1});
  torch::jit::Stack stack = {weights, at::randn({out}) * 0.1, strides, border, ones, 1};
  c10::Dispatcher::singleton().findSchemaOrThrow("quantized::conv2d_prepack", "").callBoxed(stack);
  return stack.at(0);
}

// Of quantised x, [2, 16, 9, 9], and `one`, a single pixel of it; p and q are packed weights.
std::shared_ptr<torch::jit::Graph> graph_of(const std::string& body, const IValue& p, const IValue& q) {
  const std::string type = " : __torch__.torch.classes.quantized.Conv2dPackedParamsBase";
  auto graph = std::make_shared<torch::jit::Graph>();
  torch::jit::parseIR("graph(%x : Tensor, %one : Tensor, %p" + type + ", %q" + type +
                          "):\n  %s : float = prim::Constant[value=0.05]()\n  %z : int = prim::Constant[value=128]()\n  " + body,
                      graph.get());
  torch::jit::WithInsertPoint here(*graph->block()->nodes().begin());
  for (const IValue& weights : {q, p}) {
    graph->inputs().back()->replaceAllUsesWith(graph->insertConstant(weights));
    graph->eraseInput(graph->inputs().size() - 1);
  }
  return graph;
}

const std::string kConvolution = "%1 : Tensor = quantized::conv2d(%x, %p, %s, %z)\n";
const std::string kAnother = "  %2 : Tensor = quantized::conv2d(%x, %q, %s, %z)\n";

struct Case {
  const char* what;
  std::string body;
  int fused;
};

const Case kCases[] = {
    {"two convolutions", kConvolution + kAnother + "  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  return (%3)\n", 1},
    {"with a ReLU", kConvolution + kAnother + "  %3 : Tensor = quantized::add_relu(%1, %2, %s, %z)\n  return (%3)\n", 1},
    {"a block of ResNet, twice",
     "%1 : Tensor = quantized::conv2d_relu(%x, %p, %s, %z)\n  %2 : Tensor = quantized::conv2d_relu(%1, %p, %s, %z)\n"
     "  %3 : Tensor = quantized::conv2d(%2, %q, %s, %z)\n  %4 : Tensor = quantized::add_relu(%1, %3, %s, %z)\n"
     "  %5 : Tensor = quantized::conv2d(%4, %p, %s, %z)\n  %6 : Tensor = quantized::conv2d(%5, %q, %s, %z)\n"
     "  %7 : Tensor = quantized::add(%6, %4, %s, %z)\n  return (%7)\n",
     2},
    {"the input of the graph is added", kConvolution + "  %3 : Tensor = quantized::add(%1, %x, %s, %z)\n  return (%3)\n", 0},
    {"the convolution's own input is added",
     kConvolution + "  %2 : Tensor = quantized::conv2d(%1, %q, %s, %z)\n  %3 : Tensor = quantized::add(%2, %1, %s, %z)\n  return (%3)\n",
     0},
    {"to itself", kConvolution + "  %3 : Tensor = quantized::add(%1, %1, %s, %z)\n  return (%3)\n", 0},
    {"both are seen later",
     kConvolution + kAnother +
         "  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  %4 : Tensor = quantized::add(%3, %1, %s, %z)\n"
         "  %5 : Tensor = quantized::add(%4, %2, %s, %z)\n  return (%5)\n",
     0},
    {"one is returned too",
     kConvolution + kAnother +
         "  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  %4 : (Tensor, Tensor) = prim::TupleConstruct(%3, %2)\n"
         "  return (%4)\n",
     0},
    {"a view of what is added is seen",
     kConvolution + kAnother +
         "  %n : int = prim::Constant[value=1]()\n  %m : int = prim::Constant[value=-1]()\n  %5 : Tensor = aten::flatten(%2, %n, %m)\n"
         "  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  %4 : (Tensor, Tensor) = prim::TupleConstruct(%3, %5)\n  return (%4)\n",
     0},
    {"another addition has written over the convolution's input",
     "%0 : Tensor = quantized::conv2d_relu(%x, %p, %s, %z)\n  %1 : Tensor = quantized::conv2d(%0, %p, %s, %z)\n"
     "  %2 : Tensor = quantized::conv2d_relu(%0, %q, %s, %z)\n  %3 : Tensor = quantized::conv2d(%2, %q, %s, %z)\n"
     "  %4 : Tensor = quantized::add(%3, %0, %s, %z)\n  %5 : Tensor = quantized::add(%1, %4, %s, %z)\n  return (%5)\n",
     1},
    {"the convolution's input is changed in place",
     "%0 : Tensor = quantized::conv2d(%x, %p, %s, %z)\n  %1 : Tensor = quantized::conv2d(%0, %p, %s, %z)\n"
     "  %2 : Tensor = aten::relu_(%0)\n  %3 : Tensor = quantized::conv2d(%2, %q, %s, %z)\n"
     "  %4 : Tensor = quantized::add(%1, %3, %s, %z)\n  return (%4)\n",
     1},
    {"the same weights, with a ReLU and without",
     "%1 : Tensor = quantized::conv2d(%x, %p, %s, %z)\n  %2 : Tensor = quantized::conv2d_relu(%x, %q, %s, %z)\n"
     "  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  %4 : Tensor = quantized::conv2d(%x, %p, %s, %z)\n"
     "  %5 : Tensor = quantized::conv2d_relu(%x, %q, %s, %z)\n  %6 : Tensor = quantized::add_relu(%4, %5, %s, %z)\n"
     "  %7 : (Tensor, Tensor) = prim::TupleConstruct(%3, %6)\n  return (%7)\n",
     2},
    {"in a branch",
     "%t : bool = prim::Constant[value=1]()\n  %0 : Tensor = quantized::conv2d(%x, %q, %s, %z)\n  %9 : Tensor = prim::If(%t)\n    "
     "block0():\n"
     "      %1 : Tensor = quantized::conv2d(%x, %p, %s, %z)\n      %2 : Tensor = quantized::conv2d(%x, %q, %s, %z)\n"
     "      %3 : Tensor = quantized::add(%1, %2, %s, %z)\n      %4 : Tensor = quantized::conv2d(%x, %p, %s, %z)\n"
     "      %5 : Tensor = quantized::add(%4, %0, %s, %z)\n      %6 : Tensor = quantized::add(%3, %5, %s, %z)\n      -> (%6)\n"
     "    block1():\n      -> (%x)\n  return (%9)\n",
     1},
    {"something smaller is added",
     kConvolution + "  %2 : Tensor = quantized::conv2d(%one, %q, %s, %z)\n  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  return (%3)\n",
     1},
};

// Three times, as libtorch compiles in the second, with the fuser on.
std::vector<at::Tensor> run(const std::shared_ptr<torch::jit::Graph>& graph, const std::vector<IValue>& more = {}) {
  c10::InferenceMode guard;
  tb::FuserGuard fuse(true);
  torch::jit::GraphExecutor executor(graph, "test");
  torch::jit::Stack stack;
  for (int n = 0; n < 3; n++) {
    at::Tensor x = at::quantize_per_tensor(at::sin(at::arange(2 * 16 * 9 * 9) * 0.37).reshape({2, 16, 9, 9}), kScale, 128, at::kQUInt8);
    stack = {x, x.slice(2, 4, 5).slice(3, 4, 5)};
    stack.insert(stack.end(), more.begin(), more.end());
    executor.run(stack);
  }
  std::vector<at::Tensor> outputs;
  for (const IValue& output : stack) {
    if (output.isTensor())
      outputs.push_back(output.toTensor());
    else
      for (const IValue& one : output.toTupleRef().elements()) outputs.push_back(one.toTensor());
  }
  return outputs;
}

class QuantisedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tb_runtime runtime;
    ASSERT_OK(tb_runtime_init(&runtime));
    if (at::globalContext().qEngine() != at::QEngine::ONEDNN) GTEST_SKIP() << "oneDNN does not run quantised operators in this libtorch";
    at::manual_seed(3);
  }
};

TEST_F(QuantisedTest, AnswersStayWhateverIsFused) {
  const IValue p = packed(16, 3), q = packed(16, 3);
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    std::vector<at::Tensor> want = run(graph_of(c.body, p, q));
    std::shared_ptr<torch::jit::Graph> graph = graph_of(c.body, p, q);
    EXPECT_EQ(tb::fuse_quantised_additions(graph), c.fused) << *graph;
    graph->lint();
    std::vector<at::Tensor> got = run(graph);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); i++) {
      ASSERT_EQ(got[i].sizes(), want[i].sizes());
      EXPECT_EQ(got[i].q_scale(), want[i].q_scale());
      EXPECT_EQ(got[i].q_zero_point(), want[i].q_zero_point());
      // A sum that is not rounded in between may be off by one step, and what the next layer makes of that by another.
      EXPECT_LE(largest_difference(got[i].dequantize(), want[i].dequantize()), 2.001 * kScale);
      // Nothing is cut off on the way, which would be in the file's order and not in the other.
      EXPECT_LT(want[i].int_repr().max().item<int>(), 255);
      EXPECT_GT(want[i].dequantize().std().item<double>(), 4 * kScale);  // so that the comparison means something
    }
  }
}

// oneDNN writes as much as the convolution gives, so nothing else may ever get there.
TEST_F(QuantisedTest, NothingIsWrittenBeyondWhatIsThere) {
  const std::string body =
      kConvolution +
      "  %2 : Tensor = quantized::conv2d_relu(%one, %q, %s, %z)\n  %3 : Tensor = quantized::add_relu(%1, %2, %s, %z)\n  return (%3)\n";
  for (int64_t stride : {1, 2, 3}) {
    std::shared_ptr<torch::jit::Graph> graph = graph_of(body, packed(16, 3, stride), packed(16, 3));
    EXPECT_EQ(tb::fuse_quantised_additions(graph), 1);
    const int64_t side = 8 / stride + 1;
    EXPECT_EQ(run(graph)[0].sizes(), (std::vector<int64_t>{2, 16, side, side}));
  }
  std::shared_ptr<torch::jit::Graph> graph = graph_of(body, packed(32, 3), packed(16, 3));
  EXPECT_EQ(tb::fuse_quantised_additions(graph), 1);
  EXPECT_ANY_THROW(run(graph));  // 32 channels and 16
}

// The output is where the addend was, so the operator did what it is for; at strides and borders of several kinds.
TEST_F(QuantisedTest, ItAddsInPlace) {
  const IValue shapes[][2] = {{packed(16, 3), packed(16, 1)}, {packed(32, 5, 2), packed(32, 1, 2)}, {packed(16, 3, 3), packed(16, 3, 3)}};
  for (const auto& [p, q] : shapes) {
    std::shared_ptr<torch::jit::Graph> graph =
        graph_of(kConvolution + kAnother + "  %3 : Tensor = quantized::add_relu(%1, %2, %s, %z)\n  return (%3)\n", p, q);
    at::Tensor want = run(graph->copy())[0];
    ASSERT_EQ(tb::fuse_quantised_additions(graph), 1);
    graph->registerOutput(graph->outputs()[0]->node()->input(1));
    std::vector<at::Tensor> got = run(graph);
    EXPECT_EQ(got[0].data_ptr(), got[1].data_ptr());
    EXPECT_LE(largest_difference(got[0].dequantize(), want.dequantize()), 2.001 * kScale);
  }
}

// A file of somebody else's may name the operator, and libtorch may even give it an object of the class to call it with.
TEST_F(QuantisedTest, WhatAFileHoldsIsNoConvolutionThatAdds) {
  const std::string body =
      "graph(%x : Tensor, %one : Tensor, %c : __torch__.torch.classes.vidi.QuantizedConvolution):\n"
      "  %s : float = prim::Constant[value=0.05]()\n  %z : int = prim::Constant[value=128]()\n  %r : bool = prim::Constant[value=1]()\n"
      "  %1 : Tensor = vidi::quantized_convolution_add(%x, %one, %c, %s, %z, %s, %z, %r)\n  return (%1)\n";
  auto graph = std::make_shared<torch::jit::Graph>();
  torch::jit::parseIR(body, graph.get());
  const c10::StrongTypePtr type(nullptr, torch::getCustomClass("__torch__.torch.classes.vidi.QuantizedConvolution"));
  ASSERT_NE(type.type_, nullptr);
  for (const IValue& slot : {IValue(), IValue(5), packed(16, 3).toObjectRef().getSlot(0)}) {
    auto forged = c10::ivalue::Object::create(type, 1);
    forged->setSlot(0, slot);
    EXPECT_ANY_THROW(run(graph, {forged}));
  }
}

TEST_F(QuantisedTest, RepackedWeightsAreOfTheirOwnAndTheSame) {
  const IValue p = packed(16, 3), q = packed(16, 1);
  const std::string body =
      kConvolution + kAnother +
      "  %3 : Tensor = quantized::add(%1, %2, %s, %z)\n  %4 : Tensor = quantized::conv2d(%3, %p, %s, %z)\n  return (%4)\n";
  std::shared_ptr<torch::jit::Graph> graph = graph_of(body, p, q);
  EXPECT_EQ(tb::fuse_quantised_additions(graph), 1);
  at::Tensor want = run(graph)[0];
  std::shared_ptr<torch::jit::Graph> copy = graph->copy();
  EXPECT_EQ(tb::repack_quantised_weights(*copy), 3);
  std::swap(graph, copy);
  graph->lint();
  for (const torch::jit::Node* node : graph->nodes()) {
    std::optional<IValue> value = torch::jit::toIValue(node->output());
    if (!value || !value->isObject()) continue;
    for (const torch::jit::Node* other : copy->nodes()) EXPECT_FALSE(torch::jit::toIValue(other->output()).value_or(IValue()).is(*value));
  }
  for (int threads : {1, 3}) {
    ASSERT_OK(tb_thread_set_count(threads));
    EXPECT_TRUE(at::equal(run(graph)[0], want));
  }
  ASSERT_OK(tb_thread_set_count(1));
}

}  // namespace
