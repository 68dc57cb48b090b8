// The objects that libtorch makes beside tensors count in a call's budget too: lists, texts and dictionaries of a model, and the frames of
// its functions. libtorch asks operator new for them, and finds this one, because it was opened for this library.
#include <malloc.h>

#include <cstdlib>
#include <new>

#include "budget.h"

// AddressSanitizer has an operator new of its own.
#if !defined(__SANITIZE_ADDRESS__)

namespace {

void* allocate(size_t bytes) {
  tb::Budget* budget = tb::Budget::mine();
  if (budget != nullptr) budget->ask_for_object(bytes);
  void* object = std::malloc(bytes > 0 ? bytes : 1);
  if (object == nullptr) throw std::bad_alloc();
  if (budget != nullptr) budget->took(malloc_usable_size(object));
  return object;
}

// Frees what malloc made, which libstdc++'s operator new asks, too: it does not matter whose an object is.
void release(void* object) noexcept {
  if (object == nullptr) return;
  if (tb::Budget* budget = tb::Budget::mine()) budget->gave(malloc_usable_size(object));
  std::free(object);
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void operator delete(void* object) noexcept { release(object); }
void operator delete[](void* object) noexcept { release(object); }
void operator delete(void* object, size_t) noexcept { release(object); }
void operator delete[](void* object, size_t) noexcept { release(object); }

int64_t tb::counted_bytes(void* object) { return static_cast<int64_t>(malloc_usable_size(object)); }

#else

int64_t tb::counted_bytes(void*) { return 0; }

#endif
