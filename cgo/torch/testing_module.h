// Makes TorchScript files for the tests, in memory and on disk.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "testing.h"

namespace tb::testing {

using Extras = torch::jit::ExtraFilesMap;

inline torch::jit::Module scripted(const std::string& source) {
  torch::jit::Module module("Net");
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define(source);
  return module;
}

inline std::string archive(const torch::jit::Module& module, const Extras& extras = {}) {
  std::ostringstream out;
  module.save(out, extras);
  return out.str();
}

inline std::string archive(const std::string& source) { return archive(scripted(source)); }

// A small classifier of the usual kind: convolution, batch norm and ReLU twice with a shortcut, pooling, a linear layer. Its
// index buffer is an int64 that must stay one in any precision.
inline torch::jit::Module classifier() {
  at::manual_seed(7);
  torch::jit::Module m("Net");
  m.register_attribute("training", c10::BoolType::get(), true);
  for (const std::string n : {"1", "2"}) {
    m.register_parameter("w" + n, at::randn({8, n == "1" ? 3 : 8, 3, 3}) * 0.2, false);
    m.register_parameter("g" + n, at::rand({8}) + 0.5, false);
    m.register_parameter("b" + n, at::randn({8}) * 0.3, false);
    m.register_buffer("mean" + n, at::randn({8}) * 0.1);
    m.register_buffer("var" + n, at::rand({8}) + 0.5);
  }
  m.register_buffer("order", at::arange(7, -1, -1, at::kLong));
  m.register_parameter("fc", at::randn({10, 8}), false);
  m.register_parameter("bias", at::randn({10}), false);
  m.define(R"(
def forward(self, x):
    x = torch.conv2d(x, self.w1, None, [2, 2], [1, 1])
    x = torch.relu(torch.batch_norm(x, self.g1, self.b1, self.mean1, self.var1, self.training, 0.1, 1e-5, True))
    y = torch.conv2d(x, self.w2, None, [1, 1], [1, 1])
    y = torch.batch_norm(y, self.g2, self.b2, self.mean2, self.var2, self.training, 0.1, 1e-5, True)
    x = torch.mean(torch.relu(x + y), [2, 3])
    return torch.matmul(x[:, self.order], self.fc.t()) + self.bias
)");
  return m;
}

inline at::Tensor some_input(int64_t count = 2, int64_t side = 32) {
  at::Tensor i = at::arange(count * 3 * side * side, at::kFloat);
  return at::sin(i * 0.37).reshape({count, 3, side, side}).contiguous(at::MemoryFormat::ChannelsLast);
}

// What libtorch itself answers, without any optimisation.
inline at::Tensor reference_answer(const torch::jit::Module& module, const at::Tensor& input) {
  c10::InferenceMode guard;
  torch::jit::GraphOptimizerEnabledGuard plain(false);
  torch::jit::Module copy = module.clone();
  copy.eval();
  return copy.forward({input}).toTensor();
}

inline vidi_status* load(const std::string& bytes, int32_t engine, int32_t precision, Module* out, const char* extra = nullptr) {
  // From memory that ends with the file and is gone afterwards: nothing may read past it or keep it.
  auto exact = exact_buffer(bytes.size());
  std::memcpy(exact.get(), bytes.data(), bytes.size());
  tb_module_options options{engine, precision, 0};
  auto* module = reinterpret_cast<tb_module*>(1);
  vidi_status* status = tb_module_load_bytes(exact.get(), bytes.size(), extra, &options, &module);
  if (status != nullptr) {
    EXPECT_EQ(module, nullptr);
    return status;
  }
  out->reset(module);
  return nullptr;
}

inline Module loaded(const std::string& bytes, int32_t engine, int32_t precision = TB_FLOAT32, const char* extra = nullptr) {
  Module module;
  EXPECT_OK(load(bytes, engine, precision, &module, extra));
  return module;
}

inline Tensor wrapped(at::Tensor value) {
  tb_tensor* out = nullptr;
  EXPECT_OK(tb_tensor_from_handle(&value, &out));
  return Tensor(out);
}

inline vidi_status* forward(const Module& module, const at::Tensor& input, at::Tensor* answer, const tb_limits* limits = nullptr) {
  Tensor in = wrapped(input);
  auto* out = reinterpret_cast<tb_tensor*>(1);
  vidi_status* status = tb_module_forward(module.get(), in.get(), limits, &out);
  if (status != nullptr) {
    EXPECT_EQ(out, nullptr);
    return status;
  }
  Tensor owner(out);
  *answer = *static_cast<at::Tensor*>(tb_tensor_handle(out));
  return nullptr;
}

inline at::Tensor answer(const Module& module, const at::Tensor& input) {
  at::Tensor result;
  EXPECT_OK(forward(module, input, &result));
  return result;
}

inline at::Tensor warmed_answer(const Module& module, const at::Tensor& input) {
  for (int i = 0; i < 4; i++) answer(module, input);  // the fuser acts on the third
  return answer(module, input);
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// A file that is gone at the end of the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    std::string name = (std::filesystem::temp_directory_path() / "tb_test_XXXXXX").string();
    int descriptor = mkstemp(name.data());
    EXPECT_GE(descriptor, 0);
    close(descriptor);
    path_ = name;
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

}  // namespace tb::testing
