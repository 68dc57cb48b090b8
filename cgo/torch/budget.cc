#include "budget.h"

#include <c10/util/Exception.h>

#include <algorithm>

namespace tb {

thread_local Budget* Budget::current = nullptr;

Budget::Budget(int64_t max_bytes, int64_t max_ms) : max_bytes_(max_bytes), max_ms_(max_ms) {
  if (max_ms > 0) end_ns_ = now_ns() + std::min(max_ms, int64_t{1} << 40) * 1'000'000;
  current = this;
}

void Budget::refuse(size_t bytes) {
  refused_ = true;
  TORCH_CHECK(false, "DefaultCPUAllocator: not enough memory: you tried to allocate ", bytes, " bytes.");
}

namespace {

// With a text by which it is known for what it is when TorchScript has turned it into another type.
struct NoMemory : std::bad_alloc {
  const char* what() const noexcept override { return "DefaultCPUAllocator: not enough memory for an object"; }
};

}  // namespace

void Budget::refuse_object() {
  refused_ = true;
  throw NoMemory();
}

void Budget::too_slow() {
  late_ = true;
  throw Failure(VIDI_TOO_SLOW, "the model was not done in time");
}

vidi_status* Budget::explain(vidi_status* status) const {
  // A fold of constants that was refused is no failure: what failed later has its own reason.
  const bool memory = refused_ && vidi_status_code(status) == VIDI_OUT_OF_MEMORY;
  if (!late_ && !memory) return status;
  try {
    const std::string why = late_ ? "the model was not done in " + std::to_string(max_ms_) + " ms"
                                  : "the model needs more than the " + std::to_string(max_bytes_ >> 20) + " MB of memory that it may take";
    vidi_status* better = make_status(late_ ? VIDI_TOO_SLOW : VIDI_OUT_OF_MEMORY, why.c_str(), vidi_status_detail(status));
    vidi_status_free(status);
    return better;
  } catch (...) {
    return status;
  }
}

}  // namespace tb
