// Running modules: the engines agree, threads may share, and what goes wrong in a model comes back as one line.
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <atomic>
#include <thread>

#include "fusion.h"
#include "testing_module.h"

namespace {

using namespace tb::testing;

struct Engine {
  int32_t engine;
  const char* name;
};
std::vector<Engine> engines() {
  std::vector<Engine> all = {
      {TB_ENGINE_PLAIN, "Plain"}, {TB_ENGINE_OPTIMIZED, "Optimized"}, {TB_ENGINE_FROZEN, "Frozen"}, {TB_ENGINE_AUTO, "Auto"}};
  if (tb::has_fuser()) all.push_back({TB_ENGINE_FUSED, "Fused"});
  return all;
}

class EngineTest : public ::testing::TestWithParam<Engine> {
 protected:
  int32_t engine() const { return GetParam().engine; }
};
INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, ::testing::ValuesIn(engines()), [](const auto& info) { return info.param.name; });

TEST_P(EngineTest, AnswersAreThoseOfPlainLibtorch) {
  torch::jit::Module net = classifier();
  Module module = loaded(archive(net), engine());
  for (auto [count, side] : {std::pair{1, 32}, {3, 32}, {2, 17}, {1, 32}}) {               // the last shape a second time
    at::Tensor x = some_input(count, side), want = reference_answer(net, x.contiguous());  // as plain sees it
    ASSERT_GT(want.std().item<float>(), 0.5);                                              // else closeness would mean little
    for (int run = 0; run < 5; run++) {
      at::Tensor got = answer(module, x);
      EXPECT_EQ(got.sizes(), want.sizes());
      EXPECT_EQ(got.scalar_type(), at::kFloat);
      EXPECT_LT(largest_difference(got, want), 1e-5) << "run " << run << ", " << count << " × " << side;
      if (engine() == TB_ENGINE_PLAIN) {
        EXPECT_TRUE(at::equal(got, want)) << "run " << run;
      }
    }
  }
}

TEST_P(EngineTest, Bfloat16MovesTheAnswersALittle) {
  torch::jit::Module net = classifier();
  Module module = loaded(archive(net), engine(), TB_BFLOAT16);
  at::Tensor x = some_input(), want = reference_answer(net, x);
  at::Tensor got = warmed_answer(module, x.to(at::kBFloat16));
  EXPECT_EQ(got.scalar_type(), at::kFloat);                                          // the last layer's (precision_test.cc)
  EXPECT_GT(largest_difference(got, want), 0);                                       // else it ran in float32
  EXPECT_LT(largest_difference(got, want), 0.02 * want.abs().max().item<double>());  // 8 bits of mantissa through three layers
}

TEST_P(EngineTest, TheModuleTellsItsEngine) {
  const int32_t automatic = tb::has_fuser() ? TB_ENGINE_FUSED : TB_ENGINE_OPTIMIZED;
  Module module = loaded(archive(classifier()), engine());
  EXPECT_EQ(tb_module_engine(module.get()), engine() == TB_ENGINE_AUTO ? automatic : engine());
  EXPECT_EQ(tb_module_engine(nullptr), TB_ENGINE_AUTO);
}

TEST_P(EngineTest, AForkAnswersAlikeAndOutlivesItsOrigin) {
  torch::jit::Module net = classifier();
  at::Tensor x = some_input(), want = reference_answer(net, x);
  Module origin = loaded(archive(net), engine());
  warmed_answer(origin, x);
  tb_module* raw = nullptr;
  ASSERT_OK(tb_module_fork(origin.get(), &raw));
  Module fork(raw);
  EXPECT_LT(largest_difference(warmed_answer(fork, x), want), 1e-5);
  origin.reset();
  EXPECT_LT(largest_difference(warmed_answer(fork, x), want), 1e-5);
}

TEST(Fork, RefusesNull) {
  tb_module* out = reinterpret_cast<tb_module*>(1);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "module is NULL", tb_module_fork(nullptr, &out));
  EXPECT_EQ(out, nullptr);
  Module module = loaded(archive(classifier()), TB_ENGINE_PLAIN);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_module_fork(module.get(), nullptr));
}

TEST_P(EngineTest, FourThreadsShareOneWarmedModule) {
  Module module = loaded(archive(classifier()), engine());
  std::vector<at::Tensor> inputs, want;
  for (int i = 0; i < 4; i++) {
    inputs.push_back(some_input() * (i + 1));
    want.push_back(warmed_answer(module, inputs.back()));
  }
  std::atomic<int> same{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      EXPECT_OK(tb_thread_set_count(1));
      for (int i = 0; i < 25; i++) same += at::equal(answer(module, inputs[(t + i) % 4]), want[(t + i) % 4]);
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(same, 100);
}

TEST_P(EngineTest, TheReasonOfAFailureIsOneLine) {
  Module module = loaded(archive(R"(
def forward(self, x):
    assert x.size(0) < 5, "too many pictures"
    assert x.size(0) < 4, "two lines:\nno less"
    return torch.matmul(x, x)
)"),
                         engine());
  at::Tensor y;
  for (int run = 0; run < 4; run++) {  // also after the executor has specialised
    EXPECT_OK(forward(module, at::ones({3, 3}), &y));
    EXPECT_FAILS(VIDI_FORWARD_FAILED, "AssertionError: too many pictures", forward(module, at::ones({5, 3}), &y));
    EXPECT_FAILS(VIDI_FORWARD_FAILED, "AssertionError: two lines:", forward(module, at::ones({4, 3}), &y));
    EXPECT_FAILS(VIDI_FORWARD_FAILED, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", forward(module, at::ones({2, 3}), &y));
  }
}

TEST_P(EngineTest, TheWholeTracebackIsInTheDetail) {
  Module module = loaded(archive("def forward(self, x):\n    assert x.size(0) < 5, \"too many\"\n    return x\n"), engine());
  Tensor in = wrapped(at::ones({9}));
  tb_tensor* out = nullptr;
  Status status(tb_module_forward(module.get(), in.get(), nullptr, &out));
  EXPECT_STREQ(vidi_status_message(status.get()), "RuntimeError: AssertionError: too many");
  EXPECT_NE(std::string(vidi_status_detail(status.get())).find("Traceback of TorchScript"), std::string::npos);
}

TEST_P(EngineTest, InputsOfAnotherTypeOrShapeFail) {
  Module module = loaded(archive(classifier()), engine());
  at::Tensor x = some_input(), y;
  warmed_answer(module, x);
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "", forward(module, x.to(at::kByte), &y));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "", forward(module, x.to(at::kDouble), &y));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "", forward(module, x.slice(1, 0, 2), &y));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "", forward(module, x.flatten(), &y));
  EXPECT_FAILS(VIDI_FORWARD_FAILED, "", forward(module, at::ones({}), &y));
  EXPECT_LT(largest_difference(answer(module, x), reference_answer(classifier(), x)), 1e-5);  // and the module is none the worse
}

TEST_P(EngineTest, ResultsThatAreNotOneTensor) {
  at::Tensor y;
  for (auto [source, kind] : {std::pair{"(x, x)", "Tuple"},
                              {"[x, x]", "List"},
                              {"{'a': x, 'b': x}", "Dict"},
                              {"3", "Int"},
                              {"None", "None"},
                              {"(3,)", "Tuple"},
                              {"[3]", "List"},
                              {"{'a': 3}", "Dict"},
                              {"([x],)", "Tuple"},
                              {"[x][:0]", "List"}}) {
    Module module = loaded(archive(std::string("def forward(self, x):\n    return ") + source + "\n"), engine());
    EXPECT_FAILS(VIDI_BAD_MODEL, kind, forward(module, at::ones({2}), &y));
    EXPECT_FAILS(VIDI_BAD_MODEL, "a classifier returns one tensor", forward(module, at::ones({2}), &y));
  }
}

TEST_P(EngineTest, OneTensorInATupleAListOrADictionary) {
  for (const char* source : {"(x * 2,)", "[x * 2]", "{'logits': x * 2}", "{1: x * 2}"}) {
    Module module = loaded(archive(std::string("def forward(self, x):\n    return ") + source + "\n"), engine());
    for (int run = 0; run < 4; run++) EXPECT_TRUE(at::equal(answer(module, at::ones({2})), at::full({2}, 2.0))) << source;
  }
}

TEST_P(EngineTest, ArgumentsOtherThanOneTensor) {
  at::Tensor y;
  for (const char* source :
       {"def forward(self, x, y):\n    return x + y\n", "def forward(self):\n    return 1\n", "def forward(self, x: int):\n    return x\n"})
    EXPECT_FAILS(VIDI_FORWARD_FAILED, "", forward(loaded(archive(source), engine()), at::ones({2}), &y));
}

TEST_P(EngineTest, AModelThatAllocatesWithoutBounds) {
  Module module = loaded(archive("def forward(self, x):\n    return torch.zeros([70368744177664]) + x\n"), engine());  // 2^46 floats
  at::Tensor y;
  for (int run = 0; run < 3; run++)
    EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "can't allocate memory: you tried to allocate 281474976710720 bytes",  // with allocator.cc's 64
                 forward(module, at::ones({1}), &y));
}

TEST_P(EngineTest, AnAnswerOutlivesItsModuleAndItsInput) {
  Module module = loaded(archive(classifier()), engine());
  at::Tensor x = some_input(), want = warmed_answer(module, x);
  Tensor in = wrapped(x.clone(at::MemoryFormat::Preserve)), out;
  tb_tensor* raw = nullptr;
  ASSERT_OK(tb_module_forward(module.get(), in.get(), nullptr, &raw));
  out.reset(raw);
  in.reset();
  module.reset();
  std::vector<float> got(20);
  ASSERT_OK(tb_tensor_copy_float32(out.get(), got.data(), got.size()));
  EXPECT_EQ(std::memcmp(got.data(), want.contiguous().data_ptr(), sizeof(float) * 20), 0);

  Module echo = loaded(archive("def forward(self, x):\n    return x\n"), engine());  // this answer is its input
  at::Tensor same = answer(echo, at::full({3}, 4.0));
  echo.reset();
  EXPECT_TRUE(at::equal(same, at::full({3}, 4.0)));
}

TEST_P(EngineTest, NoGradientsAreKept) {
  torch::jit::Module net("Net");
  net.register_attribute("training", c10::BoolType::get(), true);
  net.register_parameter("w", at::ones({2}).set_requires_grad(true), false);
  net.define("def forward(self, x):\n    return x * self.w\n");
  Module module = loaded(archive(net), engine());
  EXPECT_FALSE(warmed_answer(module, at::ones({2})).requires_grad());
}

TEST(Forward, FusedModulesAreFusedAndOthersAreNot) {
  if (!tb::has_fuser()) GTEST_SKIP() << "this libtorch has no oneDNN Graph fuser";
  std::string bytes = archive(classifier());
  auto ran = [&](int32_t engine) {
    Module module = loaded(bytes, engine);
    warmed_answer(module, some_input());
    return torch::jit::lastExecutedOptimizedGraph()->toString();
  };
  EXPECT_NE(ran(TB_ENGINE_FUSED).find("oneDNNFusionG"), std::string::npos);
  EXPECT_NE(ran(TB_ENGINE_AUTO).find("oneDNNFusionG"), std::string::npos);
  EXPECT_EQ(ran(TB_ENGINE_OPTIMIZED).find("oneDNNFusionG"), std::string::npos);
  for (const char* other : {"oneDNNFusionG", "mkldnn", "batch_norm", "vidi::"})
    EXPECT_EQ(ran(TB_ENGINE_FROZEN).find(other), std::string::npos) << other;
  Module plain = loaded(bytes, TB_ENGINE_PLAIN);
  at::Tensor x = some_input();
  EXPECT_TRUE(at::equal(warmed_answer(plain, x), reference_answer(classifier(), x.contiguous())));
}

TEST(Forward, TheFuserIsUnavailableWhereLibtorchHasNone) {
  Module module;
  Status status(load(archive(classifier()), TB_ENGINE_FUSED, TB_FLOAT32, &module));
  if (tb::has_fuser()) {
    EXPECT_EQ(status, nullptr);
  } else {
    EXPECT_EQ(vidi_status_code(status.get()), VIDI_UNAVAILABLE);
  }
}

TEST(Forward, InputFromPixelsFitsTheModel) {
  for (tb_dtype precision : {TB_FLOAT32, TB_BFLOAT16}) {
    Module module = loaded(archive(classifier()), TB_ENGINE_AUTO, precision);
    std::vector<uint8_t> rgb(32 * 32 * 3, 100);
    const float mean[3] = {0.5, 0.5, 0.5}, std[3] = {0.25, 0.25, 0.25};
    tb_tensor *raw_in = nullptr, *raw_out = nullptr;
    ASSERT_OK(tb_tensor_from_rgb(rgb.data(), rgb.size(), 1, 32, 32, mean, std, precision, &raw_in));
    Tensor in(raw_in);
    ASSERT_OK(tb_module_forward(module.get(), in.get(), nullptr, &raw_out));
    Tensor out(raw_out);
    tb_tensor_info info;
    ASSERT_OK(tb_tensor_describe(out.get(), &info));
    EXPECT_EQ(info.elements, 10);
    EXPECT_EQ(info.dtype, TB_FLOAT32);
  }
}

TEST(Forward, Nulls) {
  Module module = loaded(archive("def forward(self, x):\n    return x\n"), TB_ENGINE_PLAIN);
  Tensor in = wrapped(at::ones({1}));
  auto* out = reinterpret_cast<tb_tensor*>(1);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_module_forward(nullptr, in.get(), nullptr, &out));
  EXPECT_EQ(out, nullptr);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_module_forward(module.get(), nullptr, nullptr, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_module_forward(module.get(), in.get(), nullptr, nullptr));
}

}  // namespace
