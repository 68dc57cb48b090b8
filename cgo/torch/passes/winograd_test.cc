// Winograd's convolutions against libtorch's own in float64: every shape of border, every loop that this CPU has.
#include "winograd.h"

#include <ATen/ATen.h>

#include "testing.h"

namespace {

struct Shape {
  int64_t images, in, out, height, width;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << s.images << " × " << s.in << " × " << s.height << " × " << s.width << " to " << s.out;
}

at::Tensor last(const at::Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

class WinogradTest : public ::testing::TestWithParam<const tb::WinogradLoops*> {
 protected:
  void SetUp() override {
    if (GetParam() == nullptr) GTEST_SKIP() << "this CPU has no such instructions";
  }
  const tb::WinogradLoops& loops() const { return *GetParam(); }

  // In pieces of `tiles` and `panels`; the scratch ends where it is said to end.
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias, const at::Tensor& residual, bool relu,
                      int64_t tiles, int64_t panels) {
    at::Tensor y = last(at::full({x.size(0), w.size(0), x.size(2), x.size(3)}, NAN));
    at::Tensor packed = at::full({16 * w.size(0) * w.size(1)}, NAN), scratch = at::full({tb::winograd_scratch(loops(), w.size(1))}, NAN);
    tb::winograd_weights(loops(), {w.const_data_ptr<float>(), w.stride(0), w.stride(1), w.stride(3)}, w.size(1), w.size(0),
                         packed.mutable_data_ptr<float>());
    tb::WinogradCall call{x.const_data_ptr<float>(),
                          packed.const_data_ptr<float>(),
                          bias.const_data_ptr<float>(),
                          residual.defined() ? residual.const_data_ptr<float>() : nullptr,
                          y.mutable_data_ptr<float>(),
                          x.size(0),
                          x.size(2),
                          x.size(3),
                          x.size(1),
                          w.size(0),
                          relu};
    const int64_t all = tb::winograd_tiles(call), last_panel = w.size(0) / loops().panel;
    for (int64_t t = 0; t < all; t += tiles)
      for (int64_t p = 0; p < last_panel; p += panels)
        loops().run(call, t, std::min(all, t + tiles), p, std::min(last_panel, p + panels), scratch.mutable_data_ptr<float>());
    return y;
  }
};

INSTANTIATE_TEST_SUITE_P(Loops, WinogradTest, ::testing::Values(tb::winograd_avx2(), tb::winograd_avx512()),
                         [](const auto& info) { return info.index == 0 ? "AVX2" : "AVX512"; });

TEST_P(WinogradTest, IsAsExactAsADirectConvolution) {
  at::manual_seed(3);
  const std::vector<Shape> shapes = {{1, 64, 64, 56, 56}, {1, 128, 128, 28, 28}, {1, 256, 256, 14, 14}, {1, 512, 512, 7, 7},
                                     {3, 32, 64, 9, 6},   {2, 16, 32, 1, 1},     {2, 16, 32, 1, 5},     {1, 16, 96, 2, 3},
                                     {1, 48, 32, 5, 96},  {5, 32, 32, 3, 3},     {1, 16, 32, 4, 4}};
  double worst = 0, worst_direct = 0;
  for (const Shape& s : shapes) {
    SCOPED_TRACE(::testing::PrintToString(s));
    at::Tensor x = last(at::randn({s.images, s.in, s.height, s.width})), bias = at::randn({s.out});
    at::Tensor w = at::randn({s.out, s.in, 3, 3}) / std::sqrt(9.0 * s.in), residual = last(at::randn({s.images, s.out, s.height, s.width}));
    at::Tensor sums = at::conv2d(x.to(at::kDouble), w.to(at::kDouble), bias.to(at::kDouble), 1, 1);
    worst_direct = std::max(worst_direct, (at::conv2d(x, w, bias, 1, 1) - sums).abs().max().item<double>());
    for (auto [tiles, panels] : {std::pair<int64_t, int64_t>{24, 1 << 20}, {23, 1}, {7, 2}, {1, 1 << 20}}) {
      double error = (convolve(x, w, bias, {}, false, tiles, panels) - sums).abs().max().item<double>();
      // Outputs are about 1.4 in size, and a float has 24 bits: 24 times the last one. A wrong tap would be off by 0.01 and more.
      EXPECT_LT(error, 2e-5) << tiles << " tiles and " << panels << " panels at a time";
      worst = std::max(worst, error);
      EXPECT_LT((convolve(x, w, bias, residual, false, tiles, panels) - (sums + residual)).abs().max().item<double>(), 2e-5);
      EXPECT_LT((convolve(x, w, bias, residual, true, tiles, panels) - (sums + residual).relu()).abs().max().item<double>(), 2e-5);
      EXPECT_LT((convolve(x, w, bias, {}, true, tiles, panels) - sums.relu()).abs().max().item<double>(), 2e-5);
    }
  }
  EXPECT_LT(worst, 2 * worst_direct) << "the sums are shorter than those of a direct convolution";
  RecordProperty("worst", std::to_string(worst));
  RecordProperty("worst_direct", std::to_string(worst_direct));
}

// One tap, of which a direct convolution would make a copy: the other pixels of a tile come and go, and leave their rounding.
TEST_P(WinogradTest, ASparseFilterIsRoundedAtTheScaleOfTheTile) {
  const int64_t panel = loops().panel;
  at::Tensor x = last(at::randn({1, panel, 10, 10})), w = at::zeros({panel, panel, 3, 3}), bias = at::zeros({panel});
  w.index_put_({at::arange(panel), at::arange(panel), at::tensor(1), at::tensor(1)}, at::ones({panel}));
  // A handful of additions of numbers up to 16, each right to 2⁻²⁴ of that.
  EXPECT_LT((convolve(x, w, bias, {}, false, 24, 1) - x).abs().max().item<double>(), 8e-6);
}

// A ReLU would make a NaN a zero if it were written the other way round, and nobody would see that a model is broken.
TEST_P(WinogradTest, ANaNStaysOneAndStaysInItsTiles) {
  at::Tensor x = last(at::zeros({1, 16, 8, 8})), w = at::ones({loops().panel, 16, 3, 3}), bias = at::zeros({loops().panel});
  x.index_put_({at::tensor(0), at::tensor(3), at::tensor(2), at::tensor(2)}, NAN);
  at::Tensor nan = convolve(x, w, bias, {}, true, 24, 1).isnan();
  auto square = [&nan](int64_t from, int64_t to) { return nan.slice(2, from, to).slice(3, from, to); };
  EXPECT_TRUE(square(1, 4).all().item<bool>());  // the outputs that it is a part of
  EXPECT_EQ(nan.sum().item<int64_t>(), square(0, 4).sum().item<int64_t>()) << "it spread to tiles that do not see it";
}

TEST(Winograd, FitsWholeVectorsAndPanels) {
  const tb::WinogradLoops eight{8, 16, nullptr};
  EXPECT_TRUE(tb::winograd_fits(eight, 64, 64));
  EXPECT_FALSE(tb::winograd_fits(eight, 3, 64));
  EXPECT_FALSE(tb::winograd_fits(eight, 64, 24));
  EXPECT_FALSE(tb::winograd_fits(eight, 0, 16));
  EXPECT_FALSE(tb::winograd_fits(eight, 8, 0));
}

}  // namespace
