#include "fusion.h"

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/pass_manager.h>

#include <memory>
#include <mutex>

// Its header (torch/csrc/jit/codegen/onednn/interface.h) only comes with builds that have oneDNN's own headers. ARM builds
// lack the symbol too: hence a weak reference, which is null there.
namespace torch::jit::fuser::onednn {
__attribute__((weak)) void fuseGraph(std::shared_ptr<Graph>& graph);
}

namespace tb {

namespace {
thread_local bool fuse_on_this_thread = false;
}

bool has_fuser() { return &torch::jit::fuser::onednn::fuseGraph != nullptr; }

void register_fuser() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (has_fuser()) {
      torch::jit::registerPostPass([](std::shared_ptr<torch::jit::Graph>& graph) {
        if (fuse_on_this_thread) torch::jit::fuser::onednn::fuseGraph(graph);
      });
    }
  });
}

FuserGuard::FuserGuard(bool fuse) : before_(fuse_on_this_thread) { fuse_on_this_thread = fuse; }
FuserGuard::~FuserGuard() { fuse_on_this_thread = before_; }

}  // namespace tb
