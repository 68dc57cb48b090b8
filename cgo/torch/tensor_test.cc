// Tensors in and out: elements, shapes, handles, and a network's input from pixels.
#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <thread>

#include "testing.h"

namespace {

using namespace tb::testing;

const at::Tensor& inside(const Tensor& t) { return *static_cast<at::Tensor*>(tb_tensor_handle(t.get())); }

Tensor from_handle(at::Tensor value) {  // by value: the caller's at::Tensor is gone when this returns
  tb_tensor* out = nullptr;
  EXPECT_OK(tb_tensor_from_handle(&value, &out));
  return Tensor(out);
}

tb_tensor_info described(const Tensor& t) {
  tb_tensor_info info;
  EXPECT_OK(tb_tensor_describe(t.get(), &info));
  return info;
}

std::vector<float> as_float32(const Tensor& t) {
  std::vector<float> out(static_cast<size_t>(described(t).elements));
  EXPECT_OK(tb_tensor_copy_float32(t.get(), out.data(), out.size()));
  return out;
}

std::vector<uint8_t> raw(const Tensor& t) {
  tb_tensor_info info = described(t);
  size_t size = static_cast<size_t>(info.elements * info.element_bytes);
  auto dst = exact_buffer(size);
  EXPECT_OK(tb_tensor_copy(t.get(), dst.get(), size));
  return {dst.get(), dst.get() + size};
}

// A call whose outcome must also leave NULL behind.
vidi_status* new_tensor(int32_t dtype, const std::vector<int64_t>& shape, const void* data, size_t bytes) {
  auto* out = reinterpret_cast<tb_tensor*>(1);
  vidi_status* status = tb_tensor_new(static_cast<tb_dtype>(dtype), shape.data(), static_cast<int32_t>(shape.size()), data, bytes, &out);
  if (status != nullptr) {
    EXPECT_EQ(out, nullptr);
  } else {
    tb_tensor_free(out);
  }
  return status;
}

constexpr struct {
  tb_dtype dtype;
  int64_t bytes;
} kTypes[] = {{TB_UINT8, 1},   {TB_INT8, 1},    {TB_INT32, 4}, {TB_INT64, 8},   {TB_FLOAT16, 2},
              {TB_FLOAT32, 4}, {TB_FLOAT64, 8}, {TB_BOOL, 1},  {TB_BFLOAT16, 2}};

TEST(Tensor, EveryElementTypeRoundTrips) {
  for (auto [dtype, bytes] : kTypes) {
    std::vector<uint8_t> elements;
    for (int64_t i = 0; i < 6 * bytes; i++) elements.push_back(static_cast<uint8_t>(dtype == TB_BOOL ? i % 2 : i * 37 + 1));
    Tensor t = tensor_of(dtype, {2, 3}, elements);
    tb_tensor_info info = described(t);
    EXPECT_EQ(info.dtype, dtype);
    EXPECT_EQ(info.ndim, 2);
    EXPECT_EQ(info.shape[0], 2);
    EXPECT_EQ(info.shape[1], 3);
    EXPECT_EQ(info.shape[2], 0);
    EXPECT_EQ(info.elements, 6);
    EXPECT_EQ(info.element_bytes, bytes);
    EXPECT_EQ(raw(t), elements);
    EXPECT_EQ(static_cast<int>(inside(t).scalar_type()), dtype);
  }
}

TEST(Tensor, TheElementsAreACopy) {
  std::vector<int32_t> elements = {1, 2, 3};
  Tensor t = tensor_of(TB_INT32, {3}, elements);
  elements.assign(3, 0);
  EXPECT_EQ(as_float32(t), (std::vector<float>{1, 2, 3}));
}

TEST(Tensor, ShapesFromNoAxesToEight) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{}, {1}, {5}, {0}, {3, 0, 2}, {0, 0}, {1, 2, 1, 2, 1, 2, 1, 2}, {2, 1, 1, 1, 0, 1, 1, 1}}) {
    int64_t count = 1;
    for (int64_t axis : shape) count *= axis;
    std::vector<uint8_t> elements(static_cast<size_t>(count), 9);
    Tensor t = tensor_of(TB_UINT8, shape, elements);
    tb_tensor_info info = described(t);
    EXPECT_EQ(info.elements, count);
    EXPECT_EQ(std::vector<int64_t>(info.shape, info.shape + info.ndim), shape);
    EXPECT_EQ(raw(t), elements);
    EXPECT_EQ(as_float32(t), std::vector<float>(static_cast<size_t>(count), 9.0f));
  }
  EXPECT_OK(tb_tensor_copy(tensor_of<uint8_t>(TB_UINT8, {0}, {}).get(), nullptr, 0));
  EXPECT_OK(tb_tensor_copy_float32(tensor_of<uint8_t>(TB_UINT8, {0}, {}).get(), nullptr, 0));
}

TEST(Tensor, NewRefusesShapesThatCannotBe) {
  uint8_t data[16] = {};
  const int64_t big = INT64_C(1) << 33;
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "0 to 8 axes", new_tensor(TB_UINT8, std::vector<int64_t>(9, 1), data, 1));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "negative", new_tensor(TB_UINT8, {2, -1}, data, 2));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "negative", new_tensor(TB_UINT8, {0, INT64_MIN}, data, 0));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", new_tensor(TB_UINT8, {big, (INT64_C(1) << 31) + 1}, data, 16));  // 2^64 + 2^33
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", new_tensor(TB_FLOAT64, {INT64_MAX / 8 + 1}, data, 16));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", new_tensor(TB_UINT8, {INT64_MAX, INT64_MAX}, data, 1));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "too large", new_tensor(TB_UINT8, {0, INT64_MAX, 3}, data, 0));  // its strides would overflow
  tb_tensor* out;
  int64_t axis = 1;
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "0 to 8 axes", tb_tensor_new(TB_UINT8, &axis, -1, data, 1, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "shape is NULL", tb_tensor_new(TB_UINT8, nullptr, 1, data, 1, &out));
}

TEST(Tensor, NewRefusesDataOfAnotherLength) {
  float data[7] = {};
  EXPECT_OK(new_tensor(TB_FLOAT32, {2, 3}, data, 24));
  for (size_t bytes : {0, 6, 20, 23, 25, 28}) EXPECT_FAILS(VIDI_SHAPE, "as long as", new_tensor(TB_FLOAT32, {2, 3}, data, bytes));
  EXPECT_FAILS(VIDI_SHAPE, "as long as", new_tensor(TB_FLOAT32, {0, 3}, data, 4));
  EXPECT_FAILS(VIDI_SHAPE, "as long as", new_tensor(TB_UINT8, {INT64_C(1) << 45}, data, 24));
}

TEST(Tensor, NewRefusesUnknownElementTypes) {
  uint8_t data[16] = {};
  for (int32_t dtype : {2, 8, 9, 12, 13, 14})  // int16, complex and quantised ones
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "unknown element type", new_tensor(dtype, {1}, data, 1)) << dtype;
  for (int32_t dtype : {16, 99, -1, INT32_MAX})  // also numbers that no element of the enum has
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "unknown element type", new_tensor(dtype, {1}, data, 1)) << dtype;
}

TEST(Tensor, NullsAreRefused) {
  Tensor t = tensor_of<float>(TB_FLOAT32, {2}, {1, 2});
  int64_t axis = 2;
  tb_tensor* out;
  tb_tensor_info info;
  float dst[2];
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_tensor_new(TB_FLOAT32, &axis, 1, dst, 8, nullptr));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "data is NULL", tb_tensor_new(TB_FLOAT32, &axis, 1, nullptr, 8, &out));
  EXPECT_EQ(out, nullptr);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_tensor_describe(nullptr, &info));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "NULL", tb_tensor_describe(t.get(), nullptr));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "tensor is NULL", tb_tensor_copy(nullptr, dst, 8));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "dst is NULL", tb_tensor_copy(t.get(), nullptr, 8));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "tensor is NULL", tb_tensor_copy_float32(nullptr, dst, 2));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "dst is NULL", tb_tensor_copy_float32(t.get(), nullptr, 2));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "handle is NULL", tb_tensor_from_handle(nullptr, &out));
  EXPECT_EQ(out, nullptr);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_tensor_from_handle(tb_tensor_handle(t.get()), nullptr));
  EXPECT_EQ(tb_tensor_handle(nullptr), nullptr);
  tb_tensor_free(nullptr);
}

TEST(TensorCopy, TheBufferIsExactlyAsLongAsTheTensor) {
  Tensor t = tensor_of<float>(TB_FLOAT32, {3}, {1, 2, 3});
  for (size_t bytes : {0, 11, 13, 3}) EXPECT_FAILS(VIDI_SHAPE, "as long as", tb_tensor_copy(t.get(), exact_buffer(bytes).get(), bytes));
  std::vector<float> dst(4);
  for (size_t count : {0, 2, 4, 12}) EXPECT_FAILS(VIDI_SHAPE, "as long as", tb_tensor_copy_float32(t.get(), dst.data(), count));
}

TEST(TensorCopy, StridesDoNotShow) {
  at::Tensor base = at::arange(24, at::kInt).reshape({2, 3, 4});
  Tensor transposed = from_handle(base.permute({2, 0, 1}));
  std::vector<float> want;
  for (int k = 0; k < 4; k++)
    for (int i = 0; i < 6; i++) want.push_back(static_cast<float>(i * 4 + k));
  EXPECT_EQ(as_float32(transposed), want);
  std::vector<int32_t> elements(24);
  EXPECT_OK(tb_tensor_copy(transposed.get(), elements.data(), 96));
  EXPECT_EQ(std::vector<float>(elements.begin(), elements.end()), want);
  EXPECT_EQ(as_float32(from_handle(at::arange(3, at::kInt).expand({2, 3}))), (std::vector<float>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(as_float32(from_handle(at::arange(8, at::kInt).slice(0, 1, 8, 3))), (std::vector<float>{1, 4, 7}));
}

TEST(TensorCopy, PostponedNegationsAreCarriedOut) {
  Tensor negated = from_handle(at::_neg_view(at::ones({2})));
  EXPECT_EQ(as_float32(negated), (std::vector<float>{-1, -1}));
  std::vector<float> elements(2);
  EXPECT_OK(tb_tensor_copy(negated.get(), elements.data(), 8));
  EXPECT_EQ(elements, (std::vector<float>{-1, -1}));
  Tensor conjugated = from_handle(at::complex(at::ones({1}), at::ones({1})).conj());
  EXPECT_OK(tb_tensor_copy(conjugated.get(), elements.data(), 8));
  EXPECT_EQ(elements, (std::vector<float>{1, -1}));
}

TEST(TensorCopy, Float32FromEveryElementType) {
  for (auto [dtype, bytes] : kTypes) {
    at::Tensor values = at::arange(4, at::kFloat).to(static_cast<at::ScalarType>(dtype));
    std::vector<float> want = {0, 1, dtype == TB_BOOL ? 1.0f : 2.0f, dtype == TB_BOOL ? 1.0f : 3.0f};
    EXPECT_EQ(as_float32(from_handle(values)), want) << dtype;
  }
  EXPECT_EQ(as_float32(tensor_of<uint8_t>(TB_UINT8, {2}, {0, 255})), (std::vector<float>{0, 255}));
  EXPECT_EQ(as_float32(tensor_of<int64_t>(TB_INT64, {2}, {-1, (INT64_C(1) << 24) + 1})), (std::vector<float>{-1, 16777216}));
  EXPECT_EQ(as_float32(tensor_of<uint16_t>(TB_BFLOAT16, {3}, {0x3F80, 0xC040, 0x7F80})), (std::vector<float>{1, -3, INFINITY}));
  EXPECT_EQ(as_float32(tensor_of<uint16_t>(TB_FLOAT16, {3}, {0x3C00, 0x0001, 0xFBFF})), (std::vector<float>{1, 0x1p-24f, -65504}));
  EXPECT_EQ(as_float32(tensor_of<double>(TB_FLOAT64, {2}, {1e300, 0.1})), (std::vector<float>{INFINITY, 0.1f}));
  EXPECT_TRUE(std::isnan(as_float32(tensor_of<double>(TB_FLOAT64, {1}, {std::numeric_limits<double>::quiet_NaN()}))[0]));
}

// Goroutines copy outputs on whatever thread they are, none of which shall get a pool of OpenMP's threads for it.
TEST(TensorCopy, Float32StartsNoThreads) {
  auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const at::Tensor value = at::arange(100'000).remainder(256).to(at::kBFloat16);
  Tensor large = from_handle(value);
  std::thread([&] {
    EXPECT_OK(tb_thread_set_count(3));
    const auto before = threads();
    EXPECT_EQ(as_float32(large).at(99'999), 99'999 % 256);
    EXPECT_LE(threads(), before);   // those of earlier tests may end
    at::neg(value.to(at::kFloat));  // what would start them
    EXPECT_GT(threads(), before);
  }).join();
}

TEST(TensorCopy, Float32RefusesWhatAreNoRealNumbers) {
  float dst[4];
  Tensor complex = from_handle(at::ones({2}, at::kComplexFloat));
  EXPECT_FAILS(VIDI_SHAPE, "not real numbers", tb_tensor_copy_float32(complex.get(), dst, 2));
  EXPECT_EQ(described(complex).dtype, static_cast<int>(at::kComplexFloat));
  EXPECT_EQ(raw(complex).size(), 16u);  // the bytes as they are can be had
  Tensor quantised = from_handle(at::quantize_per_tensor(at::ones({2}), 0.1, 0, at::kQInt8));
  EXPECT_FAILS(VIDI_SHAPE, "not real numbers", tb_tensor_copy_float32(quantised.get(), dst, 2));
  EXPECT_EQ(raw(quantised), std::vector<uint8_t>(2, 10));
}

TEST(TensorCopy, TensorsWithoutElementsInMemoryAreRefused) {
  float dst[4];
  for (at::Tensor value : {at::ones({2, 2}).to_sparse(), at::ones({2, 2}, at::device(at::kMeta))}) {
    Tensor t = from_handle(value);
    EXPECT_EQ(described(t).elements, 4);
    EXPECT_FAILS(VIDI_SHAPE, "no dense elements", tb_tensor_copy(t.get(), dst, 16));
    EXPECT_FAILS(VIDI_SHAPE, "no dense elements", tb_tensor_copy_float32(t.get(), dst, 4));
  }
}

TEST(TensorDescribe, MoreThanEightAxesAreRefused) {
  tb_tensor_info info;
  Tensor nine = from_handle(at::ones({1, 1, 1, 1, 1, 1, 1, 1, 3}));
  EXPECT_FAILS(VIDI_SHAPE, "more than 8 axes", tb_tensor_describe(nine.get(), &info));
  std::vector<float> dst(3);
  EXPECT_OK(tb_tensor_copy_float32(nine.get(), dst.data(), 3));
}

TEST(TensorHandle, StorageIsSharedAndOutlivesTheOriginal) {
  auto original = std::make_unique<at::Tensor>(at::zeros({3}));
  tb_tensor* shared = nullptr;
  ASSERT_OK(tb_tensor_from_handle(original.get(), &shared));
  Tensor t(shared);
  original->fill_(5);
  EXPECT_EQ(as_float32(t), (std::vector<float>{5, 5, 5}));
  original.reset();
  EXPECT_EQ(as_float32(t), (std::vector<float>{5, 5, 5}));

  at::Tensor kept = inside(t);  // and the other way round: what another library took from a handle stays valid
  t.reset();
  EXPECT_EQ(kept.sum().item<float>(), 15);
}

TEST(TensorHandle, AHandleOfAHandleIsTheSameStorage) {
  Tensor t = tensor_of<float>(TB_FLOAT32, {2}, {1, 2});
  tb_tensor* again = nullptr;
  ASSERT_OK(tb_tensor_from_handle(tb_tensor_handle(t.get()), &again));
  Tensor owner(again);
  EXPECT_EQ(inside(owner).data_ptr(), inside(t).data_ptr());
}

TEST(TensorHandle, AnUndefinedTensorIsRefused) {
  at::Tensor undefined;
  auto* out = reinterpret_cast<tb_tensor*>(1);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "undefined", tb_tensor_from_handle(&undefined, &out));
  EXPECT_EQ(out, nullptr);
}

}  // namespace
