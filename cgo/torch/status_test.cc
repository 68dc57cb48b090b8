// Errors on their way out: codes, messages, and what the guard does with each kind of exception.
#include "status.h"

#include <gtest/gtest-spi.h>

#include <stdexcept>

#include "testing.h"

namespace {

using tb::testing::expect_nothing_leaked_since;
using tb::testing::live_counts;
using tb::testing::Status;

// After every test in this program all that the shim made must be freed again.
class LiveCountsCheck : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { before_ = live_counts(); }
  void OnTestEnd(const ::testing::TestInfo&) override { expect_nothing_leaked_since(before_); }
  tb_live before_;
};
[[maybe_unused]] const bool kRegistered = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new LiveCountsCheck);
  return true;
}();

Status status(tb_code code, const char* message, const char* detail = "") { return Status(tb::make_status(code, message, detail)); }

std::string message_of(const char* text) { return tb_status_message(status(TB_INTERNAL, text, text).get()); }

template <typename Throw>
Status guarded(Throw&& body, tb_code unforeseen = TB_INTERNAL) {
  return Status(tb::guarded(unforeseen, body));
}

TEST(LiveCounts, TheCheckAfterEachTestNoticesALeak) {
  tb_live before = live_counts();
  tb_status* leaked = tb::make_status(TB_INTERNAL, "leaked on purpose");
  EXPECT_NONFATAL_FAILURE(expect_nothing_leaked_since(before), "statuses were not freed");
  tb_status_free(leaked);
  expect_nothing_leaked_since(before);

  tb_tensor* tensor = nullptr;
  uint8_t byte = 0;
  ASSERT_OK(tb_tensor_new(TB_UINT8, nullptr, 0, &byte, 1, &tensor));
  EXPECT_NONFATAL_FAILURE(expect_nothing_leaked_since(before), "tensors were not freed");
  tb_tensor_free(tensor);
}

TEST(LiveCounts, NullIsIgnored) { tb_live_counts(nullptr); }

TEST(Status, NullMeansSuccess) {
  EXPECT_EQ(tb_status_code(nullptr), TB_OK);
  EXPECT_STREQ(tb_status_message(nullptr), "");
  EXPECT_STREQ(tb_status_detail(nullptr), "");
}

TEST(Status, FreeingNullDoesNothing) { tb_status_free(nullptr); }

TEST(Status, CarriesEveryCodeWithItsTexts) {
  for (int code = TB_INVALID_ARGUMENT; code <= TB_INTERNAL; code++) {
    Status s = status(static_cast<tb_code>(code), "what", "more of it");
    EXPECT_EQ(tb_status_code(s.get()), code);
    EXPECT_STREQ(tb_status_message(s.get()), "what");
    EXPECT_STREQ(tb_status_detail(s.get()), "more of it");
  }
}

TEST(Status, CodesKeepTheirNumbers) {  // the Go side knows them by number
  const int codes[] = {TB_OK,
                       TB_INVALID_ARGUMENT,
                       TB_NOT_FOUND,
                       TB_BAD_MODEL,
                       TB_SHAPE,
                       TB_OUT_OF_MEMORY,
                       TB_UNAVAILABLE,
                       TB_FORWARD_FAILED,
                       TB_CORRUPT_IMAGE,
                       TB_IMAGE_TOO_LARGE,
                       TB_IMAGE_TOO_COMPLEX,
                       TB_UNSUPPORTED_IMAGE,
                       TB_INTERNAL};
  for (int i = 0; i < 13; i++) EXPECT_EQ(codes[i], i);
}

TEST(Status, DetailIsEmptyWhenItSaysNoMoreThanTheMessage) {
  EXPECT_STREQ(tb_status_detail(status(TB_INTERNAL, "one line", "one line").get()), "");
  EXPECT_STREQ(tb_status_detail(status(TB_INTERNAL, "two\nlines", "two\nlines").get()), "two\nlines");
}

TEST(Status, MessageIsTheFirstLineWithText) {
  EXPECT_EQ(message_of("plain"), "plain");
  EXPECT_EQ(message_of("first\nsecond\n"), "first");
  EXPECT_EQ(message_of("\nUnknown builtin op: aten::relx.\n:\n  File \"x\""), "Unknown builtin op: aten::relx.");
  EXPECT_EQ(message_of(" \r\n\t\nlater \r\n"), "later");
  EXPECT_EQ(message_of("grün 图 ✓\nnext"), "grün 图 ✓");
}

TEST(Status, MessageIsNeverEmpty) {
  EXPECT_EQ(message_of(""), "no reason was given");
  EXPECT_EQ(message_of("\n \n"), "no reason was given");
}

TEST(Status, MessageOfATorchScriptErrorIsTheReasonBehindTheTraceback) {
  const std::string trace =
      "The following operation failed in the TorchScript interpreter.\n"
      "Traceback of TorchScript, serialized code (most recent call last):\n"
      "  File \"code/__torch__.py\", line 9, in forward\n"
      "      ops.prim.RaiseException(\"x\")\n"
      "      ~~~~~~~~~~~~~~~~~~~~~~~ <--- HERE\n"
      "    return x\n"
      "\n"
      "Traceback of TorchScript, original code (most recent call last):\n"
      "def forward(self, x):\n"
      "  assert x: wrong\n"
      "  ~~~~~~~~~~~~~~~ <--- HERE\n"
      "def other(self, x: Tensor):\n"
      "  return x\n";
  EXPECT_EQ(message_of((trace + "RuntimeError: too bright\n").c_str()), "RuntimeError: too bright");
  EXPECT_EQ(message_of((trace + "my.Error2: line one\nnote: line two\n").c_str()), "my.Error2: line one");
  // Without the usual form there is still one line, from the last traceback on.
  EXPECT_EQ(message_of("Traceback of TorchScript (most recent call last):\n  nothing more"),
            "Traceback of TorchScript (most recent call last):");
}

TEST(Guard, SuccessIsNull) {
  bool ran = false;
  EXPECT_EQ(guarded([&] { ran = true; }).get(), nullptr);
  EXPECT_TRUE(ran);
}

TEST(Guard, TheShimsOwnFailureKeepsItsCode) {
  EXPECT_FAILS(TB_SHAPE, "too small", tb::guarded(TB_INTERNAL, [] { throw tb::Failure(TB_SHAPE, "too small"); }));
  EXPECT_FAILS(TB_NOT_FOUND, "gone", tb::guarded(TB_INTERNAL, [] { tb::require(false, TB_NOT_FOUND, "gone"); }));
  EXPECT_OK(tb::guarded(TB_INTERNAL, [] { tb::require(true, TB_NOT_FOUND, "gone"); }));
}

TEST(Guard, AStandardExceptionIsUnforeseen) {
  Status s = guarded([] { throw std::runtime_error("first\nsecond"); }, TB_FORWARD_FAILED);
  EXPECT_EQ(tb_status_code(s.get()), TB_FORWARD_FAILED);
  EXPECT_STREQ(tb_status_message(s.get()), "first");
  EXPECT_STREQ(tb_status_detail(s.get()), "first\nsecond");
}

TEST(Guard, AnExceptionOfAnyOtherTypeIsUnforeseen) {
  Status s = guarded([] { throw 42; }, TB_BAD_MODEL);
  EXPECT_EQ(tb_status_code(s.get()), TB_BAD_MODEL);
  EXPECT_STREQ(tb_status_message(s.get()), "an exception of unknown type");
  EXPECT_FAILS(TB_INTERNAL, "unknown type", tb::guarded(TB_INTERNAL, [] { throw "text"; }));
}

TEST(Guard, BadAllocMeansOutOfMemory) {
  EXPECT_FAILS(TB_OUT_OF_MEMORY, "not enough memory", tb::guarded(TB_INTERNAL, [] { throw std::bad_alloc(); }));
  EXPECT_FAILS(TB_OUT_OF_MEMORY, "not enough memory", tb::guarded(TB_INTERNAL, [] { throw std::bad_array_new_length(); }));
}

TEST(Guard, LibtorchsErrorGivesALineAndKeepsItsBacktraceForTheLog) {
  Status s = guarded([] { TORCH_CHECK(false, "sizes differ: ", 3, " and ", 4); }, TB_FORWARD_FAILED);
  EXPECT_EQ(tb_status_code(s.get()), TB_FORWARD_FAILED);
  EXPECT_STREQ(tb_status_message(s.get()), "sizes differ: 3 and 4");
  EXPECT_NE(std::string(tb_status_detail(s.get())).find("Exception raised from"), std::string::npos);
}

TEST(Guard, LibtorchsFailedAllocationMeansOutOfMemoryWhicheverTypeCarriesIt) {
  const char* text =
      "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.";
  const char* windows = "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.";
  for (const char* what : {text, windows}) {
    EXPECT_FAILS(TB_OUT_OF_MEMORY, "you tried to allocate 8 bytes", tb::guarded(TB_INTERNAL, [&] { TORCH_CHECK(false, what); }));
    EXPECT_FAILS(TB_OUT_OF_MEMORY, "you tried to allocate 8 bytes", tb::guarded(TB_INTERNAL, [&] { throw std::runtime_error(what); }));
  }
}

}  // namespace
