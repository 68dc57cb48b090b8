// How C++ failures become statuses: `return guarded([&] { ... });` around the body of every function of
// an ABI. cgo/torch/failures.h has one that knows libtorch's exceptions too.
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "status.h"

namespace vidi {

// A failure found by a library itself.
struct Failure : std::exception {
  vidi_code code;
  std::string message;
  Failure(vidi_code c, std::string m) : code(c), message(std::move(m)) {}
  const char* what() const noexcept override { return message.c_str(); }
};

inline void require(bool ok, vidi_code code, const char* message) {
  if (!ok) throw Failure(code, message);
}

// The message becomes the first line of its text. Never throws; a shared static object stands in when
// there is no memory for a new one.
vidi_status* make_status(vidi_code code, const char* message, const char* detail = "") noexcept;

// Statuses of this library that are not freed.
int64_t live_statuses() noexcept;

// Runs body and turns whatever it throws into a status; `unforeseen` is the code for failures that are
// not the library's own.
template <typename Body>
vidi_status* guarded(vidi_code unforeseen, Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Failure& e) {
    return make_status(e.code, e.what());
  } catch (const std::bad_alloc&) {
    return make_status(VIDI_OUT_OF_MEMORY, "not enough memory");
  } catch (const std::exception& e) {
    const char* what = e.what();
    return make_status(unforeseen, what, what);
  } catch (...) {
    return make_status(unforeseen, "an exception of unknown type");
  }
}

}  // namespace vidi
