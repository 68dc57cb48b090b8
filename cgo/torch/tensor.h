#pragma once

#include <ATen/core/Tensor.h>

#include "failures.h"

// An at::Tensor with a name that C can hold. `value` is the first member: tb_tensor_handle hands out its address.
struct tb_tensor {
  at::Tensor value;
  explicit tb_tensor(at::Tensor t) : value(std::move(t)) { tb::live().tensors++; }
  ~tb_tensor() { tb::live().tensors--; }
  tb_tensor(const tb_tensor&) = delete;
  tb_tensor& operator=(const tb_tensor&) = delete;
};
