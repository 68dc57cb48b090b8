// Call stacks of nodes that were inlined, which libtorch reads when an operator throws.
#pragma once

#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/ir/ir.h>

namespace tb {

// Gives every node of the graph, in inner blocks and subgraphs too, a call stack of its own functions, which live as long as the
// compilation unit. Call it after freezing: freezing deletes the methods of the module, except for forward, but the nodes that were
// inlined from them still point to them (pytorch#51100), and an error there would read freed memory. The names and the source lines
// stay, so that a traceback reads as before. Copies of the graph are sound too: they share these stacks.
void keep_call_stacks(torch::jit::Graph& graph, torch::jit::CompilationUnit& unit);

}  // namespace tb
