// Comparisons, logic and selection: the result of a test is a bool tensor.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

#define GP_COMPARE(Name, op)        \
  struct Name {                     \
    template <class T>              \
    GP_FN static auto f(T a, T b) { \
      return a op b;                \
    }                               \
  };
GP_COMPARE(Eq, ==)
GP_COMPARE(Ne, !=)
GP_COMPARE(Lt, <)
GP_COMPARE(Le, <=)
GP_COMPARE(Gt, >)
GP_COMPARE(Ge, >=)
#undef GP_COMPARE

template <class F>
struct Compare {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      if constexpr (is_float<S>)
        test2<S>(b, [](auto x, auto y) { return F::f(x, y); });
      else
        loop2<S, uint8_t>(b, [](S x, S y) { return F::f(x, y); });
    }
  };
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
    const int32_t dtype = in(c, 0).dtype;
    if (dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
    if (GP_DT(dtype) & kFloats) return run_floats<On>(c, dtype, 2);
    return run_integers<On>(c, dtype == GP_BOOL ? static_cast<int32_t>(GP_U8) : dtype, 2);
  }
};

#define GP_TEST(Name, expression) \
  struct Name {                   \
    template <class T>            \
    GP_FN static auto f(T x) {    \
      return expression;          \
    }                             \
  };
GP_TEST(IsNan, is_nan(x))
GP_TEST(IsInf, abs_(x) == T(__builtin_inff()))
GP_TEST(IsFinite, abs_(x) < T(__builtin_inff()))
#undef GP_TEST

template <class F, int OfIntegers>
struct Test {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      test1<S>(b, [](auto x) { return F::f(x); });
    }
  };
  static void constant(const PointwiseBlock &b) { memset(b.y, OfIntegers, static_cast<size_t>(b.n)); }
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
    const int32_t dtype = in(c, 0).dtype;
    return GP_DT(dtype) & kFloats ? run_floats<On>(c, dtype, 1) : run_pointwise(c, constant, false, 1);
  }
};

// ---- logic ----------------------------------------------------------------------------------------------------------

struct And {
  static bool f(bool a, bool b) { return a & b; }
};
struct Or {
  static bool f(bool a, bool b) { return a | b; }
};
struct Xor {
  static bool f(bool a, bool b) { return a ^ b; }
};

template <class F, class S>
void logical_block(const PointwiseBlock &b) {
  loop2<S, uint8_t>(b, [](S x, S y) { return F::f(truth(x), truth(y)); });
}
template <class S>
void not_block(const PointwiseBlock &b) {
  const S *x = static_cast<const S *>(b.x[0]);
  uint8_t *y = static_cast<uint8_t *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = !truth(x[i]);
}

template <class F>
int32_t logical(gp_context *, const gp_kernel *, const gp_call *c) {
  if (in(c, 0).dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
  BlockFn fn = nullptr;
  GP_ANY_DTYPE(in(c, 0).dtype, S, fn = logical_block<F, S>)
  return run_pointwise(c, fn, false, 2);
}
int32_t logical_not(gp_context *, const gp_kernel *, const gp_call *c) {
  BlockFn fn = nullptr;
  GP_ANY_DTYPE(in(c, 0).dtype, S, fn = not_block<S>)
  return run_pointwise(c, fn, false, 1);
}

// Selection only moves bits: by element size.
template <class U>
void where_block(const PointwiseBlock &b) {
  const uint8_t *condition = static_cast<const uint8_t *>(b.x[0]);
  const U *x0 = static_cast<const U *>(b.x[1]), *x1 = static_cast<const U *>(b.x[2]);
  U *y = static_cast<U *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = condition[i] ? x0[i] : x1[i];
}
int32_t where(gp_context *, const gp_kernel *, const gp_call *c) {
  if (in(c, 1).dtype != in(c, 2).dtype) return GP_UNSUPPORTED;
  constexpr BlockFn by_size[] = {where_block<uint8_t>, where_block<uint16_t>, where_block<uint32_t>,
                                 where_block<uint64_t>};
  return run_pointwise(c, by_size[__builtin_ctz(static_cast<unsigned>(size_of(in(c, 1).dtype)))], false, 3);
}

}  // namespace

#define ROW(op, signature, run) \
  { op, signature, kAnyDtype, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, run }

GP_ROWS(pointwise_compare) = {ROW("eq", "a b -> y", Compare<Eq>::run),
                              ROW("ne", "a b -> y", Compare<Ne>::run),
                              ROW("lt", "a b -> y", Compare<Lt>::run),
                              ROW("le", "a b -> y", Compare<Le>::run),
                              ROW("gt", "a b -> y", Compare<Gt>::run),
                              ROW("ge", "a b -> y", Compare<Ge>::run),
                              ROW("isnan", "x -> y", (Test<IsNan, 0>::run)),
                              ROW("isinf", "x -> y", (Test<IsInf, 0>::run)),
                              ROW("isfinite", "x -> y", (Test<IsFinite, 1>::run)),
                              ROW("logical_and", "a b -> y", logical<And>),
                              ROW("logical_or", "a b -> y", logical<Or>),
                              ROW("logical_xor", "a b -> y", logical<Xor>),
                              ROW("logical_not", "x -> y", logical_not),
                              {"where", "condition a b -> y", kAnyDtype, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, where},
                              {}};

}  // namespace gp::GP_ISA
