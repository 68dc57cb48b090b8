#include "tensor.h"

#include <ATen/ATen.h>
#include <ATen/TensorIterator.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace {

using tb::require;

at::ScalarType scalar_type(int32_t dtype) {
  switch (dtype) {
    case TB_UINT8:
    case TB_INT8:
    case TB_INT32:
    case TB_INT64:
    case TB_FLOAT16:
    case TB_FLOAT32:
    case TB_FLOAT64:
    case TB_BOOL:
    case TB_BFLOAT16:
      return static_cast<at::ScalarType>(dtype);
    default:
      throw tb::Failure(VIDI_INVALID_ARGUMENT, "unknown element type " + std::to_string(dtype));
  }
}

// Elements of a shape; refuses negative axes and products that do not fit, by division so that the check cannot overflow. An
// axis of 0 counts as 1 in that check: strides are products of the other axes all the same.
int64_t element_count(at::IntArrayRef shape, int64_t element_bytes) {
  int64_t count = 1;
  bool empty = false;
  for (int64_t axis : shape) {
    require(axis >= 0, VIDI_INVALID_ARGUMENT, "a tensor's axis is negative");
    if (axis == 0) {
      empty = true;
      continue;
    }
    require(count <= INT64_MAX / element_bytes / axis, VIDI_INVALID_ARGUMENT, "a tensor of that shape is too large");
    count *= axis;
  }
  return empty ? 0 : count;
}

// A model may return, and a handle may hold, tensors that have no rows of elements in memory to copy.
void require_elements(const at::Tensor& value) {
  require(value.layout() == at::kStrided && value.device().is_cpu(), VIDI_SHAPE, "the tensor has no dense elements in memory");
}

// value → (value / 255 − mean) / std for each of the 256 values, in float32 with one rounding per operation, which is what
// torchvision's ToTensor and Normalize compute. A table costs 256 divisions where a picture would cost 150,000.
using Levels = std::array<float, 256>;
Levels normalised_levels(float mean, float std) {
  Levels levels;
  for (int v = 0; v < 256; v++) {
    volatile float unit = static_cast<float>(v) / 255.0f;  // volatile: no fused or excess-precision arithmetic
    volatile float centred = unit - mean;
    levels[v] = centred / std;
  }
  return levels;
}

template <typename Element>
void fill_channels_last(const uint8_t* rgb, int64_t pixels, const std::array<Levels, 3>& levels, Element* dst) {
  std::array<std::array<Element, 256>, 3> table;
  for (int c = 0; c < 3; c++)
    for (int v = 0; v < 256; v++) table[c][v] = static_cast<Element>(levels[c][v]);
  for (int64_t i = 0; i < pixels; i++)
    for (int c = 0; c < 3; c++) dst[3 * i + c] = table[c][rgb[3 * i + c]];
}

}  // namespace

extern "C" {

vidi_status* tb_tensor_new(tb_dtype dtype, const int64_t* shape, int32_t ndim, const void* data, size_t data_bytes, tb_tensor** out) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    *out = nullptr;
    require(ndim >= 0 && ndim <= TB_MAX_DIMS, VIDI_INVALID_ARGUMENT, "a tensor has 0 to 8 axes");
    require(ndim == 0 || shape != nullptr, VIDI_INVALID_ARGUMENT, "shape is NULL");
    at::ScalarType type = scalar_type(dtype);
    at::IntArrayRef axes(shape, static_cast<size_t>(ndim));
    int64_t element_bytes = static_cast<int64_t>(c10::elementSize(type));
    int64_t bytes = element_count(axes, element_bytes) * element_bytes;
    require(static_cast<uint64_t>(bytes) == data_bytes, VIDI_SHAPE, "the data is not as long as the shape says");
    require(bytes == 0 || data != nullptr, VIDI_INVALID_ARGUMENT, "data is NULL");
    c10::InferenceMode guard;
    at::Tensor value = at::empty(axes, at::TensorOptions().dtype(type));
    if (bytes > 0) std::memcpy(value.mutable_data_ptr(), data, data_bytes);
    *out = new tb_tensor(std::move(value));
  });
}

vidi_status* tb_tensor_describe(const tb_tensor* tensor, tb_tensor_info* out) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(tensor != nullptr && out != nullptr, VIDI_INVALID_ARGUMENT, "tensor or out is NULL");
    const at::Tensor& value = tensor->value;
    require(value.dim() <= TB_MAX_DIMS, VIDI_SHAPE, "the tensor has more than 8 axes");
    *out = {};
    out->dtype = static_cast<int32_t>(value.scalar_type());
    out->ndim = static_cast<int32_t>(value.dim());
    for (int64_t i = 0; i < value.dim(); i++) out->shape[i] = value.size(i);
    out->elements = value.numel();
    out->element_bytes = static_cast<int64_t>(value.element_size());
  });
}

vidi_status* tb_tensor_copy(const tb_tensor* tensor, void* dst, size_t dst_bytes) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(tensor != nullptr, VIDI_INVALID_ARGUMENT, "tensor is NULL");
    require_elements(tensor->value);
    require(tensor->value.nbytes() == dst_bytes, VIDI_SHAPE, "the buffer is not as long as the tensor");
    require(dst != nullptr || dst_bytes == 0, VIDI_INVALID_ARGUMENT, "dst is NULL");
    c10::InferenceMode guard;
    at::Tensor rows = tensor->value.resolve_conj().resolve_neg().contiguous();
    if (dst_bytes > 0) std::memcpy(dst, rows.const_data_ptr(), dst_bytes);
  });
}

vidi_status* tb_tensor_copy_float32(const tb_tensor* tensor, float* dst, size_t count) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(tensor != nullptr, VIDI_INVALID_ARGUMENT, "tensor is NULL");
    require_elements(tensor->value);
    require(static_cast<size_t>(tensor->value.numel()) == count, VIDI_SHAPE, "the buffer is not as long as the tensor");
    require(dst != nullptr || count == 0, VIDI_INVALID_ARGUMENT, "dst is NULL");
    require(!tensor->value.is_complex() && !tensor->value.is_quantized(), VIDI_SHAPE, "the tensor's elements are not real numbers");
    c10::InferenceMode guard;
    const at::Tensor from = tensor->value.resolve_neg().contiguous().view({-1});
    at::Tensor to = at::from_blob(dst, {from.numel()}, at::kFloat);
    // In parts so small that ATen does them on one thread: for more it would start a pool of threads for the caller's. (What has
    // gaps in memory, which no classifier's output has, may still get one in the line above.)
    constexpr int64_t kPart = at::internal::GRAIN_SIZE / 2;
    for (int64_t i = 0; i < from.numel(); i += kPart) {
      const int64_t length = std::min(kPart, from.numel() - i);
      to.narrow(0, i, length).copy_(from.narrow(0, i, length));
    }
  });
}

void tb_tensor_free(tb_tensor* tensor) { delete tensor; }

void* tb_tensor_handle(tb_tensor* tensor) { return tensor ? &tensor->value : nullptr; }

vidi_status* tb_tensor_from_handle(void* at_tensor, tb_tensor** out) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    *out = nullptr;
    require(at_tensor != nullptr, VIDI_INVALID_ARGUMENT, "the handle is NULL");
    const auto& value = *static_cast<at::Tensor*>(at_tensor);
    require(value.defined(), VIDI_INVALID_ARGUMENT, "the handle's tensor is undefined");
    *out = new tb_tensor(value);
  });
}

vidi_status* tb_tensor_from_rgb(const uint8_t* rgb, size_t rgb_bytes, int64_t count, int64_t height, int64_t width, const float mean[3],
                                const float std[3], tb_dtype dtype, tb_tensor** out) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    *out = nullptr;
    require(rgb != nullptr && mean != nullptr && std != nullptr, VIDI_INVALID_ARGUMENT, "rgb, mean or std is NULL");
    require(count > 0 && height > 0 && width > 0, VIDI_INVALID_ARGUMENT, "count, height and width must be positive");
    require(dtype == TB_FLOAT32 || dtype == TB_BFLOAT16, VIDI_INVALID_ARGUMENT, "the input's element type is float32 or bfloat16");
    int64_t pixels = element_count({count, height, width}, 3 * sizeof(float));
    require(static_cast<uint64_t>(pixels) * 3 == rgb_bytes, VIDI_SHAPE, "rgb is not count × height × width × 3 bytes");
    std::array<Levels, 3> levels;
    for (int c = 0; c < 3; c++) {
      require(std[c] != 0.0f, VIDI_INVALID_ARGUMENT, "std has a zero");
      levels[c] = normalised_levels(mean[c], std[c]);
    }
    c10::InferenceMode guard;
    at::Tensor value = at::empty({count, 3, height, width}, at::TensorOptions().dtype(scalar_type(dtype)), at::MemoryFormat::ChannelsLast);
    if (dtype == TB_FLOAT32)
      fill_channels_last(rgb, pixels, levels, value.mutable_data_ptr<float>());
    else
      fill_channels_last(rgb, pixels, levels, value.mutable_data_ptr<at::BFloat16>());
    *out = new tb_tensor(std::move(value));
  });
}

}  // extern "C"
