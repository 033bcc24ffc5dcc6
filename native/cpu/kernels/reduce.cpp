// sum mean prod amax amin any all over any axes: "x -> y ; dim keepdim", dim sorted and not negative.
// Floating sums and products combine blocks in double (see reduce.h); integers add in i64 and wrap. NaN wins amax and
// amin. No element: 0, NaN (mean), 1, false, true.
#include "../reduce.h"

namespace gp::GP_ISA {
namespace {

// Integers stay integers up to the result.
struct Reducers {
  Reducer first, later;
  double identity;
  bool integer;
};
template <class Op>
Reducers reducers_for(int32_t dtype) {
  constexpr double none = static_cast<double>(Op::template first<int64_t>());
  switch (dtype) {
    case GP_F32:
      return {kReducer<Op, float>, kReducer<Op, double>, Op::template first<double>(), false};
    case GP_F64:
      return {kReducer<Op, double>, kReducer<Op, double>, Op::template first<double>(), false};
    case GP_F16:
      return {kReducer<Op, f16>, kReducer<Op, double>, Op::template first<double>(), false};
    case GP_BF16:
      return {kReducer<Op, bf16>, kReducer<Op, double>, Op::template first<double>(), false};
    case GP_I64:
      return {kReducer<Op, int64_t>, kReducer<Op, int64_t>, none, true};
    case GP_I32:
      return {kReducer<Op, int32_t>, kReducer<Op, int64_t>, none, true};
    default:
      return {kReducer<Op, uint8_t>, kReducer<Op, int64_t>, none, true};
  }
}

ReducePlan plan(const gp_call *c, bool truth) {
  int64_t dims[GP_MAX_DIMS * 2];
  const int n = Attrs(c).list(dims);
  return plan_reduction(in(c, 0), dims, n, truth);
}
template <bool Truth>
size_t workspace(const gp_call *c) {
  return reduce_scratch(in(c, 0), plan(c, Truth)).bytes();
}

// `truth`: x is taken as bytes x != 0.
int32_t reduce_with(const gp_call *c, const Reducers &op, bool mean, bool truth) {
  const gp_view &x = in(c, 0), &y = out(c, 0);
  ReducePlan p = plan(c, truth);
  const double divisor = mean ? static_cast<double>(p.count) : 1.0;
  if (p.numel == 0) {
    const int64_t results = numel(y);
    for (int64_t i = 0; i < results; i++) put(y, i, mean ? 0.0 / divisor : op.identity);
    return GP_OK;
  }
  const ReduceScratch w = reduce_scratch(x, p);
  char *scratch = static_cast<char *>(c->workspace);
  const void *from = x.data;
  if (p.packed) {
    if (truth)
      pack_truth(c, reinterpret_cast<uint8_t *>(scratch), x);
    else
      pack(c, scratch, x);
    from = scratch;
  }
  char *buffer = scratch + w.copy, *other = buffer + w.stage;
  Cell *partial = reinterpret_cast<Cell *>(other + w.stage);
  const Reducer *step = &op.first;
  int size = truth ? 1 : size_of(x.dtype);
  for (; p.reductions > 1; p = after_stage(p)) {
    Cell *to = reinterpret_cast<Cell *>(buffer);
    run_stage(last_stage(p), *step, from, size, partial, [to](int64_t i, Cell v) { to[i] = v; });
    from = buffer;
    buffer = other;
    other = reinterpret_cast<char *>(to);
    step = &op.later;
    size = sizeof(Cell);
  }
  run_stage(last_stage(p), *step, from, size, partial, [&](int64_t i, Cell v) {
    if (op.integer)
      put(y, i, v.i);
    else
      put(y, i, mean ? v.d / divisor : v.d);
  });
  return GP_OK;
}

template <class Op, bool Mean>
int32_t reduce(gp_context *, const gp_kernel *, const gp_call *c) {
  return reduce_with(c, reducers_for<Op>(in(c, 0).dtype), Mean, false);
}
int32_t any_true(gp_context *, const gp_kernel *, const gp_call *c) {
  Reducers op = reducers_for<Max>(GP_BOOL);
  op.identity = 0;
  return reduce_with(c, op, false, true);
}
int32_t all_true(gp_context *, const gp_kernel *, const gp_call *c) {
  Reducers op = reducers_for<Min>(GP_BOOL);
  op.identity = 1;
  return reduce_with(c, op, false, true);
}

}  // namespace

#define ROW(op, dtypes, truth, run) \
  { op, "x -> y ; dim keepdim", dtypes, GP_KERNEL_ANY_STRIDE, ~0ull, workspace<truth>, run }

GP_ROWS(reduce) = {ROW("sum", kAnyDtype, false, (reduce<Sum, false>)),
                   ROW("mean", kFloats, false, (reduce<Sum, true>)),
                   ROW("prod", kAnyDtype, false, (reduce<Prod, false>)),
                   ROW("amax", kAnyDtype, false, (reduce<Max, false>)),
                   ROW("amin", kAnyDtype, false, (reduce<Min, false>)),
                   ROW("any", kAnyDtype, true, any_true),
                   ROW("all", kAnyDtype, true, all_true),
                   {}};

}  // namespace gp::GP_ISA
