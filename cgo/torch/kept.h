// What a model keeps from one call to the next counts as what the calls have made and not freed
// (Budget::used). Two tensors cross that count: the input, made before, and the output, freed afterwards.
#pragma once

#include <ATen/core/Tensor.h>

#include "tensor.h"

namespace tb {

// The caller's input, for as long as a call. If the model holds on to it afterwards, it counts.
class Lent {
 public:
  explicit Lent(const at::Tensor& input);
  ~Lent();
  Lent(const Lent&) = delete;

  // The same elements in a tensor that counts.
  at::Tensor tensor() const;

 private:
  const at::Tensor& input_;
  const bool callers_;  // nobody but the caller has its elements
};

// The output, which does not count any more. It is a copy where the model holds on to the elements, so
// that each has its own to free.
tb_tensor* handed_out(at::Tensor output);

}  // namespace tb
