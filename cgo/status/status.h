// How C++ failures become tb_status objects: `return guarded([&] { ... });` around the body of every ABI function.
#pragma once

#include <c10/util/Exception.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "shim.h"

struct tb_status {
  tb_code code;
  std::string message;
  std::string detail;
};

namespace tb {

// Counters behind tb_live_counts. Each type's constructor and destructor keep their own.
struct Live {
  std::atomic<int64_t> modules{0}, tensors{0}, statuses{0};
};
Live& live();

// A failure found by the shim itself.
struct Failure : std::exception {
  tb_code code;
  std::string message;
  Failure(tb_code c, std::string m) : code(c), message(std::move(m)) {}
  const char* what() const noexcept override { return message.c_str(); }
};

inline void require(bool ok, tb_code code, const char* message) {
  if (!ok) throw Failure(code, message);
}

// Never throws; a shared static object stands in when there is no memory for a new one.
tb_status* make_status(tb_code code, const char* message, const char* detail = "") noexcept;

// libtorch's CPU allocator reports a failed allocation as a plain c10::Error, which TorchScript's interpreter turns into yet
// another type; only its text tells it from others.
inline bool ran_out_of_memory(const char* what) noexcept {
  return std::strstr(what, "DefaultCPUAllocator: can't allocate memory") != nullptr ||
         std::strstr(what, "DefaultCPUAllocator: not enough memory") != nullptr;
}

// Runs body and turns whatever it throws into a status; `unforeseen` is the code for failures that libtorch reports.
template <typename Body>
tb_status* guarded(tb_code unforeseen, Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Failure& e) {
    return make_status(e.code, e.what());
  } catch (const c10::Error& e) {
    return make_status(ran_out_of_memory(e.what_without_backtrace()) ? TB_OUT_OF_MEMORY : unforeseen, e.what_without_backtrace(), e.what());
  } catch (const std::bad_alloc&) {
    return make_status(TB_OUT_OF_MEMORY, "not enough memory");
  } catch (const std::exception& e) {
    const char* what = e.what();  // once: TorchScript's ErrorReport frees the text of one call in the next
    return make_status(ran_out_of_memory(what) ? TB_OUT_OF_MEMORY : unforeseen, what, what);
  } catch (...) {
    return make_status(unforeseen, "an exception of unknown type");
  }
}

}  // namespace tb
