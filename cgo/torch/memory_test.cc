// What happens when memory runs out: each allocation of a call fails once, and the answer is a status, never a crash or a leak.
#include <vector>

#include "../status/testing_memory.h"
#include "failures.h"
#include "testing.h"

namespace {

TEST(OutOfMemory, WithoutMemoryForAStatusAStaticOneStandsIn) {
  vidi_status* a = with_allocations(0, [] { return tb::make_status(VIDI_SHAPE, "this text is too long for a small string"); }).release();
  vidi_status* b = with_allocations(0, [] { return tb::guarded(VIDI_INTERNAL, [] { throw 42; }); }).release();
  EXPECT_EQ(a, b);
  EXPECT_EQ(vidi_status_code(a), VIDI_OUT_OF_MEMORY);
  EXPECT_STREQ(vidi_status_message(a), "not enough memory");
  vidi_status_free(a);
  vidi_status_free(b);
  EXPECT_STREQ(vidi_status_message(a), "not enough memory");  // freeing it does nothing
}

TEST(OutOfMemory, ARefusalNeedsNoMemoryBeyondItsStatus) {
  // Even when it cannot be told what was wrong, the call fails.
  Status status = with_allocations(0, [] { return tb_thread_set_count(0); });
  ASSERT_NE(status, nullptr);
  EXPECT_EQ(vidi_status_code(status.get()), VIDI_OUT_OF_MEMORY);
}

TEST(OutOfMemory, TensorsFailCleanlyAtEachAllocation) {
  std::vector<uint8_t> data(24);
  int64_t shape[] = {2, 3, 4};
  tb_tensor* out = nullptr;
  ASSERT_OK(tb_tensor_new(TB_UINT8, shape, 3, data.data(), 24, &out));  // libtorch's own first-time set-up is not what is tested
  tb_tensor_free(out);
  EXPECT_GE(allocations_until_success([&] { return tb_tensor_new(TB_UINT8, shape, 3, data.data(), 24, &out); }), 2);
  EXPECT_GE(allocations_until_success([&] {
              tb_tensor* same = nullptr;
              vidi_status* status = tb_tensor_from_handle(tb_tensor_handle(out), &same);
              tb_tensor_free(same);
              return status;
            }),
            1);
  tb_tensor_free(out);

  const float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
  EXPECT_GE(allocations_until_success([&] { return tb_tensor_from_rgb(data.data(), 24, 1, 2, 4, mean, std, TB_FLOAT32, &out); }), 2);
  tb_tensor_free(out);
}

}  // namespace
