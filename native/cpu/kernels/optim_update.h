// What the update kernels of optimizers share: the scalars of a step, and what must be contiguous. For kernel files
// only.
#pragma once
#include "../../include/tensor_list.h"

namespace gp::GP_ISA {
namespace {

// Every update has its parameters as input 0, its gradients as input 1, and ends in: steps lr scale? skip?
struct Step {
  double lr, scale;
  bool skip;
};

GP_INLINE Step read_step(const gp_call *c, int lr, bool maximize) {
  Step s{scalar_of(in(c, lr)), 1.0, false};
  if (has(c, lr + 1)) s.scale = scalar_of(in(c, lr + 1));
  if (has(c, lr + 2)) s.skip = scalar_of(in(c, lr + 2)) != 0.0;
  if (maximize) s.scale = -s.scale;
  return s;
}

// All written lists; the gradients arrive contiguous.
GP_INLINE bool writable(const gp_call *c, int first_state, int end_state) {
  bool good = list_is_contiguous(c, 0);
  for (int list = first_state; list < end_state; list++) good = good && list_is_contiguous(c, list);
  return good;
}

GP_INLINE int64_t &step_of(const gp_call *c, int steps, int i) { return *data<int64_t>(in_list(c, steps, i)); }

}  // namespace
}  // namespace gp::GP_ISA
