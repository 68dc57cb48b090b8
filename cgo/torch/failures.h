// How C++ failures become statuses where libtorch throws too: `return guarded([&] { ... });` around the
// body of every ABI function.
#pragma once

#include <c10/util/Exception.h>

#include <atomic>
#include <cstring>

#include "guarded.h"
#include "shim.h"

namespace tb {

using vidi::Failure;
using vidi::require;

// Counters behind tb_live_counts. Each type's constructor and destructor keep their own.
struct Live {
  std::atomic<int64_t> modules{0}, tensors{0};
};
Live& live();

// vidi::make_status with the line of a text of libtorch's that says what happened.
vidi_status* make_status(vidi_code code, const char* message, const char* detail = "") noexcept;

// libtorch's CPU allocator reports a failed allocation as a plain c10::Error, which TorchScript's interpreter turns into yet
// another type; only its text tells it from others.
inline bool ran_out_of_memory(const char* what) noexcept {
  return std::strstr(what, "DefaultCPUAllocator: can't allocate memory") != nullptr ||
         std::strstr(what, "DefaultCPUAllocator: not enough memory") != nullptr;
}

// Runs body and turns whatever it throws into a status; `unforeseen` is the code for failures that libtorch reports.
template <typename Body>
vidi_status* guarded(vidi_code unforeseen, Body&& body) noexcept {
  vidi_status* status = nullptr;
  vidi_status* other = vidi::guarded(unforeseen, [&] {
    try {
      body();
    } catch (const Failure& e) {
      status = make_status(e.code, e.what());
    } catch (const c10::Error& e) {
      const char* what = e.what_without_backtrace();
      status = make_status(ran_out_of_memory(what) ? VIDI_OUT_OF_MEMORY : unforeseen, what, e.what());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& e) {
      const char* what = e.what();  // once: TorchScript's ErrorReport frees the text of one call in the next
      status = make_status(ran_out_of_memory(what) ? VIDI_OUT_OF_MEMORY : unforeseen, what, what);
    }
  });
  return status != nullptr ? status : other;
}

}  // namespace tb
