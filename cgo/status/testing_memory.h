// Allocations that fail when a test wants it, and a test that every program has. Only one file of a
// program may include this: it replaces the program's operator new, and that of the libraries that are
// linked to it.
#pragma once

#include <cstdlib>
#include <new>

#include "guarded.h"
#include "testing.h"

namespace {

// How many allocations of this thread still succeed; negative: all.
thread_local int64_t allocations_left = -1;

void* allocate(size_t size, size_t alignment) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) allocations_left--;
  void* memory = alignment > alignof(std::max_align_t) ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                                                       : std::malloc(size ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

#ifdef __SANITIZE_ADDRESS__
// AddressSanitizer ends the process when an allocation fails; the tests want the error that malloc's callers make of it.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif

// Replaces the program's and libtorch's; AddressSanitizer still watches the malloc beneath. Not inlined, or GCC compares the free
// inside with the new outside.
[[gnu::noinline]] void* operator new(size_t size) { return allocate(size, 0); }
[[gnu::noinline]] void* operator new[](size_t size) { return allocate(size, 0); }
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t a) { return allocate(size, static_cast<size_t>(a)); }
[[gnu::noinline]] void* operator new[](size_t size, std::align_val_t a) { return allocate(size, static_cast<size_t>(a)); }
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace {

using vidi::testing::Status;

template <typename Call>
Status with_allocations(int64_t n, Call&& call) {
  allocations_left = n;
  Status status(call());
  allocations_left = -1;
  return status;
}

// Calls with 0, 1, 2, … allocations allowed until it succeeds, and returns how many that took.
template <typename Call>
int64_t allocations_until_success(Call&& call) {
  for (int64_t n = 0; n < 1000; n++) {
    Status status = with_allocations(n, call);
    if (status == nullptr) return n;
    EXPECT_EQ(vidi_status_code(status.get()), VIDI_OUT_OF_MEMORY) << vidi_status_message(status.get());
    EXPECT_STREQ(vidi_status_message(status.get()), "not enough memory");
  }
  return -1;
}

#ifdef __SANITIZE_ADDRESS__
// That the sanitisers are awake in this program: each finds what it is there for.
[[gnu::noinline]] vidi_status* leak_a_status() {
  return vidi::make_status(VIDI_INTERNAL, "leaked on purpose, and too long for a small string");
}

TEST(SanitisersDeathTest, FindLeaksOverflowsAndUndefinedBehaviour) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        for (int i = 0; i < 10; i++) leak_a_status();
        std::exit(0);
      },
      ::testing::ExitedWithCode(1), "detected memory leaks");
  volatile int size = 8;
  EXPECT_DEATH({ std::memset(vidi::testing::exact_buffer(size).get(), 0, size + 1); }, "heap-buffer-overflow");
  EXPECT_DEATH({ size = INT32_MAX + size; }, "signed integer overflow");
}
#endif

}  // namespace
