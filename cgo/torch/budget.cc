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

void Budget::too_deep() { throw Failure(VIDI_FORWARD_FAILED, "the model's functions call each other too deeply"); }

vidi_status* Budget::explain(vidi_status* status) const {
  // A fold of constants that was refused is no failure: what failed later has its own reason.
  const bool memory = refused_ && vidi_status_code(status) == VIDI_OUT_OF_MEMORY;
  vidi_status* better = nullptr;
  try {
    Pause uncounted;
    std::string why = vidi_status_message(status);
    if (late_) {
      why = "the model was not done in " + std::to_string(max_ms_) + " ms";
    } else if (memory) {
      why = "the model needs more than the " + std::to_string(max_bytes_ >> 20) + " MB of memory that it may take";
    }
    better = make_status(late_ ? VIDI_TOO_SLOW : vidi_status_code(status), why.c_str(), vidi_status_detail(status));
  } catch (...) {
    return status;
  }
  vidi_status_free(status);
  return better;
}

}  // namespace tb
