#include <ATen/ops/ones.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <malloc.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "allocator.h"
#include "budget.h"
#include "callstack.h"
#include "convolution.h"
#include "fills.h"
#include "fusion.h"
#include "kept.h"
#include "precision.h"
#include "quantised.h"
#include "tensor.h"
#include "threads.h"
#include "ticks.h"

struct tb_module {
  torch::jit::Module value;
  std::string extra;
  tb_engine engine = TB_ENGINE_AUTO;
  at::ScalarType precision = at::kFloat;
  std::atomic<int64_t> peak{0};
  int64_t load_peak = 0;
  // What calls have made and not freed; forks share the lists that a model appends to, and this with them.
  std::shared_ptr<std::atomic<int64_t>> kept = std::make_shared<std::atomic<int64_t>>(0);
  tb_module() { tb::live().modules++; }
  ~tb_module() { tb::live().modules--; }
};

namespace {

using tb::require;

// Lets libtorch read an archive from the caller's bytes without another copy of them.
class BytesReader : public caffe2::serialize::ReadAdapterInterface {
 public:
  BytesReader(const void* data, size_t size) : data_(static_cast<const char*>(data)), size_(size) {}
  size_t size() const override { return size_; }
  size_t read(uint64_t pos, void* buf, size_t n, const char*) const override {
    if (pos >= size_) return 0;
    n = std::min<uint64_t>(n, size_ - pos);
    std::memcpy(buf, data_ + pos, n);
    return n;
  }

 private:
  const char* data_;
  size_t size_;
};

tb_engine chosen_engine(int32_t engine) {
  switch (engine) {
    case TB_ENGINE_AUTO:
      return tb::has_fuser() ? TB_ENGINE_FUSED : TB_ENGINE_OPTIMIZED;
    case TB_ENGINE_FUSED:
      require(tb::has_fuser(), VIDI_UNAVAILABLE, "this libtorch has no oneDNN Graph fuser");
      return TB_ENGINE_FUSED;
    case TB_ENGINE_OPTIMIZED:
    case TB_ENGINE_PLAIN:
    case TB_ENGINE_FROZEN:
      return static_cast<tb_engine>(engine);
    default:
      throw tb::Failure(VIDI_INVALID_ARGUMENT, "unknown engine " + std::to_string(engine));
  }
}

// Convolutions run fastest on channels-last weights; freezing then folds the reordered copies into the graph.
void to_channels_last(torch::jit::Module& module) {
  at::NoGradGuard no_grad;
  for (at::Tensor parameter : module.parameters())
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
}

// x.view(x.size(0), -1) fails for channels-last tensors, which networks do not see in Python: torch.reshape copies those.
void copy_where_views_fail(torch::jit::Block& block) {
  for (auto it = block.nodes().begin(); it != block.nodes().end();) {
    torch::jit::Node* node = *it++;  // which may go
    for (torch::jit::Block* inner : node->blocks()) copy_where_views_fail(*inner);
    if (!node->matches("aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)")) continue;
    node->replaceWithNewSymbol(c10::aten::reshape);
    node->destroy();
  }
}

// Optimises module.value in place as its engine and precision say; the unfrozen original is dropped.
void prepare(tb_module& module) {
  module.value.eval();
  if (module.engine == TB_ENGINE_PLAIN) {
    if (module.precision != at::kFloat) tb::use_bfloat16(module.value, /*frozen=*/false);
    return;
  }
  to_channels_last(module.value);
  // As torch::jit::freeze, which copies the module first and with that packs int8 weights once more. It folds each BatchNorm into its
  // convolution. Rounding comes after that, once, and not before and after.
  torch::jit::freeze_module_inplace(&module.value);
  std::shared_ptr<torch::jit::Graph> graph = module.value.get_method("forward").graph();
  tb::keep_call_stacks(*graph, *module.value._ivalue()->compilation_unit());
  torch::jit::OptimizeFrozenGraph(graph, /*optimize_numerics=*/true);
  if (module.precision != at::kFloat) tb::use_bfloat16(module.value, /*frozen=*/true);
  copy_where_views_fail(*graph->block());
  if (module.engine == TB_ENGINE_FUSED) {
    tb::register_fuser();
    tb::fuse_quantised_additions(graph);
    if (module.precision == at::kFloat) tb::use_winograd(graph);
  } else if (module.engine == TB_ENGINE_OPTIMIZED) {
    module.value = torch::jit::optimize_for_inference(module.value);
    // It freezes once more where an attribute named training is still there, because the model writes to it.
    tb::keep_call_stacks(*module.value.get_method("forward").graph(), *module.value._ivalue()->compilation_unit());
  }
}

// The result of a model, which may come in a tuple, a list or a dictionary that holds nothing else.
at::Tensor only_tensor(torch::jit::IValue result) {
  if (result.isTensor()) return std::move(result).toTensor();
  torch::jit::IValue only;
  if (result.isTuple() && result.toTupleRef().elements().size() == 1) {
    only = result.toTupleRef().elements()[0];
  } else if (result.isList() && result.toListRef().size() == 1) {
    only = result.toListRef()[0];
  } else if (result.isGenericDict() && result.toGenericDict().size() == 1) {
    only = result.toGenericDict().begin()->value();
  }
  if (only.isTensor()) return std::move(only).toTensor();
  throw tb::Failure(VIDI_BAD_MODEL, "the model returned a " + result.tagKind() + "; a classifier returns one tensor");
}

[[noreturn]] void refuse_to_keep(int64_t bytes) {
  throw tb::Failure(VIDI_OUT_OF_MEMORY, "the model keeps memory from one image to the next, " + std::to_string(bytes >> 20) +
                                            " MB so far, which is more than one image may take: export it so that forward "
                                            "changes no attribute, and load it again");
}

template <typename Source>
vidi_status* load_from(Source&& source, const char* extra_name, const tb_module_options* options, tb_module** out) {
  int64_t peak = 0;
  vidi_status* status = tb::within(options == nullptr ? 0 : options->max_bytes, 0, &peak, nullptr, VIDI_BAD_MODEL, [&] {
    require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    *out = nullptr;
    require(options != nullptr, VIDI_INVALID_ARGUMENT, "options is NULL");
    require(options->precision == TB_FLOAT32 || options->precision == TB_BFLOAT16, VIDI_INVALID_ARGUMENT,
            "the precision is float32 or bfloat16");
    auto module = std::make_unique<tb_module>();
    module->engine = chosen_engine(options->engine);
    module->precision = static_cast<at::ScalarType>(options->precision);
    torch::jit::ExtraFilesMap extra;
    if (extra_name != nullptr) extra[extra_name] = "";
    module->value = source(extra);
    if (extra_name != nullptr) module->extra = std::move(extra[extra_name]);
    require(module->value.find_method("forward").has_value(), VIDI_BAD_MODEL, "the module has no forward method");
    tb::join_threads(module->value);
    tb::fill_new_tensors(module->value);
    prepare(*module);
    tb::require_no_threads(module->value);
    tb::add_ticks(module->value);
    *out = module.release();
  });
  if (status == nullptr) {
    (*out)->load_peak = peak;
  } else {
    tb::trim_allocator();  // nobody will close what is not there
  }
  return status;
}

}  // namespace

extern "C" {

vidi_status* tb_module_load(const char* path, const char* extra_name, const tb_module_options* options, tb_module** out) {
  return load_from(
      [path](torch::jit::ExtraFilesMap& extra) {
        require(path != nullptr, VIDI_INVALID_ARGUMENT, "path is NULL");
        std::FILE* file = std::fopen(path, "rb");  // libtorch's own error for a missing file names its source lines instead
        if (file == nullptr) throw tb::Failure(VIDI_NOT_FOUND, std::strerror(errno));
        bool readable = std::getc(file) != EOF || !std::ferror(file);  // a folder opens, but does not read
        int error = errno;
        std::fclose(file);
        if (!readable) throw tb::Failure(VIDI_NOT_FOUND, std::strerror(error));
        return torch::jit::load(std::string(path), at::kCPU, extra);
      },
      extra_name, options, out);
}

vidi_status* tb_module_load_bytes(const void* data, size_t size, const char* extra_name, const tb_module_options* options,
                                  tb_module** out) {
  return load_from(
      [data, size](torch::jit::ExtraFilesMap& extra) {
        require(data != nullptr && size > 0, VIDI_INVALID_ARGUMENT, "there are no bytes to load");
        return torch::jit::load(std::make_shared<BytesReader>(data, size), at::kCPU, extra);
      },
      extra_name, options, out);
}

vidi_status* tb_module_fork(const tb_module* module, tb_module** out) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    *out = nullptr;
    require(module != nullptr, VIDI_INVALID_ARGUMENT, "module is NULL");
    auto fork = std::make_unique<tb_module>();
    // Copies the graphs, whose constants are references to the same tensors, and none of what was compiled from them.
    fork->value = module->value.clone();
    tb::repack_quantised_weights(*fork->value.get_method("forward").graph());
    fork->extra = module->extra;
    fork->engine = module->engine;
    fork->precision = module->precision;
    fork->kept = module->kept;
    *out = fork.release();
  });
}

void tb_module_extra(const tb_module* module, const char** out, size_t* size) {
  if (out != nullptr) *out = module ? module->extra.data() : nullptr;
  if (size != nullptr) *size = module ? module->extra.size() : 0;
}

tb_engine tb_module_engine(const tb_module* module) { return module ? module->engine : TB_ENGINE_AUTO; }

int64_t tb_module_load_peak(const tb_module* module) { return module ? module->load_peak : 0; }

int64_t tb_module_peak(const tb_module* module) { return module ? module->peak.load() : 0; }

int64_t tb_module_kept(const tb_module* module) { return module ? module->kept->load() : 0; }

vidi_status* tb_module_forward(tb_module* module, const tb_tensor* input, const tb_limits* limits, tb_tensor** out) {
  const tb_limits none = {};
  if (limits == nullptr) limits = &none;
  int64_t peak = 0, kept = 0;
  bool keeps_too_much = false;
  vidi_status* status = tb::within(limits->max_bytes, limits->max_ms, &peak, &kept, VIDI_FORWARD_FAILED, [&] {
    require(out != nullptr, VIDI_INVALID_ARGUMENT, "out is NULL");
    *out = nullptr;
    require(module != nullptr && input != nullptr, VIDI_INVALID_ARGUMENT, "module or input is NULL");
    keeps_too_much = limits->max_bytes > 0 && *module->kept > limits->max_bytes;
    if (keeps_too_much) refuse_to_keep(*module->kept);
    c10::InferenceMode guard;  // per thread, so in every call
    // The JIT compiles inside forward, on this thread.
    torch::jit::GraphOptimizerEnabledGuard optimise(module->engine != TB_ENGINE_PLAIN);
    tb::FuserGuard fuse(module->engine == TB_ENGINE_FUSED);
    tb::Lent lent(input->value);
    at::Tensor in = lent.tensor();
    // As in Python: plain networks may ask for views that only such tensors have.
    if (module->engine == TB_ENGINE_PLAIN) in = in.contiguous();
    *out = tb::handed_out(only_tensor(module->value.forward({std::move(in)})));
  });
  if (module == nullptr) return status;
  *module->kept += kept;
  for (int64_t most = module->peak; peak > most && !module->peak.compare_exchange_weak(most, peak);) continue;
  if (status != nullptr && status->code == VIDI_OUT_OF_MEMORY && !keeps_too_much) {  // what it had made fits no other inference
    tb::trim_allocator();
    malloc_trim(0);
  }
  return status;
}

void tb_module_free(tb_module* module) {
  if (module == nullptr) return;
  delete module;
  tb::trim_allocator();  // its weights fit no inference
}

vidi_status* tb_fuser_forget(void) {
  return tb::guarded(VIDI_INTERNAL, [] {
    if (!tb::has_fuser()) return;
    tb::register_fuser();
    torch::jit::Module tiny("tiny");
    tiny.define("def forward(self, x):\n    return torch.relu(torch.relu(x) * x)\n");
    tiny.eval();
    c10::InferenceMode guard;
    torch::jit::GraphOptimizerEnabledGuard optimise(true);
    tb::FuserGuard fuse(true);
    at::Tensor input = at::ones({1, 8, 8, 8});
    for (int run = 0; run < 3; run++) tiny.forward({input});  // it is compiled in the second
  });
}

}  // extern "C"
