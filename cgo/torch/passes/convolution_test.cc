// Which convolutions of a graph go to Winograd's loops, and that the answers stay.
#include "convolution.h"

#include <torch/csrc/jit/passes/freeze_module.h>

#include "testing_module.h"
#include "winograd.h"

// As convolution.cc has it.
extern "C" __attribute__((weak)) void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);

namespace {

using namespace tb::testing;

torch::jit::Module network(const std::string& body) {
  at::manual_seed(11);
  torch::jit::Module m("Net");
  m.register_attribute("training", c10::BoolType::get(), false);
  m.register_parameter("w", at::randn({32, 32, 3, 3}) * 0.08, false);
  m.register_parameter("v", at::randn({32, 32, 3, 3}) * 0.08, false);
  m.register_parameter("odd", at::randn({20, 32, 3, 3}) * 0.08, false);
  m.register_parameter("wide", at::randn({32, 32, 5, 5}) * 0.05, false);
  m.register_parameter("grouped", at::randn({32, 1, 3, 3}) * 0.3, false);
  m.register_parameter("double", at::randn({32, 32, 3, 3}, at::kDouble) * 0.08, false);
  m.register_parameter("b", at::randn({32}), false);
  m.register_parameter("short", at::randn({31}), false);
  m.register_parameter("each", at::randn({1, 32, 1, 1}), false);
  m.define("def forward(self, x):\n" + body);
  m.eval();
  return m;
}

struct Case {
  const char* what;
  const char* body;
  int replaced;
  int left;  // nodes of convolutions, additions and ReLUs that stay in the graph
};

const Case kCases[] = {
    {"alone", "    return torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n", 1, 0},
    {"without a bias", "    return torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n", 1, 0},
    {"as a trace has it",
     "    return torch._convolution(x, self.w, self.b, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True, True)\n", 1, 0},
    {"with a ReLU", "    return torch.relu(torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]))\n", 1, 0},
    {"with a ReLU in place", "    return torch.relu_(torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]))\n", 1, 0},
    {"a block of ResNet, in place",
     "    y = torch.relu_(torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]))\n"
     "    y = torch.conv2d(y, self.v, None, [1, 1], [1, 1])\n"
     "    y += x\n    return torch.relu_(y)\n",
     2, 0},
    {"added on the other side", "    return torch.relu(x + torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]))\n", 1, 0},
    {"two that are added", "    return torch.conv2d(x, self.w, None, [1, 1], [1, 1]) + torch.conv2d(x, self.v, None, [1, 1], [1, 1])\n", 2,
     0},
    {"added to itself", "    y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n    return torch.relu(y + y)\n", 1, 2},
    {"something smaller is added", "    return torch.relu(torch.conv2d(x, self.w, None, [1, 1], [1, 1]) + self.each)\n", 1, 0},
    {"twice of something is added", "    return torch.add(torch.conv2d(x, self.w, None, [1, 1], [1, 1]), x, alpha=2)\n", 1, 1},
    {"seen before the ReLU", "    y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n    return torch.relu(y) * y\n", 1, 1},
    {"seen before the addition", "    y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n    return torch.relu(y + x) * y\n", 1, 2},
    {"what is added changes later",
     "    s = x * 2\n    y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]) + s\n    s.mul_(3)\n    return torch.relu(y) * s\n", 1, 2},
    {"what comes in changes later",
     "    s = x * 2\n    y = torch.conv2d(s, self.w, self.b, [1, 1], [1, 1])\n    s.mul_(3)\n    return torch.relu(y + s)\n", 0, 3},
    {"in a branch",
     "    if x.size(0) > 100:\n        x = x * 2\n    else:\n        x = torch.relu(torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]))\n    "
     "return x\n",
     1, 0},
    {"one picture without its first dimension",
     "    y = torch.conv2d(x[0], self.w, self.b, [1, 1], [1, 1])\n    return torch.relu(y + x[0])\n", 1, 0},
    {"one picture, added to several", "    return torch.conv2d(x[0], self.w, self.b, [1, 1], [1, 1]) + x\n", 1, 0},
    {"other strides", "    return torch.conv2d(x, self.w, self.b, [2, 2], [1, 1])\n", 0, 1},
    {"no border", "    return torch.conv2d(x, self.w, self.b, [1, 1], [0, 0])\n", 0, 1},
    {"dilated", "    return torch.conv2d(x, self.w, self.b, [1, 1], [1, 1], [2, 2])\n", 0, 1},
    {"5×5", "    return torch.conv2d(x, self.wide, self.b, [1, 1], [1, 1])\n", 0, 1},
    {"depthwise", "    return torch.conv2d(x, self.grouped, self.b, [1, 1], [1, 1], [1, 1], 32)\n", 0, 1},
    {"channels that fill no panel", "    return torch.conv2d(x, self.odd, None, [1, 1], [1, 1])\n", 0, 1},
    {"transposed", "    return torch._convolution(x, self.w, self.b, [1, 1], [1, 1], [1, 1], True, [0, 0], 1, False, False, True, True)\n",
     0, 1},
    {"float64", "    return torch.conv2d(x.double(), self.double, None, [1, 1], [1, 1])\n", 0, 1},
    {"weights that are computed", "    return torch.conv2d(x, self.w * x.mean(), self.b, [1, 1], [1, 1])\n", 0, 1},
};

int count_left(const torch::jit::Block& block) {
  int count = 0;
  for (const torch::jit::Node* node : block.nodes()) {
    for (const torch::jit::Block* inner : node->blocks()) count += count_left(*inner);
    std::string kind = node->kind().toQualString();
    for (const char* one : {"aten::conv2d", "aten::_convolution", "aten::add", "aten::relu"}) count += kind == one;
  }
  return count;
}

class ConvolutionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tb::winograd_loops() == nullptr) GTEST_SKIP() << "this CPU has no loops for Winograd's convolutions";
  }
};

// NCHW or channels-last, with one thread and with three.
TEST_F(ConvolutionTest, AnswersStayWhateverIsReplaced) {
  at::Tensor x = at::sin(at::arange(2 * 32 * 13 * 10, at::kFloat) * 0.37).reshape({2, 32, 13, 10});
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    torch::jit::Module net = network(c.body);
    at::Tensor want = reference_answer(net, x);
    torch::jit::Module frozen = torch::jit::freeze_module(net);
    std::shared_ptr<torch::jit::Graph> graph = frozen.get_method("forward").graph();
    EXPECT_EQ(tb::use_winograd(graph), c.replaced) << *graph;
    EXPECT_EQ(count_left(*graph->block()), c.left) << *graph;
    Module module = loaded(archive(net), TB_ENGINE_FUSED);
    for (int threads : {1, 3}) {
      ASSERT_OK(tb_thread_set_count(threads));
      for (const at::Tensor& input : {x, x.contiguous(at::MemoryFormat::ChannelsLast)}) {
        at::Tensor got = answer(module, input);
        ASSERT_EQ(got.sizes(), want.sizes());
        EXPECT_EQ(got.scalar_type(), want.scalar_type());
        // Sums of 288 products: the tolerance is that of IsAsExactAsADirectConvolution for the few layers here.
        EXPECT_LT(largest_difference(got, want), 5e-5);
      }
    }
    ASSERT_OK(tb_thread_set_count(1));
  }
}

// Large enough that every thread gets pieces, of tiles and of channels.
TEST_F(ConvolutionTest, ThreadsShareTheWork) {
  ASSERT_NE(GOMP_parallel, nullptr) << "libtorch's OpenMP was not found, so all is done on one thread";
  for (int64_t side : {7, 40}) {
    at::Tensor x = at::randn({1, 128, side, side}), w = at::randn({192, 128, 3, 3}) * 0.03;
    torch::jit::Module m("Net");
    m.register_attribute("training", c10::BoolType::get(), false);
    m.register_parameter("w", w, false);
    m.define("def forward(self, x):\n    return torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n");
    Module module = loaded(archive(m), TB_ENGINE_FUSED);
    at::Tensor alone = answer(module, x);
    EXPECT_LT(largest_difference(alone, at::conv2d(x, w, {}, 1, 1)), 5e-5);
    for (int threads : {2, 5}) {
      ASSERT_OK(tb_thread_set_count(threads));
      EXPECT_TRUE(at::equal(answer(module, x), alone)) << threads << " threads: no sum depends on who computes it";
    }
    ASSERT_OK(tb_thread_set_count(1));
  }
}

TEST_F(ConvolutionTest, WrongChannelsAreRefusedAsByLibtorch) {
  Module module = loaded(archive(network("    return torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n")), TB_ENGINE_FUSED);
  at::Tensor out;
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "to have 32 channels", forward(module, at::zeros({1, 3, 8, 8}), &out));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "float32", forward(module, at::zeros({1, 32, 8, 8}, at::kDouble), &out));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "dimensions", forward(module, at::zeros({32}), &out));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "one pixel or more", forward(module, at::zeros({1, 32, 0, 8}), &out));
  EXPECT_EQ(answer(module, at::zeros({0, 32, 8, 8})).sizes(), (std::vector<int64_t>{0, 32, 8, 8}));
}

// A file of somebody else's may call the operator itself, by its name, or have a bias that does not fit the weights.
TEST_F(ConvolutionTest, NothingIsReadBeyondWhatIsThere) {
  at::Tensor x = at::zeros({1, 32, 8, 8}), weights = tb::transform_weights(at::ones({64, 32, 3, 3})), bias = at::zeros({64});
  EXPECT_EQ(tb::convolve(x, weights, bias, {}, false).size(1), 64);
  EXPECT_THROW(tb::convolve(x, weights, at::zeros({128}), {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, weights, at::zeros({128}).slice(0, 0, 128, 2), {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, weights, bias.to(at::kDouble), {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, weights.slice(1, 0, 15), bias, {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, weights.slice(2, 0, 16), bias, {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, weights.to(at::kInt), bias, {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, at::ones({64, 32, 3, 3}), bias, {}, false), c10::Error);
  EXPECT_THROW(tb::convolve(x, weights.slice(0, 0, 0), at::zeros({0}), {}, false), c10::Error);
  torch::jit::Module net = network("    return torch.conv2d(x, self.w, self.short, [1, 1], [1, 1])\n");
  at::Tensor out;
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "bias", forward(loaded(archive(net), TB_ENGINE_FUSED), x, &out));
}

// convolve() takes float32 alone, so that a bfloat16 network in which it stood would not run at all.
TEST_F(ConvolutionTest, OtherPrecisionsAndEnginesKeepTheirOwn) {
  torch::jit::Module net = network("    return torch.relu(torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]))\n");
  at::Tensor x = at::randn({1, 32, 9, 9});
  Module bf16 = loaded(archive(net), TB_ENGINE_FUSED, TB_BFLOAT16);
  EXPECT_EQ(answer(bf16, x.to(at::kBFloat16)).scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(answer(loaded(archive(net), TB_ENGINE_PLAIN), x), reference_answer(net, x)));
}

}  // namespace
