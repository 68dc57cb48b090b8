// Errors on their way out: codes, messages, and what the guard does with each kind of exception.
#include <gtest/gtest-spi.h>

#include <stdexcept>

#include "guarded.h"
#include "testing.h"

namespace {

using vidi::testing::Status;

void expect_none_since(int64_t before) { EXPECT_EQ(vidi::live_statuses(), before) << "statuses were not freed"; }

// After every test in this program all statuses must be freed again.
class LiveCheck : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { before_ = vidi::live_statuses(); }
  void OnTestEnd(const ::testing::TestInfo&) override { expect_none_since(before_); }
  int64_t before_;
};
[[maybe_unused]] const bool kRegistered = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new LiveCheck);
  return true;
}();

Status status(vidi_code code, const char* message, const char* detail = "") { return Status(vidi::make_status(code, message, detail)); }

std::string message_of(const char* text) { return vidi_status_message(status(VIDI_INTERNAL, text, text).get()); }

template <typename Throw>
Status guarded(Throw&& body, vidi_code unforeseen = VIDI_INTERNAL) {
  return Status(vidi::guarded(unforeseen, body));
}

TEST(LiveStatuses, TheCheckAfterEachTestNoticesALeak) {
  const int64_t before = vidi::live_statuses();
  vidi_status* leaked = vidi::make_status(VIDI_INTERNAL, "leaked on purpose");
  EXPECT_NONFATAL_FAILURE(expect_none_since(vidi::live_statuses() - 1), "statuses were not freed");
  vidi_status_free(leaked);
  expect_none_since(before);
}

TEST(Status, NullMeansSuccess) {
  EXPECT_EQ(vidi_status_code(nullptr), VIDI_OK);
  EXPECT_STREQ(vidi_status_message(nullptr), "");
  EXPECT_STREQ(vidi_status_detail(nullptr), "");
}

TEST(Status, FreeingNullDoesNothing) { vidi_status_free(nullptr); }

TEST(Status, CarriesEveryCodeWithItsTexts) {
  for (int code = VIDI_INVALID_ARGUMENT; code <= VIDI_INTERNAL; code++) {
    Status s = status(static_cast<vidi_code>(code), "what", "more of it");
    EXPECT_EQ(vidi_status_code(s.get()), code);
    EXPECT_STREQ(vidi_status_message(s.get()), "what");
    EXPECT_STREQ(vidi_status_detail(s.get()), "more of it");
  }
}

TEST(Status, CodesKeepTheirNumbers) {  // the Go side knows them by number
  const int codes[] = {VIDI_OK,
                       VIDI_INVALID_ARGUMENT,
                       VIDI_NOT_FOUND,
                       VIDI_BAD_MODEL,
                       VIDI_SHAPE,
                       VIDI_OUT_OF_MEMORY,
                       VIDI_UNAVAILABLE,
                       VIDI_FORWARD_FAILED,
                       VIDI_CORRUPT_IMAGE,
                       VIDI_IMAGE_TOO_LARGE,
                       VIDI_IMAGE_TOO_COMPLEX,
                       VIDI_UNSUPPORTED_IMAGE,
                       VIDI_INTERNAL};
  for (int i = 0; i < 13; i++) EXPECT_EQ(codes[i], i);
}

TEST(Status, DetailIsEmptyWhenItSaysNoMoreThanTheMessage) {
  EXPECT_STREQ(vidi_status_detail(status(VIDI_INTERNAL, "one line", "one line").get()), "");
  EXPECT_STREQ(vidi_status_detail(status(VIDI_INTERNAL, "two\nlines", "two\nlines").get()), "two\nlines");
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

TEST(Guard, SuccessIsNull) {
  bool ran = false;
  EXPECT_EQ(guarded([&] { ran = true; }).get(), nullptr);
  EXPECT_TRUE(ran);
}

TEST(Guard, TheShimsOwnFailureKeepsItsCode) {
  EXPECT_FAILS(VIDI_SHAPE, "too small", vidi::guarded(VIDI_INTERNAL, [] { throw vidi::Failure(VIDI_SHAPE, "too small"); }));
  EXPECT_FAILS(VIDI_NOT_FOUND, "gone", vidi::guarded(VIDI_INTERNAL, [] { vidi::require(false, VIDI_NOT_FOUND, "gone"); }));
  EXPECT_OK(vidi::guarded(VIDI_INTERNAL, [] { vidi::require(true, VIDI_NOT_FOUND, "gone"); }));
}

TEST(Guard, AStandardExceptionIsUnforeseen) {
  Status s = guarded([] { throw std::runtime_error("first\nsecond"); }, VIDI_FORWARD_FAILED);
  EXPECT_EQ(vidi_status_code(s.get()), VIDI_FORWARD_FAILED);
  EXPECT_STREQ(vidi_status_message(s.get()), "first");
  EXPECT_STREQ(vidi_status_detail(s.get()), "first\nsecond");
}

TEST(Guard, AnExceptionOfAnyOtherTypeIsUnforeseen) {
  Status s = guarded([] { throw 42; }, VIDI_BAD_MODEL);
  EXPECT_EQ(vidi_status_code(s.get()), VIDI_BAD_MODEL);
  EXPECT_STREQ(vidi_status_message(s.get()), "an exception of unknown type");
  EXPECT_FAILS(VIDI_INTERNAL, "unknown type", vidi::guarded(VIDI_INTERNAL, [] { throw "text"; }));
}

TEST(Guard, BadAllocMeansOutOfMemory) {
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "not enough memory", vidi::guarded(VIDI_INTERNAL, [] { throw std::bad_alloc(); }));
  EXPECT_FAILS(VIDI_OUT_OF_MEMORY, "not enough memory", vidi::guarded(VIDI_INTERNAL, [] { throw std::bad_array_new_length(); }));
}

}  // namespace
