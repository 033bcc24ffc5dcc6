// Binary arithmetic, out of place and in place. Both inputs have one dtype (the caller casts).
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class F>
struct Binary {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      map2<S>(b, [](auto x, auto y) { return F::f(x, y); });
    }
  };
};

template <class F, bool InPlace>
int32_t floats(gp_context *, const gp_kernel *, const gp_call *c) {
  if (in(c, 0).dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
  return run_floats<Binary<F>::template On>(c, in(c, 0).dtype, 2, InPlace);
}

// a + alpha b, one rounding where there is FMA. Sign -1 makes it a difference.
template <int Sign>
struct Add {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      const double alpha = Sign * b.call->attrs[0];
      if constexpr (is_float<S>) {
        if (alpha == 1.0) return map2<S>(b, [](auto x, auto y) { return x + y; });
        const Compute<S> a(static_cast<S>(alpha));
        map2<S>(b, [a](auto x, auto y) { return fma_(a, y, x); });
      } else {
        const uint64_t a = static_cast<uint64_t>(static_cast<int64_t>(alpha));
        loop2<S, S>(b, [a](S x, S y) { return static_cast<uint64_t>(x) + a * static_cast<uint64_t>(y); });
      }
    }
  };
};

struct MulInt {
  template <class S>
  static S f(const PointwiseBlock &, int64_t, S x, S y) {
    return static_cast<S>(static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
  }
};
struct MaximumInt {
  template <class S>
  static S f(const PointwiseBlock &, int64_t, S x, S y) {
    return x > y ? x : y;
  }
};
struct MinimumInt {
  template <class S>
  static S f(const PointwiseBlock &, int64_t, S x, S y) {
    return x < y ? x : y;
  }
};
// A zero divisor is reported; -1 is taken apart because the smallest integer divided by it traps.
struct FloorDivideInt {
  template <class S>
  static S f(const PointwiseBlock &b, int64_t i, S x, S y) {
    if (y == S(0)) {
      report(b.call, GP_BAD_VALUE, b.first + i, 0.0);
      return S(0);
    }
    if constexpr (S(-1) < S(0))
      if (y == S(-1)) return static_cast<S>(-static_cast<uint64_t>(x));
    const S q = static_cast<S>(x / y), r = static_cast<S>(x % y);
    return r != S(0) && ((r < S(0)) != (y < S(0))) ? static_cast<S>(q - 1) : q;
  }
};
struct RemainderInt {
  template <class S>
  static S f(const PointwiseBlock &b, int64_t i, S x, S y) {
    if (y == S(0)) {
      report(b.call, GP_BAD_VALUE, b.first + i, 0.0);
      return S(0);
    }
    if constexpr (S(-1) < S(0))
      if (y == S(-1)) return S(0);
    const S r = static_cast<S>(x % y);
    return r != S(0) && ((r < S(0)) != (y < S(0))) ? static_cast<S>(r + y) : r;
  }
};

template <class I>
struct Integer {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      const S *x0 = static_cast<const S *>(b.x[0]), *x1 = static_cast<const S *>(b.x[1]);
      S *y = static_cast<S *>(b.y);
      for (int64_t i = 0; i < b.n; i++) y[i] = I::f(b, i, x0[i], x1[i]);
    }
  };
};

template <template <class> class Float, template <class> class Int, bool InPlace>
int32_t any_number(gp_context *, const gp_kernel *, const gp_call *c) {
  const int32_t dtype = in(c, 0).dtype;
  if (dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
  return GP_DT(dtype) & kFloats ? run_floats<Float>(c, dtype, 2, InPlace) : run_integers<Int>(c, dtype, 2, InPlace);
}

constexpr uint32_t kNumbers = kFloats | kIntegers;

}  // namespace

#define ROW(op, signature, dtypes, run) \
  { op, signature, dtypes, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, run }
#define IN_PLACE_ROW(op, signature, dtypes, run) \
  { op, signature, dtypes, GP_KERNEL_MUTATES | GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, run }
#define BOTH(F) Binary<F>::On, Integer<F##Int>::On

GP_ROWS(pointwise_binary) = {
    ROW("add", "a b -> y ; alpha", kNumbers, (any_number<Add<1>::On, Add<1>::On, false>)),
    ROW("sub", "a b -> y ; alpha", kNumbers, (any_number<Add<-1>::On, Add<-1>::On, false>)),
    ROW("mul", "a b -> y", kNumbers, (any_number<BOTH(Mul), false>)),
    ROW("div", "a b -> y", kFloats, (floats<Div, false>)),
    ROW("pow", "a b -> y", kFloats, (floats<Pow, false>)),
    ROW("maximum", "a b -> y", kNumbers, (any_number<BOTH(Maximum), false>)),
    ROW("minimum", "a b -> y", kNumbers, (any_number<BOTH(Minimum), false>)),
    ROW("remainder", "a b -> y", kNumbers, (any_number<BOTH(Remainder), false>)),
    ROW("floor_divide", "a b -> y", kNumbers, (any_number<BOTH(FloorDivide), false>)),
    ROW("atan2", "a b -> y", kFloats, (floats<Atan2, false>)),
    IN_PLACE_ROW("add_", "a b -> ; alpha", kNumbers, (any_number<Add<1>::On, Add<1>::On, true>)),
    IN_PLACE_ROW("sub_", "a b -> ; alpha", kNumbers, (any_number<Add<-1>::On, Add<-1>::On, true>)),
    IN_PLACE_ROW("mul_", "a b ->", kNumbers, (any_number<BOTH(Mul), true>)),
    IN_PLACE_ROW("div_", "a b ->", kFloats, (floats<Div, true>)),
    {}};

}  // namespace gp::GP_ISA
