#include "allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

#include "budget.h"

namespace {

// Sizes of blocks: 4, 5, 6 and 7 times a power of two, from 16 KiB to 64 MiB. Up to a fifth of a block's addresses is not needed, and
// gets no memory as long as nobody wrote there (or some, where the system makes huge pages unasked). What is smaller is malloc's, and
// what is larger too, which maps each by itself.
constexpr size_t kSmallest = size_t{16} << 10, kLargest = size_t{64} << 20;
constexpr uint32_t kSizes = 4 * 12 + 1;
constexpr size_t kPopulated = size_t{256} << 10;  // from here on a block gets its memory when it is made
constexpr uint32_t kFromMalloc = kSizes;

constexpr size_t kBeside = 512;  // what a tensor takes beside its elements, about, which counts where there are millions of them

size_t bytes_of(uint32_t size) { return (size_t{4} + size % 4) << (size / 4 + 12); }

// The smallest size of at least this many bytes, kSmallest to kLargest.
uint32_t size_for(size_t bytes) {
  const int power = 63 - __builtin_clzll(bytes - 1);  // 2^power < bytes ≤ 2 · 2^power
  const size_t quarter = size_t{1} << (power - 2);
  const size_t quarters = (bytes + quarter - 1) / quarter;  // 5 to 8
  return static_cast<uint32_t>(4 * (power - 14) + static_cast<int>(quarters) - 4);
}

// Lies before the elements, which stay aligned to 64 bytes as libtorch's own are. AddressSanitizer watches what of it is empty, and the
// end of a block, as it does the bytes around malloc's; but a block that is used again is nobody's leak and nobody's use after free.
struct alignas(64) Block {
  uint32_t size;   // kFromMalloc for malloc's
  uint64_t bytes;  // that a budget was asked for
  uint8_t empty[48];

  void* elements() { return this + 1; }
  static Block* of(void* elements) { return static_cast<Block*>(elements) - 1; }
};
static_assert(sizeof(Block) == 64);

// Blocks that are not in use. The lock is held for some nanoseconds, so that inferences do not wait for each other; more lists, for some of
// the threads each, were not faster and kept more memory.
class FreeBlocks {
 public:
  // nullptr if there is none of the size.
  Block* take(uint32_t size) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& blocks = blocks_[size];
    if (blocks.empty()) return nullptr;
    Block* block = blocks.back();  // the last one in: its bytes may still be in a cache
    blocks.pop_back();
    return block;
  }

  // False if there is no memory for remembering it.
  bool put(Block* block) {
    try {
      std::lock_guard<std::mutex> lock(mutex_);
      blocks_[block->size].push_back(block);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  // All of a size, which are the caller's now.
  std::vector<Block*> take_all(uint32_t size) {
    std::vector<Block*> all;
    std::lock_guard<std::mutex> lock(mutex_);
    all.swap(blocks_[size]);
    return all;
  }

 private:
  std::mutex mutex_;
  std::array<std::vector<Block*>, kSizes> blocks_;
};

FreeBlocks& free_blocks() {
  static auto& blocks = *new FreeBlocks;  // never destroyed: tensors with a static life are freed after everything else
  return blocks;
}

void unmap(Block* block) {
  const size_t bytes = bytes_of(block->size);
  ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  munmap(block, bytes);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // older headers lack it
#endif

// A block of which that many bytes will be written, nearly all.
Block* map(uint32_t size, size_t written) {
  void* pages = mmap(nullptr, bytes_of(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  // Weights and activations: the memory of all pages at once costs less than a fault for each. Linux before 5.14 refuses, and they fault.
  if (written >= kPopulated) madvise(pages, written, MADV_POPULATE_WRITE);
  return new (pages) Block{size, 0, {}};
}

void* allocate_elements(size_t n) {
  if (n == 0) return nullptr;
  const size_t bytes = n <= SIZE_MAX - sizeof(Block) ? n + sizeof(Block) : n;
  tb::Budget* budget = tb::Budget::mine();
  const size_t counted = bytes <= SIZE_MAX - kBeside ? bytes + kBeside : bytes;
  if (budget != nullptr) budget->ask(counted);
  Block* block = nullptr;
  if (bytes >= kSmallest && bytes <= kLargest) {
    const uint32_t size = size_for(bytes);
    block = free_blocks().take(size);
    if (block == nullptr) block = map(size, bytes);
    if (block == nullptr) {  // other sizes may lie there unused
      tb::trim_allocator();
      block = map(size, bytes);
    }
    if (block != nullptr) ASAN_POISON_MEMORY_REGION(block->elements(), bytes_of(size) - sizeof(Block));
  }
  // It throws libtorch's own error if there is no memory, or n is absurd.
  if (block == nullptr) block = new (c10::alloc_cpu(bytes)) Block{kFromMalloc, 0, {}};
  block->bytes = counted;
  if (budget != nullptr) budget->took(counted);
  ASAN_POISON_MEMORY_REGION(block->empty, sizeof(block->empty));
  ASAN_UNPOISON_MEMORY_REGION(block->elements(), n);
  return block->elements();
}

void free_elements(void* elements) {
  if (elements == nullptr) return;
  Block* block = Block::of(elements);
  if (tb::Budget* budget = tb::Budget::mine()) budget->gave(block->bytes);
  if (block->size == kFromMalloc) {
    ASAN_UNPOISON_MEMORY_REGION(block, sizeof(Block));
    return c10::free_cpu(block);
  }
  ASAN_POISON_MEMORY_REGION(elements, bytes_of(block->size) - sizeof(Block));
  if (!free_blocks().put(block)) unmap(block);
}

struct ElementAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* elements = allocate_elements(n);
    return {elements, elements, &free_elements, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_elements; }
  void copy_data(void* to, const void* from, size_t n) const override { default_copy_data(to, from, n); }
};

}  // namespace

namespace tb {

void install_allocator() {
  static auto& allocator = *new ElementAllocator;
  c10::SetCPUAllocator(&allocator, 1);  // libtorch's own has priority 0
}

int64_t counted_bytes(const c10::DataPtr& elements) {
  if (elements.get() == nullptr || elements.get_deleter() != &free_elements) return 0;
  return static_cast<int64_t>(Block::of(elements.get_context())->bytes);
}

void trim_allocator() {
  for (uint32_t size = 0; size < kSizes; size++)
    for (Block* block : free_blocks().take_all(size)) unmap(block);
}

}  // namespace tb
