// What the shim's tests share beside cgo/status/testing.h: owners that free, and a check that nothing stays alive.
#pragma once

#include <memory>
#include <vector>

#include "../status/testing.h"
#include "shim.h"

namespace tb::testing {

using namespace vidi::testing;

struct FreeObject {
  void operator()(tb_tensor* t) const { tb_tensor_free(t); }
  void operator()(tb_module* m) const { tb_module_free(m); }
};
using Tensor = std::unique_ptr<tb_tensor, FreeObject>;
using Module = std::unique_ptr<tb_module, FreeObject>;

inline tb_live live_counts() {
  tb_live live;
  tb_live_counts(&live);
  return live;
}

// Adds a test failure unless as many objects live as did at `before`. failures_test.cc runs it after every test.
inline void expect_nothing_leaked_since(const tb_live& before) {
  tb_live now = live_counts();
  EXPECT_EQ(now.modules - before.modules, 0) << "modules were not freed";
  EXPECT_EQ(now.tensors - before.tensors, 0) << "tensors were not freed";
  EXPECT_EQ(now.statuses - before.statuses, 0) << "statuses were not freed";
}

// A tensor made through the ABI from elements in a vector.
template <typename Element>
Tensor tensor_of(tb_dtype dtype, const std::vector<int64_t>& shape, const std::vector<Element>& elements) {
  tb_tensor* out = nullptr;
  EXPECT_OK(
      tb_tensor_new(dtype, shape.data(), static_cast<int32_t>(shape.size()), elements.data(), elements.size() * sizeof(Element), &out));
  return Tensor(out);
}

}  // namespace tb::testing
