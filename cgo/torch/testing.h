// What the shim's tests share: owners that free, assertions about tb_status, and a check that nothing stays alive.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "shim.h"

namespace tb::testing {

struct Free {
  void operator()(tb_status* s) const { tb_status_free(s); }
  void operator()(tb_tensor* t) const { tb_tensor_free(t); }
  void operator()(tb_module* m) const { tb_module_free(m); }
};
using Status = std::unique_ptr<tb_status, Free>;
using Tensor = std::unique_ptr<tb_tensor, Free>;
using Module = std::unique_ptr<tb_module, Free>;

// Every message goes to users: it has text, it is one line and it holds nothing of a C++ traceback.
inline ::testing::AssertionResult presentable(const std::string& message) {
  if (message.empty()) return ::testing::AssertionFailure() << "the message is empty";
  for (const char* ugly : {"\n", "\r", "Exception raised from", "frame #", "<--- HERE", "Traceback"})
    if (message.find(ugly) != std::string::npos) return ::testing::AssertionFailure() << "the message holds '" << ugly << "': " << message;
  return ::testing::AssertionSuccess();
}

// Both take over the status.
inline ::testing::AssertionResult succeeds(tb_status* status) {
  Status owner(status);
  if (status == nullptr) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "code " << tb_status_code(status) << ": " << tb_status_message(status) << "\n"
                                       << tb_status_detail(status);
}

inline ::testing::AssertionResult fails_with(tb_code code, const char* part, tb_status* status) {
  Status owner(status);
  if (status == nullptr) return ::testing::AssertionFailure() << "it succeeded";
  std::string message = tb_status_message(status);
  if (tb_status_code(status) != code)
    return ::testing::AssertionFailure() << "code " << tb_status_code(status) << " instead of " << code << ": " << message;
  if (auto fine = presentable(message); !fine) return fine;
  if (message.find(part) == std::string::npos)
    return ::testing::AssertionFailure() << "'" << part << "' is not in the message: " << message;
  return ::testing::AssertionSuccess();
}

#define EXPECT_OK(call) EXPECT_TRUE(::tb::testing::succeeds(call))
#define ASSERT_OK(call) ASSERT_TRUE(::tb::testing::succeeds(call))
#define EXPECT_FAILS(code, part, call) EXPECT_TRUE(::tb::testing::fails_with(code, part, call))

inline tb_live live_counts() {
  tb_live live;
  tb_live_counts(&live);
  return live;
}

// Adds a test failure unless as many objects live as did at `before`. status_test.cc runs it after every test.
inline void expect_nothing_leaked_since(const tb_live& before) {
  tb_live now = live_counts();
  EXPECT_EQ(now.modules - before.modules, 0) << "modules were not freed";
  EXPECT_EQ(now.tensors - before.tensors, 0) << "tensors were not freed";
  EXPECT_EQ(now.statuses - before.statuses, 0) << "statuses were not freed";
}

// A buffer of exactly n bytes on the heap, so that AddressSanitizer sees the first byte read or written past it.
inline std::unique_ptr<uint8_t[]> exact_buffer(size_t n, int fill = 0xA5) {
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[n]);
  std::memset(buffer.get(), fill, n);
  return buffer;
}

// FNV-1a, 64 bits: short enough to write down as an expected value.
inline uint64_t fnv(const uint8_t* data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; i++) hash = (hash ^ data[i]) * 0x100000001b3;
  return hash;
}

// The lines of a file of expected values beside the tests, without its comment. A missing file is a failure, never a reason to
// write it or to skip: the scripts beside the files make them.
inline std::vector<std::string> testdata(const char* name) {
  std::ifstream in(std::string(TB_TESTDATA) + "/" + name);
  EXPECT_TRUE(in) << "cgo/image/testdata/" << name << " is missing";
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  return lines;
}

// A tensor made through the ABI from elements in a vector.
template <typename Element>
Tensor tensor_of(tb_dtype dtype, const std::vector<int64_t>& shape, const std::vector<Element>& elements) {
  tb_tensor* out = nullptr;
  EXPECT_OK(
      tb_tensor_new(dtype, shape.data(), static_cast<int32_t>(shape.size()), elements.data(), elements.size() * sizeof(Element), &out));
  return Tensor(out);
}

}  // namespace tb::testing
