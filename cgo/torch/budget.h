// What one call into libtorch may cost. A model is a program: it can make tensors until the machine has no memory left, and loops that
// never end. The allocator asks here for each tensor, each loop at every turn, and each function.
#pragma once

#include <time.h>

#include <cstddef>
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

  // Throws when the time is up, too much is in use, or calls are nested too deeply.
  void tick() {
    if (stack_ - static_cast<const char*>(__builtin_frame_address(0)) > kMostStack) too_deep();
    if (max_bytes_ > 0 && used_ > max_bytes_) refuse(0);
    if (end_ns_ != 0 && now_ns() > end_ns_) too_slow();
  }

  int64_t used() const { return used_; }  // bytes made and not freed; below 0 where older ones were freed
  int64_t peak() const { return peak_; }  // bytes that were in use at one time, at most

  // The failure of a call, in better words where a limit was its reason, and outside the budget, as its
  // owner is. Takes the status over.
  vidi_status* explain(vidi_status* status) const;

  // While one lives, nothing counts that this thread makes or frees.
  class Pause {
   public:
    Pause() : paused_(current) { current = nullptr; }
    ~Pause() { current = paused_; }
    Pause(const Pause&) = delete;

   private:
    Budget* const paused_;
  };

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
  [[noreturn]] void too_deep();

  static constexpr size_t kLargeObject = size_t{1} << 20;
  // Of 8 MiB. What a known network calls takes some KiB between two ticks, its operators some hundred.
  static constexpr ptrdiff_t kMostStack = ptrdiff_t{1} << 20;

  const int64_t max_bytes_, max_ms_;
  int64_t end_ns_ = 0;  // 0 for never
  int64_t used_ = 0, peak_ = 0;
  bool refused_ = false, late_ = false;
  const char* const stack_ = static_cast<const char*>(__builtin_frame_address(0));
};

// What an object that operator new made counts in a budget.
int64_t counted_bytes(void* object);

// guarded within the limits. *peak, if peak is not NULL, becomes what the tensors took at one time, at most, and
// *kept, if it is not NULL, what they take at the end.
template <typename Body>
vidi_status* within(int64_t max_bytes, int64_t max_ms, int64_t* peak, int64_t* kept, vidi_code unforeseen, Body&& body) noexcept {
  Budget budget(max_bytes, max_ms);
  vidi_status* status = guarded(unforeseen, std::forward<Body>(body));
  if (status != nullptr) status = budget.explain(status);
  if (peak != nullptr) *peak = budget.peak();
  if (kept != nullptr) *kept = budget.used();
  return status;
}

}  // namespace tb
