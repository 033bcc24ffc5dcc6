// Values from nowhere: full, fill_, arange. An integer tensor takes the value truncated.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class S>
GP_FN S made(double v) {
  return static_cast<S>(v);
}
template <>
GP_FN f16 made(double v) {
  return narrow_f16(static_cast<float>(v));
}
template <>
GP_FN bf16 made(double v) {
  return narrow_bf16(static_cast<float>(v));
}
struct boolean {
  uint8_t value;
};
template <>
GP_FN boolean made(double v) {
  return {static_cast<uint8_t>(v != 0.0)};
}

// `at`: where the value stands among the attributes.
template <class S>
GP_FN void fill_run(const PointwiseBlock &b, double value) {
  const S v = made<S>(value);
  S *y = static_cast<S *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = v;
}
template <class S>
struct Fill {
  static void run(const PointwiseBlock &b) { fill_run<S>(b, b.call->attrs[0]); }
};
template <class S>
struct Full {  // attrs: the shape as a list, value, dtype
  static void run(const PointwiseBlock &b) { fill_run<S>(b, b.call->attrs[1 + static_cast<int>(b.call->attrs[0])]); }
};
template <class S>
struct Arange {  // attrs: start step count dtype; every element from its position, in double
  static void run(const PointwiseBlock &b) {
    const double start = b.call->attrs[0], step = b.call->attrs[1];
    S *y = static_cast<S *>(b.y);
    for (int64_t i = 0; i < b.n; i++) y[i] = made<S>(start + static_cast<double>(b.first + i) * step);
  }
};

template <template <class> class Family>
int32_t run(const gp_call *c, const gp_view &y) {
  BlockFn fn = nullptr;
  switch (y.dtype) {
    case GP_F32:
      fn = Family<float>::run;
      break;
    case GP_F64:
      fn = Family<double>::run;
      break;
    case GP_F16:
      fn = Family<f16>::run;
      break;
    case GP_BF16:
      fn = Family<bf16>::run;
      break;
    case GP_I64:
      fn = Family<int64_t>::run;
      break;
    case GP_I32:
      fn = Family<int32_t>::run;
      break;
    case GP_U8:
      fn = Family<uint8_t>::run;
      break;
    default:
      fn = Family<boolean>::run;
      break;
  }
  return pointwise(c, fn, false, y, nullptr, 0);
}

int32_t fill(gp_context *, const gp_kernel *, const gp_call *c) { return run<Fill>(c, in(c, 0)); }
int32_t full(gp_context *, const gp_kernel *, const gp_call *c) { return run<Full>(c, out(c, 0)); }
int32_t arange(gp_context *, const gp_kernel *, const gp_call *c) { return run<Arange>(c, out(c, 0)); }

}  // namespace

GP_ROWS(fill) = {{"fill_", "x -> ; value", kAnyDtype, GP_KERNEL_MUTATES | GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, fill},
                 {"full", "-> y ; shape value dtype", kAnyDtype, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, full},
                 {"arange", "-> y ; start step count dtype", kAnyDtype, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, arange},
                 {}};

}  // namespace gp::GP_ISA
