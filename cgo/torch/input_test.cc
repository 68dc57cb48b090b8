// A network's input from pixels: the same floats as torchvision's ToTensor and Normalize, to the last bit.
#include <ATen/ATen.h>

#include "testing.h"

namespace {

using namespace tb::testing;

struct Normalisation {
  const char* name;
  float mean[3], std[3];
};
constexpr Normalisation kImageNet{"ImageNet", {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
constexpr float kMean127 = 127.0f / 255.0f, kStd128 = 128.0f / 255.0f;
constexpr Normalisation kLite0{"Lite0", {kMean127, kMean127, kMean127}, {kStd128, kStd128, kStd128}};

at::Tensor from_rgb(const std::vector<uint8_t>& rgb, int64_t count, int64_t height, int64_t width, const Normalisation& n, tb_dtype dtype) {
  tb_tensor* out = nullptr;
  EXPECT_OK(tb_tensor_from_rgb(rgb.data(), rgb.size(), count, height, width, n.mean, n.std, dtype, &out));
  Tensor owner(out);
  return *static_cast<at::Tensor*>(tb_tensor_handle(out));
}

// What torchvision does: HWC bytes to CHW floats, div(255), sub_(mean), div_(std).
at::Tensor torchvisions(std::vector<uint8_t> rgb, int64_t count, int64_t height, int64_t width, const Normalisation& n) {
  at::Tensor bytes = at::from_blob(rgb.data(), {count, height, width, 3}, at::kByte);
  at::Tensor x = bytes.permute({0, 3, 1, 2}).contiguous().to(at::kFloat).div(255);
  at::Tensor mean = at::tensor(at::ArrayRef<float>(n.mean, 3)).view({1, 3, 1, 1});
  at::Tensor std = at::tensor(at::ArrayRef<float>(n.std, 3)).view({1, 3, 1, 1});
  return x.sub_(mean).div_(std);
}

std::vector<uint8_t> every_value_in_each_channel() {  // 16 × 16 pixels
  std::vector<uint8_t> rgb;
  for (int v = 0; v < 256; v++)
    for (int shift : {0, 85, 170}) rgb.push_back(static_cast<uint8_t>(v + shift));
  return rgb;
}

TEST(Input, EveryLevelIsTorchvisionsToTheLastBit) {
  for (const Normalisation& n : {kImageNet, kLite0}) {
    std::vector<uint8_t> rgb = every_value_in_each_channel();
    at::Tensor got = from_rgb(rgb, 1, 16, 16, n, TB_FLOAT32), want = torchvisions(rgb, 1, 16, 16, n);
    EXPECT_EQ(got.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(got, want)) << n.name << ": " << (got - want).abs().max().item<float>();
  }
}

TEST(Input, Bfloat16IsTheFloatRounded) {
  for (const Normalisation& n : {kImageNet, kLite0}) {
    std::vector<uint8_t> rgb = every_value_in_each_channel();
    at::Tensor got = from_rgb(rgb, 1, 16, 16, n, TB_BFLOAT16);
    EXPECT_EQ(got.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(at::equal(got, torchvisions(rgb, 1, 16, 16, n).to(at::kBFloat16))) << n.name;
  }
}

TEST(Input, MemoryIsChannelsLast) {
  std::vector<uint8_t> rgb(2 * 4 * 5 * 3);
  for (size_t i = 0; i < rgb.size(); i++) rgb[i] = static_cast<uint8_t>(i * 7);
  for (tb_dtype dtype : {TB_FLOAT32, TB_BFLOAT16}) {
    at::Tensor x = from_rgb(rgb, 2, 4, 5, kImageNet, dtype);
    EXPECT_EQ(x.sizes(), at::IntArrayRef({2, 3, 4, 5}));
    EXPECT_TRUE(x.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_EQ(x.strides(), at::IntArrayRef({60, 1, 15, 3}));
  }
}

TEST(Input, PicturesOfABatchKeepTheirPlaces) {
  std::vector<uint8_t> rgb(3 * 2 * 4 * 3);
  for (size_t i = 0; i < rgb.size(); i++) rgb[i] = static_cast<uint8_t>(i * 3 + 1);
  EXPECT_TRUE(at::equal(from_rgb(rgb, 3, 2, 4, kImageNet, TB_FLOAT32), torchvisions(rgb, 3, 2, 4, kImageNet)));
}

TEST(Input, OnePixel) {
  std::vector<uint8_t> rgb = {255, 0, 128};
  EXPECT_TRUE(at::equal(from_rgb(rgb, 1, 1, 1, kImageNet, TB_FLOAT32), torchvisions(rgb, 1, 1, 1, kImageNet)));
}

TEST(InputRefuses, WhatCannotBe) {
  std::vector<uint8_t> rgb(2 * 3 * 3);
  const float* mean = kImageNet.mean;
  const float* std = kImageNet.std;
  auto call = [&](int64_t count, int64_t height, int64_t width, size_t bytes, int dtype = TB_FLOAT32, const float* divisor = nullptr) {
    auto* out = reinterpret_cast<tb_tensor*>(1);
    vidi_status* status =
        tb_tensor_from_rgb(rgb.data(), bytes, count, height, width, mean, divisor ? divisor : std, static_cast<tb_dtype>(dtype), &out);
    EXPECT_EQ(out == nullptr, status != nullptr);
    if (status == nullptr) tb_tensor_free(out);
    return status;
  };
  EXPECT_OK(call(1, 2, 3, 18));
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "positive", call(bad, 2, 3, 18));
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "positive", call(1, bad, 3, 18));
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "positive", call(1, 2, bad, 18));
  }
  for (size_t bad : {size_t{0}, size_t{6}, size_t{17}, size_t{19}, SIZE_MAX}) EXPECT_FAILS(VIDI_SHAPE, "rgb is not", call(1, 2, 3, bad));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", call(INT64_MAX, 2, 3, 18));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", call(INT64_C(1) << 31, INT64_C(1) << 31, INT64_C(1) << 31, 18));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", call(1, 2, INT64_MAX / 12, 18));
  for (int bad : {0, 5, 7, 99, -1}) EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "float32 or bfloat16", call(1, 2, 3, 18, bad));
  for (int c = 0; c < 3; c++) {
    float zero[3] = {1, 1, 1};
    zero[c] = 0;
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "std has a zero", call(1, 2, 3, 18, TB_FLOAT32, zero));
    zero[c] = -0.0f;
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "std has a zero", call(1, 2, 3, 18, TB_FLOAT32, zero));
  }
}

TEST(InputRefuses, Nulls) {
  std::vector<uint8_t> rgb(3);
  const float* m = kImageNet.mean;
  auto* out = reinterpret_cast<tb_tensor*>(1);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_tensor_from_rgb(nullptr, 3, 1, 1, 1, m, m, TB_FLOAT32, &out));
  EXPECT_EQ(out, nullptr);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_tensor_from_rgb(rgb.data(), 3, 1, 1, 1, nullptr, m, TB_FLOAT32, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_tensor_from_rgb(rgb.data(), 3, 1, 1, 1, m, nullptr, TB_FLOAT32, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_tensor_from_rgb(rgb.data(), 3, 1, 1, 1, m, m, TB_FLOAT32, nullptr));
}

}  // namespace
