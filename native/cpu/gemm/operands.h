// A product's operands as one batch of it sees them.
#pragma once
#include "plan.h"

namespace gp::GP_ISA {
namespace {

// One batch: operands at their element (0, 0).
template <class P>
struct Operands {
  const typename P::Type *a;
  const typename P::TypeB *b;
  int64_t a_row, a_col, b_row, b_col;
  Finish<typename P::Type, typename P::Sum> finish;
};

GP_INLINE int64_t batch_offset(const GemmArgs &g, const GemmMatrix &x, int64_t batch) {
  int64_t at = 0;
  for (int d = g.batch_ndim - 1; d >= 0; d--) {
    at += batch % g.batch_shape[d] * x.batch[d];
    batch /= g.batch_shape[d];
  }
  return at;
}

template <class P>
Operands<P> operands(const GemmArgs &g, int64_t batch) {
  using T = typename P::Type;
  using Sum = typename P::Sum;
  auto at = [&](const GemmMatrix &x) -> T * {
    return x.data == nullptr ? nullptr : static_cast<T *>(x.data) + batch_offset(g, x, batch);
  };
  Operands<P> o;
  o.a = at(g.a);
  o.b = static_cast<typename P::TypeB *>(g.b.data) + batch_offset(g, g.b, batch);
  o.a_row = g.a.row;
  o.a_col = g.a.col;
  o.b_row = g.b.row;
  o.b_col = g.b.col;
  Finish<T, Sum> &f = o.finish;
  f.alpha = static_cast<Sum>(g.alpha);
  f.activation = g.activation;
  f.accumulate = g.accumulate;
  f.wide_c = g.wide_c;
  f.bias = at(g.bias);
  f.residual = at(g.residual);
  f.pre = at(g.pre);
  f.c = g.wide_c ? static_cast<void *>(static_cast<Sum *>(g.c.data) + batch_offset(g, g.c, batch)) : at(g.c);
  f.bias_row = g.bias.row;
  f.bias_col = g.bias.col;
  f.residual_row = g.residual.row;
  f.residual_col = g.residual.col;
  f.pre_row = g.pre.row;
  f.pre_col = g.pre.col;
  f.c_row = g.c.row;
  f.c_col = g.c.col;
  // Where the plan adds, it is one of these.
  f.addend = f.bias != nullptr ? f.bias : f.residual != nullptr ? f.residual : static_cast<const T *>(f.c);
  f.addend_row = f.bias != nullptr ? f.bias_row : f.residual != nullptr ? f.residual_row : f.c_row;
  return o;
}

}  // namespace
}  // namespace gp::GP_ISA
