// Errors of libtorch on their way out, and the check that nothing is left alive.
#include "failures.h"

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

std::string message_of(const char* text) { return vidi_status_message(Status(tb::make_status(VIDI_INTERNAL, text, text)).get()); }

template <typename Throw>
Status guarded(Throw&& body, vidi_code unforeseen = VIDI_INTERNAL) {
  return Status(tb::guarded(unforeseen, body));
}

TEST(LiveCounts, TheCheckAfterEachTestNoticesALeak) {
  tb_live before = live_counts();
  vidi_status* leaked = tb::make_status(VIDI_INTERNAL, "leaked on purpose");
  EXPECT_NONFATAL_FAILURE(expect_nothing_leaked_since(before), "statuses were not freed");
  vidi_status_free(leaked);
  expect_nothing_leaked_since(before);

  tb_tensor* tensor = nullptr;
  uint8_t byte = 0;
  ASSERT_OK(tb_tensor_new(TB_UINT8, nullptr, 0, &byte, 1, &tensor));
  EXPECT_NONFATAL_FAILURE(expect_nothing_leaked_since(before), "tensors were not freed");
  tb_tensor_free(tensor);
}

TEST(LiveCounts, NullIsIgnored) { tb_live_counts(nullptr); }

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

TEST(Guard, OtherFailuresAreAsElsewhere) {
  EXPECT_FAILS(VIDI_SHAPE, "too small", tb::guarded(VIDI_INTERNAL, [] { throw tb::Failure(VIDI_SHAPE, "too small"); }));
  EXPECT_FAILS(VIDI_BAD_MODEL, "first", tb::guarded(VIDI_BAD_MODEL, [] { throw std::runtime_error("first\nsecond"); }));
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "not enough memory", tb::guarded(VIDI_INTERNAL, [] { throw std::bad_alloc(); }));
  EXPECT_FAILS(VIDI_INTERNAL, "unknown type", tb::guarded(VIDI_INTERNAL, [] { throw "text"; }));
  EXPECT_OK(tb::guarded(VIDI_INTERNAL, [] {}));
}

TEST(Guard, LibtorchsErrorGivesALineAndKeepsItsBacktraceForTheLog) {
  Status s = guarded([] { TORCH_CHECK(false, "sizes differ: ", 3, " and ", 4); }, VIDI_FORWARD_FAILED);
  EXPECT_EQ(vidi_status_code(s.get()), VIDI_FORWARD_FAILED);
  EXPECT_STREQ(vidi_status_message(s.get()), "sizes differ: 3 and 4");
  EXPECT_NE(std::string(vidi_status_detail(s.get())).find("Exception raised from"), std::string::npos);
}

TEST(Guard, LibtorchsFailedAllocationMeansOutOfMemoryWhicheverTypeCarriesIt) {
  const char* text =
      "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.";
  const char* windows = "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.";
  for (const char* what : {text, windows}) {
    EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "you tried to allocate 8 bytes", tb::guarded(VIDI_INTERNAL, [&] { TORCH_CHECK(false, what); }));
    EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "you tried to allocate 8 bytes", tb::guarded(VIDI_INTERNAL, [&] { throw std::runtime_error(what); }));
  }
}

}  // namespace
