// What one call into libtorch may cost. A model is a program: it can make tensors until the machine has no memory left, and loops that
// never end. The allocator asks here for each tensor, and each loop at every turn.
#pragma once

#include <time.h>

#include <cstdint>
#include <string>

#include "failures.h"

namespace tb {

// Counts the tensors, and the objects beside them (objects.cc), that this thread makes and frees while it lives; there is one at a time.
// Other threads' tensors do not count: who makes too many fails alone. OpenMP's threads make no tensors worth counting.
class Budget {
 public:
  // 0 means no limit.
  Budget(int64_t max_bytes, int64_t max_ms);
  ~Budget() { current = nullptr; }
  Budget(const Budget&) = delete;

  // The thread's, or nullptr.
  static Budget* mine() { return current; }

  // Throws libtorch's own error for memory that is not there.
  void ask(size_t bytes) {
    if (max_bytes_ > 0 && (bytes > static_cast<uint64_t>(max_bytes_) || used_ + static_cast<int64_t>(bytes) > max_bytes_)) refuse(bytes);
  }
  // The same for an object that is no tensor. libtorch does not expect small ones to fail, so those may make twice as much until the next
  // tick; what grows without end asks for much at once, sooner or later.
  void ask_for_object(size_t bytes) {
    if (max_bytes_ <= 0) return;
    const int64_t most = bytes >= kLargeObject ? max_bytes_ : 2 * max_bytes_;
    if (bytes > static_cast<uint64_t>(most) || used_ + static_cast<int64_t>(bytes) > most) refuse_object();
  }
  void took(size_t bytes) {
    used_ += static_cast<int64_t>(bytes);
    if (used_ > peak_) peak_ = used_;
  }
  // What was made before the call may be freed in it, so that less than nothing may be used.
  void gave(size_t bytes) { used_ -= static_cast<int64_t>(bytes); }

  // Throws when the time is up, or too much is in use.
  void tick() {
    if (max_bytes_ > 0 && used_ > max_bytes_) refuse(0);
    if (end_ns_ != 0 && now_ns() > end_ns_) too_slow();
  }

  int64_t peak() const { return peak_; }  // bytes that were in use at one time, at most

  // The failure of a call, in better words where a limit was its reason. Takes the status over.
  vidi_status* explain(vidi_status* status) const;

 private:
  static thread_local Budget* current;

  // Some milliseconds behind, which costs a fifth of the exact time.
  static int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
  }
  [[noreturn]] void refuse(size_t bytes);
  [[noreturn]] void refuse_object();
  [[noreturn]] void too_slow();

  static constexpr size_t kLargeObject = size_t{1} << 20;

  const int64_t max_bytes_, max_ms_;
  int64_t end_ns_ = 0;  // 0 for never
  int64_t used_ = 0, peak_ = 0;
  bool refused_ = false, late_ = false;
};

// guarded within the limits. *peak, if peak is not NULL, becomes what the tensors took at one time, at most.
template <typename Body>
vidi_status* within(int64_t max_bytes, int64_t max_ms, int64_t* peak, vidi_code unforeseen, Body&& body) noexcept {
  Budget budget(max_bytes, max_ms);
  vidi_status* status = guarded(unforeseen, std::forward<Body>(body));
  if (peak != nullptr) *peak = budget.peak();
  return status == nullptr ? nullptr : budget.explain(status);
}

}  // namespace tb
