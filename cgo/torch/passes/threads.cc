#include "threads.h"

#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <vector>

#include "failures.h"
#include "nodes.h"

namespace tb {

namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Use;
using torch::jit::Value;

void join(Block& block) {
  std::vector<Node*> forks;
  for (Node* node : block.nodes()) {
    for (Block* inner : node->blocks()) join(*inner);
    if (node->kind() == c10::prim::fork) forks.push_back(node);
  }
  for (Node* fork : forks) {
    torch::jit::Graph& code = *fork->g(c10::attr::Subgraph);
    join(*code.block());
    const std::vector<Use> uses = fork->output()->uses();
    if (!std::all_of(uses.begin(), uses.end(), [](const Use& use) { return use.user->kind() == c10::aten::wait; })) continue;
    torch::jit::WithInsertPoint here(fork);
    Value* result = torch::jit::insertGraph(*fork->owningGraph(), code, fork->inputs()).at(0);
    for (const Use& use : uses) {
      use.user->output()->replaceAllUsesWith(result);
      use.user->destroy();
    }
    fork->destroy();
  }
}

}  // namespace

void join_threads(torch::jit::Module& module) {
  for_each_graph(module, [](std::shared_ptr<torch::jit::Graph> graph) { join(*graph->block()); });
}

void require_no_threads(torch::jit::Module& module) {
  for_each_graph(module, [](std::shared_ptr<torch::jit::Graph> graph) {
    for_each_node(*graph->block(), [](Node* node) {
      require(node->kind() != c10::prim::fork && node->kind() != c10::prim::awaitable, VIDI_BAD_MODEL,
              "the model starts threads of its own (torch.jit.fork), which a classifier does not need; export it without");
    });
  });
}

}  // namespace tb
