// bfloat16: what gives the output is computed in float32.
#include <set>

#include "testing_module.h"

namespace {

using namespace tb::testing;

bool has_only_bfloat16_numbers(const at::Tensor& t) { return at::equal(t.to(at::kBFloat16).to(at::kFloat), t.to(at::kFloat)); }

// A convolution, and then what `head` says, with weights for every kind of it.
torch::jit::Module network(const std::string& head) {
  at::manual_seed(11);
  torch::jit::Module m("Net");
  m.register_attribute("training", c10::BoolType::get(), true);
  m.register_parameter("w1", at::randn({16, 3, 3, 3}) * 0.2, false);
  m.register_parameter("fc", at::randn({50, 16}) * 0.3, false);
  m.register_parameter("narrow", at::randn({16, 50}) * 0.3, false);
  m.register_parameter("bias", at::randn({50}) * 0.1, false);
  m.register_parameter("wide", at::randn({50, 16, 1, 1}) * 0.3, false);
  m.register_parameter("gain", at::rand({50}) + 0.5, false);
  m.register_buffer("mean", at::randn({50}) * 0.1);
  m.register_buffer("var", at::rand({50}) + 0.5);
  m.define("def forward(self, x):\n    x = torch.relu(torch.conv2d(x, self.w1, None, [2, 2], [1, 1]))\n" + head);
  return m;
}

struct Head {
  const char* name;
  const char* source;
};
const Head kHeads[] = {
    {"Linear", "    return torch.linear(torch.mean(x, [2, 3]), self.fc, self.bias)\n"},
    {"Addmm", "    return torch.addmm(self.bias, torch.flatten(torch.adaptive_avg_pool2d(x, [1, 1]), 1), torch.t(self.fc))\n"},
    {"MatmulAndMore", "    return torch.mul(torch.matmul(torch.mean(x, [2, 3]), self.fc.t()) + self.bias, 1.5)\n"},
    {"Softmax", "    return torch.softmax(torch.linear(torch.mean(x, [2, 3]), self.fc, self.bias), 1)\n"},
    {"BatchNorm",
     "    return torch.batch_norm(torch.linear(torch.mean(x, [2, 3]), self.fc), self.gain, self.bias, self.mean, self.var, False, 0.1, "
     "1e-5, True)\n"},
    {"ConvolutionThenMean", "    return torch.mean(torch.conv2d(x, self.wide, self.bias), [2, 3])\n"},
    {"ConvolutionOfOnePosition", "    return torch.flatten(torch.conv2d(torch.adaptive_avg_pool2d(x, [1, 1]), self.wide, self.bias), 1)\n"},
    {"TwoHeads", "    y = torch.mean(x, [2, 3])\n    return (torch.linear(y, self.fc, self.bias) + torch.linear(y * 0.5, self.fc)) / 2\n"},
    {"OneOfTwo",
     "    y = torch.mean(x, [2, 3])\n    if bool(torch.sum(y) > -1):\n        z = torch.linear(y, self.fc, self.bias)\n    else:\n"
     "        z = torch.linear(-y, self.fc)\n    return z\n"},
    {"OutputThatIsUsedElsewhere",
     "    y = torch.linear(torch.mean(x, [2, 3]), self.fc)\n    z = torch.relu(torch.linear(y, self.narrow))\n"
     "    return y + torch.linear(z, self.fc, self.bias)\n"},
    {"TupleOfOne", "    return (torch.linear(torch.mean(x, [2, 3]), self.fc, self.bias),)\n"},
};

using HeadAndEngine = std::tuple<Head, int32_t>;

std::string name_of(const ::testing::TestParamInfo<HeadAndEngine>& info) {
  static const char* const engines[] = {"Auto", "Fused", "Optimized", "Plain", "Frozen"};
  return std::string(std::get<0>(info.param).name) + engines[std::get<1>(info.param)];
}

class HeadTest : public ::testing::TestWithParam<HeadAndEngine> {};
INSTANTIATE_TEST_SUITE_P(Heads, HeadTest,
                         ::testing::Combine(::testing::ValuesIn(kHeads),
                                            ::testing::Values(TB_ENGINE_PLAIN, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_AUTO)),
                         name_of);

TEST_P(HeadTest, IsComputedInFloat32) {
  auto [head, engine] = GetParam();
  const std::string bytes = archive(network(head.source));
  at::Tensor x = some_input(1), want = warmed_answer(loaded(bytes, TB_ENGINE_PLAIN), x);
  ASSERT_FALSE(has_only_bfloat16_numbers(want));
  Module module = loaded(bytes, engine, TB_BFLOAT16);
  tb_module* raw = nullptr;
  ASSERT_OK(tb_module_fork(module.get(), &raw));
  Module fork(raw);
  for (const Module* m : {&module, &fork}) {
    for (int run = 0; run < 4; run++) {
      at::Tensor got = answer(*m, x.to(at::kBFloat16));
      EXPECT_EQ(got.scalar_type(), at::kFloat);
      EXPECT_FALSE(has_only_bfloat16_numbers(got));
      EXPECT_GT(largest_difference(got, want), 0);  // else all of it ran in float32
      EXPECT_LT(largest_difference(got, want), 0.02 * want.abs().max().item<double>());
      const at::Tensor numbers = got.contiguous();
      const float* first = numbers.const_data_ptr<float>();
      EXPECT_EQ(std::set<float>(first, first + 50).size(), 50u) << "ties";
    }
  }
}

// What is not known stays as it is: an integer is no float32, and the last layer may lie behind anything.
TEST(Precision, UnknownEndsStay) {
  for (int32_t engine : {TB_ENGINE_PLAIN, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_AUTO}) {
    at::Tensor x = some_input(1).to(at::kBFloat16);
    Module classes = loaded(archive(network("    return torch.argmax(torch.mean(x, [2, 3]), 1)\n")), engine, TB_BFLOAT16);
    EXPECT_EQ(warmed_answer(classes, x).scalar_type(), at::kLong);
    Module largest = loaded(archive(network("    return torch.amax(x, [2, 3])\n")), engine, TB_BFLOAT16);
    EXPECT_EQ(warmed_answer(largest, x).scalar_type(), at::kBFloat16);
  }
}

// Only the tail's own use of a weight is float32.
TEST(Precision, AWeightOfTheLastLayerAndOfAnEarlierOne) {
  for (int32_t engine : {TB_ENGINE_PLAIN, TB_ENGINE_OPTIMIZED, TB_ENGINE_FROZEN, TB_ENGINE_AUTO}) {
    const std::string bytes =
        archive(network("    y = torch.matmul(torch.relu(torch.linear(torch.mean(x, [2, 3]), self.fc, self.bias)), self.fc)\n"
                        "    return torch.linear(y, self.fc, self.bias)\n"));
    at::Tensor x = some_input(1), want = warmed_answer(loaded(bytes, TB_ENGINE_PLAIN), x);
    at::Tensor got = warmed_answer(loaded(bytes, engine, TB_BFLOAT16), x.to(at::kBFloat16));
    EXPECT_FALSE(has_only_bfloat16_numbers(got));
    EXPECT_LT(largest_difference(got, want), 0.02 * want.abs().max().item<double>());
  }
}

}  // namespace
