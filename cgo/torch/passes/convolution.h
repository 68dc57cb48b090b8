// Gives the 3×3 convolutions of a network to Winograd's loops (winograd.h), which take half as long as oneDNN's.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <optional>

namespace tb {

// float32 weights [out, in, 3, 3], transformed for convolve() and 16/9 of the size; undefined if this CPU's loops do not fit them.
at::Tensor transform_weights(const at::Tensor& weights);

// relu(x * weights + bias + residual), with stride 1 and a border of one zero. x is float32, [images, in, height, width] or without
// the first dimension; bias has `out` numbers. It runs on as many threads as ATen's next operator would. Throws c10::Error
// if the shapes or types do not go together.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& transformed_weights, const at::Tensor& bias,
                    const std::optional<at::Tensor>& residual, bool relu);

// Rewrites, in a frozen float32 graph, each 3×3 convolution with stride 1 and a border of one whose channels fit the CPU's loops,
// together with an addition and a ReLU that follow it and see nothing else of it. Their weights are kept transformed, once
// for each convolution, and go from the graph if nothing else uses them. Returns how many convolutions there were.
int use_winograd(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace tb
