// Unary pointwise ops: the functor stands in scalar.h, the row below.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class F>
struct Unary {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      map1<S>(b, [](auto x) { return F::f(x); });
    }
  };
  static int32_t floats(gp_context *, const gp_kernel *, const gp_call *c) {
    return run_floats<On>(c, in(c, 0).dtype, 1);
  }
};

// Ops that integers have too.
struct NegInt {
  template <class S>
  static S f(S x) {
    return static_cast<S>(-static_cast<uint64_t>(x));
  }
};
struct AbsInt {
  template <class S>
  static S f(S x) {
    return x < S(0) ? NegInt::f(x) : x;
  }
};
struct SignInt {
  template <class S>
  static S f(S x) {
    return static_cast<S>((x > S(0)) - (x < S(0)));
  }
};
template <class F, class I>
struct Any {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      loop1<S>(b, [](S x) { return I::f(x); });
    }
  };
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
    const int32_t dtype = in(c, 0).dtype;
    return GP_DT(dtype) & kFloats ? run_floats<Unary<F>::template On>(c, dtype, 1) : run_integers<On>(c, dtype, 1);
  }
};

// With one attribute.
template <class F>
struct WithAttr {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      const auto attr = Compute<S>(static_cast<S>(b.call->attrs[0]));
      map1<S>(b, [attr](auto x) { return F::f(x, attr); });
    }
  };
  static int32_t floats(gp_context *, const gp_kernel *, const gp_call *c) {
    return run_floats<On>(c, in(c, 0).dtype, 1);
  }
};

int32_t gelu(gp_context *, const gp_kernel *, const gp_call *c) {
  return Attrs(c).choice() == 0 ? run_floats<Unary<Gelu>::On>(c, in(c, 0).dtype, 1)
                                : run_floats<Unary<GeluTanh>::On>(c, in(c, 0).dtype, 1);
}

// An absent bound is NaN: no comparison with it holds.
template <class S>
struct ClampOn {
  static void run(const PointwiseBlock &b) {
    const double low = b.call->attrs[0], high = b.call->attrs[1];
    if constexpr (is_float<S>) {
      const Compute<S> lo(static_cast<S>(low)), hi(static_cast<S>(high));
      map1<S>(b, [lo, hi](auto x) { return clamp_(x, lo, hi); });
    } else {
      loop1<S>(b, [low, high](S x) {
        if (static_cast<double>(x) < low) x = static_cast<S>(low);
        return static_cast<double>(x) > high ? static_cast<S>(high) : x;
      });
    }
  }
};
int32_t clamp(gp_context *, const gp_kernel *, const gp_call *c) {
  const int32_t dtype = in(c, 0).dtype;
  return GP_DT(dtype) & kFloats ? run_floats<ClampOn>(c, dtype, 1) : run_integers<ClampOn>(c, dtype, 1);
}

}  // namespace

#define FLOAT_ROW(op, F) \
  { op, "x -> y", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, Unary<F>::floats }
#define ANY_ROW(op, F) \
  { op, "x -> y", kFloats | kIntegers, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, Any<F, F##Int>::run }

GP_ROWS(pointwise_unary) = {
    ANY_ROW("neg", Neg),
    ANY_ROW("abs", Abs),
    ANY_ROW("sign", Sign),
    FLOAT_ROW("exp", Exp),
    FLOAT_ROW("exp2", Exp2),
    FLOAT_ROW("expm1", Expm1),
    FLOAT_ROW("log", Log),
    FLOAT_ROW("log1p", Log1p),
    FLOAT_ROW("log2", Log2),
    FLOAT_ROW("sqrt", Sqrt),
    FLOAT_ROW("rsqrt", Rsqrt),
    FLOAT_ROW("reciprocal", Reciprocal),
    FLOAT_ROW("square", Square),
    FLOAT_ROW("sin", Sin),
    FLOAT_ROW("cos", Cos),
    FLOAT_ROW("tan", Tan),
    FLOAT_ROW("tanh", Tanh),
    FLOAT_ROW("sigmoid", Sigmoid),
    FLOAT_ROW("log_sigmoid", LogSigmoid),
    FLOAT_ROW("relu", Relu),
    FLOAT_ROW("silu", Silu),
    FLOAT_ROW("softplus", Softplus),
    FLOAT_ROW("erf", Erf),
    FLOAT_ROW("floor", Floor),
    FLOAT_ROW("ceil", Ceil),
    FLOAT_ROW("round", Round),
    FLOAT_ROW("trunc", Trunc),
    {"gelu", "x -> y ; approximate", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, gelu},
    {"clamp", "x -> y ; min max", kFloats | kIntegers, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, clamp},
    {"leaky_relu", "x -> y ; negativeSlope", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr,
     WithAttr<LeakyRelu>::floats},
    {"elu", "x -> y ; alpha", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, WithAttr<Elu>::floats},
    {}};

}  // namespace gp::GP_ISA
