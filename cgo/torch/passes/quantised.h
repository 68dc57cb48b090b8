// What a network of quantised operators needs to run as fast as oneDNN can: additions inside the convolutions, and weights of its own
// for each number of threads.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <memory>

namespace tb {

// Makes the operator known that the next function puts into graphs. libtorch's list of classes has no lock: call it before any module is
// loaded. Only the first call does anything.
void register_quantised_operator();

// Rewrites, in a frozen graph, each quantised addition (with a ReLU or not) of a quantised 2-d convolution that nobody else sees: the
// convolution adds its sums to the other side in place, where nobody looks at that any more. The result is rounded
// once instead of twice, and the convolution's own sums are not cut off at the ends of their range. Returns how many there were: none
// unless oneDNN runs quantised operators (the other engines cannot do it).
int fuse_quantised_additions(const std::shared_ptr<torch::jit::Graph>& graph);

// Gives a graph packed weights of its own for its quantised 2-d convolutions and matrices, in place of those that it shares with the
// graph it was copied from. libtorch prepares packed weights once, for the number of threads that they are first used with, and
// with any other takes a detour of some 50 µs for each. They take twice the size of the 8-bit weights, of which libtorch keeps a copy as
// they were. Returns how many there were: none unless oneDNN runs them.
int repack_quantised_weights(torch::jit::Graph& graph);

}  // namespace tb
