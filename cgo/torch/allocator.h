// Where the elements of libtorch's tensors lie. An inference makes and frees tens of megabytes of them. glibc either gives their pages back
// each time, and the system clears others for the next inference, or keeps them in pieces between what lives longer. Blocks of
// whole pages, kept for who asks next, have neither cost; docs/notes/0004-tensor-memory.md has the measurements.
#pragma once

#include <c10/core/Allocator.h>

#include <cstdint>

namespace tb {

// Makes libtorch take the elements of all CPU tensors from here, for the rest of the process; those that exist stay where they are. Call it
// before other threads use libtorch.
void install_allocator();

// What the elements count in a budget; 0 where they lie elsewhere.
int64_t counted_bytes(const c10::DataPtr& elements);

// Gives the system the blocks that nobody uses. Of each size they are never more than were in use at one time. From any thread.
void trim_allocator();

}  // namespace tb
