#include "kept.h"

#include <ATen/ATen.h>

#include <utility>

#include "allocator.h"
#include "budget.h"

namespace tb {

namespace {

int64_t counted_storage(const at::Tensor& tensor) {
  const c10::Storage& storage = tensor.storage();
  return counted_bytes(storage.data_ptr()) + counted_bytes(storage.unsafeGetStorageImpl());
}

// In a tensor that keeps nothing else alive, as a view for autograd would the one it was made from.
at::Tensor same_elements(const at::Tensor& tensor) {
  at::AutoDispatchBelowADInplaceOrView below;
  return at::alias(tensor);
}

}  // namespace

Lent::Lent(const at::Tensor& input) : input_(input), callers_(input.has_storage() && input.storage().use_count() == 1) {}

Lent::~Lent() {
  Budget* budget = Budget::mine();
  if (budget != nullptr && callers_ && input_.storage().use_count() > 1) budget->took(static_cast<size_t>(counted_storage(input_)));
}

at::Tensor Lent::tensor() const { return input_.has_storage() ? same_elements(input_) : input_; }

tb_tensor* handed_out(at::Tensor output) {
  Budget* budget = Budget::mine();
  if (!output.has_storage() || budget == nullptr) return new tb_tensor(std::move(output));
  if (output.use_count() > 1 || output.storage().use_count() > 1) output = output.clone();
  tb_tensor* out = nullptr;
  {
    Budget::Pause uncounted;
    out = new tb_tensor(same_elements(output));
  }
  output.reset();
  budget->gave(static_cast<size_t>(counted_storage(out->value)));
  return out;
}

}  // namespace tb
