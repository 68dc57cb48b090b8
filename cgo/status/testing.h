// What the tests of the libraries share: an owner that frees, and assertions about statuses.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "status.h"

namespace vidi::testing {

struct Free {
  void operator()(vidi_status* s) const { vidi_status_free(s); }
};
using Status = std::unique_ptr<vidi_status, Free>;

// Every message goes to users: it has text, it is one line and it holds nothing of a C++ traceback.
inline ::testing::AssertionResult presentable(const std::string& message) {
  if (message.empty()) return ::testing::AssertionFailure() << "the message is empty";
  for (const char* ugly : {"\n", "\r", "Exception raised from", "frame #", "<--- HERE", "Traceback"})
    if (message.find(ugly) != std::string::npos) return ::testing::AssertionFailure() << "the message holds '" << ugly << "': " << message;
  return ::testing::AssertionSuccess();
}

// Both take over the status.
inline ::testing::AssertionResult succeeds(vidi_status* status) {
  Status owner(status);
  if (status == nullptr) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "code " << vidi_status_code(status) << ": " << vidi_status_message(status) << "\n"
                                       << vidi_status_detail(status);
}

inline ::testing::AssertionResult fails_with(vidi_code code, const char* part, vidi_status* status) {
  Status owner(status);
  if (status == nullptr) return ::testing::AssertionFailure() << "it succeeded";
  std::string message = vidi_status_message(status);
  if (vidi_status_code(status) != code)
    return ::testing::AssertionFailure() << "code " << vidi_status_code(status) << " instead of " << code << ": " << message;
  if (auto fine = presentable(message); !fine) return fine;
  if (message.find(part) == std::string::npos)
    return ::testing::AssertionFailure() << "'" << part << "' is not in the message: " << message;
  return ::testing::AssertionSuccess();
}

#define EXPECT_OK(call) EXPECT_TRUE(::vidi::testing::succeeds(call))
#define ASSERT_OK(call) ASSERT_TRUE(::vidi::testing::succeeds(call))
#define EXPECT_FAILS(code, part, call) EXPECT_TRUE(::vidi::testing::fails_with(code, part, call))

// A buffer of exactly n bytes on the heap, so that AddressSanitizer sees the first byte read or written past it.
inline std::unique_ptr<uint8_t[]> exact_buffer(size_t n, int fill = 0xA5) {
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[n]);
  std::memset(buffer.get(), fill, n);
  return buffer;
}

}  // namespace vidi::testing
