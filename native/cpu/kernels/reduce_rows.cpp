// Reductions that need a whole row at once: argmax, argmin, logsumexp. The reduced axes are brought to the end; what
// then does not lie in contiguous rows is packed.
#include "../reduce.h"

namespace gp::GP_ISA {
namespace {

struct Rows {
  gp_view view;  // x with the reduced axes last
  ReducePlan plan;
};

Rows rows_of(const gp_call *c) {
  const gp_view &x = in(c, 0);
  int64_t dims[GP_MAX_DIMS * 2], last[GP_MAX_DIMS];
  const int n = Attrs(c).list(dims);
  Rows r;
  r.view = x;
  int to = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < x.ndim; d++) {
      if (is_reduced(dims, n, d) != (pass == 1)) continue;
      r.view.shape[to] = x.shape[d];
      r.view.stride[to++] = x.stride[d];
    }
  for (int i = 0; i < n; i++) last[i] = x.ndim - n + i;
  r.plan = plan_reduction(r.view, last, n, false);
  return r;
}

size_t workspace(const gp_call *c) {
  const Rows r = rows_of(c);
  return r.plan.packed && r.plan.numel > 0 ? aligned(static_cast<size_t>(r.plan.numel * size_of(r.view.dtype))) : 0;
}

// body(row, elements, count) for every row.
template <class S, class F>
void each_row(const gp_call *c, const Rows &r, F &&body) {
  const S *x = data<S>(r.view);
  if (r.plan.packed) {
    pack(c, c->workspace, r.view);
    x = static_cast<const S *>(c->workspace);
  }
  const Stage s = last_stage(r.plan);
  const int64_t rows = kSerial / 4 / (s.reduced + 1) + 1;
  auto tile = [&](int64_t t, int) {
    for (int64_t o = t * rows; o < s.outer && o < (t + 1) * rows; o++) body(o, x + o * s.outer_stride, s.reduced);
  };
  spread(s.outer * s.reduced, (s.outer + rows - 1) / rows, tile);
}

// The first place of the extreme value; of the first NaN if there is one.
template <class Op, class S>
int64_t place(const S *x, int64_t n) {
  using V = Compute<S>;
  using C = typename V::Scalar;
  Cell extreme = reduce_chunk<Op, S>(x, n);
  const C m = static_cast<C>(value<WideOf<S>>(extreme));
  int64_t i = 0;
  if (m != m) {
    while (open(x[i]) == open(x[i])) i++;
    return i;
  }
  const V target = V(m);
  while (i + V::lanes <= n && !any(load_as<S>(x + i) == target)) i += V::lanes;
  while (open(x[i]) != m) i++;
  return i;
}

template <class Op>
int32_t arg(gp_context *, const gp_kernel *, const gp_call *c) {
  const Rows r = rows_of(c);
  if (r.plan.numel == 0) return GP_OK;
  int64_t *y = data<int64_t>(out(c, 0));
  GP_ANY_DTYPE(r.view.dtype, S,
               { each_row<S>(c, r, [y](int64_t row, const S *x, int64_t n) { y[row] = place<Op, S>(x, n); }); })
  return GP_OK;
}

// max + log(sum exp(x - max)); the sum in the order of `sum`.
template <class S>
double log_sum_exp(const S *x, int64_t n) {
  using V = Compute<S>;
  using C = typename V::Scalar;
  const double m = reduce_chunk<Max, S>(x, n).d;
  if (!(m - m == 0)) return m;  // infinite or NaN
  const V shift = V(static_cast<C>(m));
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kSumBlock) {
    const int64_t count = n - begin < kSumBlock ? n - begin : kSumBlock;
    alignas(64) C e[kSumBlock];
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) store(e + i, exp_(load<V>(x + begin + i) - shift));
    if (i < count) store_some(e + i, exp_(load_some<V>(x + begin + i, count - i) - shift), count - i);
    total += reduce_chunk<Sum, C>(e, count).d;
  }
  return m + ::log(total);
}

int32_t logsumexp(gp_context *, const gp_kernel *, const gp_call *c) {
  const Rows r = rows_of(c);
  const gp_view &y = out(c, 0);
  if (r.plan.numel == 0) {
    const int64_t results = numel(y);
    for (int64_t i = 0; i < results; i++) put(y, i, -__builtin_inf());
    return GP_OK;
  }
  GP_FLOATS(r.view.dtype, S,
            { each_row<S>(c, r, [&y](int64_t row, const S *x, int64_t n) { put(y, row, log_sum_exp<S>(x, n)); }); })
  return GP_OK;
}

}  // namespace

#define ROW(op, dtypes, run) \
  { op, "x -> y ; dim keepdim", dtypes, GP_KERNEL_ANY_STRIDE, ~0ull, workspace, run }

GP_ROWS(reduce_rows) = {
    ROW("argmax", kAnyDtype, arg<Max>), ROW("argmin", kAnyDtype, arg<Min>), ROW("logsumexp", kFloats, logsumexp), {}};

}  // namespace gp::GP_ISA
