// Special functions: one element at a time in double, so that f32 is right to its last bit or the one before.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <double F(double)>
struct Special {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      loop1<S>(b, [](S x) { return static_cast<S>(F(static_cast<double>(x))); });
    }
  };
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) { return run_floats<On>(c, in(c, 0).dtype, 1); }
};

template <double F(double, double)>
struct Special2 {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      loop2<S, S>(b, [](S x, S y) { return F(static_cast<double>(x), static_cast<double>(y)); });
    }
  };
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
    if (in(c, 0).dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
    return run_floats<On>(c, in(c, 0).dtype, 2);
  }
};

double asin_of(double x) { return ::asin(x); }
double acos_of(double x) { return ::acos(x); }
double atan_of(double x) { return ::atan(x); }
double sinh_of(double x) { return ::sinh(x); }
double cosh_of(double x) { return ::cosh(x); }
double asinh_of(double x) { return ::asinh(x); }
double acosh_of(double x) { return ::acosh(x); }
double atanh_of(double x) { return ::atanh(x); }
double log10_of(double x) { return ::log10(x); }
double erfc_of(double x) { return ::erfc(x); }
double hypot_of(double x, double y) { return ::hypot(x, y); }
double fmod_of(double x, double y) { return ::fmod(x, y); }

double lgamma_of(double x) {
  int sign;  // lgamma itself writes a global
  return ::lgamma_r(x, &sign);
}

// psi(x): reflection below 0, recurrence up to 10, then ln x - 1/(2x) - sum B_2k / (2k x^2k) (Abramowitz &
// Stegun 6.3.18).
double digamma_of(double x) {
  if (x == 0) return ::copysign(__builtin_inf(), -x);
  double y = 0;
  if (x < 0) {
    if (x == ::floor(x)) return __builtin_nan("");
    // tan of the fraction alone: x itself loses digits
    y = -M_PI / ::tan(M_PI * (x - ::trunc(x)));
    x = 1 - x;
  }
  for (; x < 10; x += 1) y -= 1 / x;
  if (x > 1e17) return y + ::log(x);
  const double z = 1 / (x * x);
  const double tail =
      z *
      (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return y + ::log(x) - 0.5 / x - tail;
}

// zeta(s, q) = sum 1 / (q + k)^s by Euler and Maclaurin: ten terms, the integral, half a term and Bernoulli numbers.
double zeta(double s, double q) {
  if (s == 1) return __builtin_inf();
  if (q <= 0 && q == ::floor(q)) return __builtin_inf();
  if (q < -1e6) return __builtin_nan("");
  double sum = 0;
  for (; q < 0; q += 1) sum += ::pow(q, -s);  // s is whole
  for (int k = 0; k < 10; k++) sum += ::pow(q + k, -s);
  const double w = q + 10;
  sum += ::pow(w, 1 - s) / (s - 1) + 0.5 * ::pow(w, -s);
  constexpr double kBernoulli[] = {1.0 / 12,
                                   -1.0 / 720,
                                   1.0 / 30240,
                                   -1.0 / 1209600,
                                   1.0 / 47900160,
                                   -691.0 / 1307674368000.0,
                                   1.0 / 74724249600.0,
                                   -3617.0 / 10670622842880000.0};
  double factor = s * ::pow(w, -s - 1);
  for (int k = 0; k < 8; k++) {
    sum += kBernoulli[k] * factor;
    factor *= (s + 2 * k + 1) * (s + 2 * k + 2) / (w * w);
  }
  return sum;
}

// psi^(n)(x) = (-1)^(n+1) n! zeta(n + 1, x).
double polygamma_of(double n, double x) {
  if (n == 0) return digamma_of(x);
  if (n == 1 && x < 0 && x != ::floor(x)) {  // reflection: psi'(1 - x) + psi'(x) = (pi / sin(pi x))^2
    const double s = ::sin(M_PI * (x - ::trunc(x)));
    return M_PI * M_PI / (s * s) - polygamma_of(1, 1 - x);
  }
  const double sign = ::fmod(n, 2) == 0 ? -1.0 : 1.0;
  return sign * ::tgamma(n + 1) * zeta(n + 1, x);
}

// Giles (2012), "Approximating the erfinv function", as a start; then two steps of Newton in double.
double erfinv_of(double y) {
  if (y <= -1 || y >= 1 || y != y) return y == 1 || y == -1 ? y * __builtin_inf() : __builtin_nan("");
  double w = -::log1p(-y * y), p;
  if (w < 5) {
    w -= 2.5;
    p = 1.50140941 +
        w * (0.246640727 +
             w * (-0.00417768164 +
                  w * (-0.00125372503 +
                       w * (0.00021858087 + w * (-4.39150654e-06 +
                                                 w * (-3.5233877e-06 + w * (3.43273939e-07 + w * 2.81022636e-08)))))));
  } else {
    w = ::sqrt(w) - 3;
    p = 2.83297682 +
        w * (1.00167406 +
             w * (0.00943887047 +
                  w * (-0.0076224613 +
                       w * (0.00573950773 +
                            w * (-0.00367342844 + w * (0.00134934322 + w * (0.000100950558 - w * 0.000200214257)))))));
  }
  double x = p * y;
  for (int step = 0; step < 2; step++) {
    const double error = x > 0.5 ? (1 - y) - ::erfc(x) : x < -0.5 ? ::erfc(-x) - (1 + y) : ::erf(x) - y;
    x -= error / (1.1283791670955126 * ::exp(-x * x));
  }
  return x;
}

template <class S>
struct PolygammaOn {
  static void run(const PointwiseBlock &b) {
    const double n = b.call->attrs[0];
    loop1<S>(b, [n](S x) { return static_cast<S>(polygamma_of(n, static_cast<double>(x))); });
  }
};
int32_t polygamma(gp_context *, const gp_kernel *, const gp_call *c) {
  return run_floats<PolygammaOn>(c, in(c, 0).dtype, 1);
}

// x itself; a value outside [low, high], NaN too, is reported.
template <class S>
struct WithinOn {
  static void run(const PointwiseBlock &b) {
    const double low = b.call->attrs[0], high = b.call->attrs[1];
    const S *x = static_cast<const S *>(b.x[0]);
    S *y = static_cast<S *>(b.y);
    for (int64_t i = 0; i < b.n; i++) {
      const double value = static_cast<double>(x[i]);
      if (!(value >= low && value <= high)) report(b.call, GP_BAD_VALUE, b.first + i, value);
      y[i] = x[i];
    }
  }
};
int32_t within(gp_context *, const gp_kernel *, const gp_call *c) { return run_floats<WithinOn>(c, in(c, 0).dtype, 1); }

}  // namespace

#define ROW(op, F) \
  { op, "x -> y", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, Special<F>::run }
#define ROW2(op, F) \
  { op, "a b -> y", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, Special2<F>::run }

GP_ROWS(pointwise_special) = {ROW("asin", asin_of),
                              ROW("acos", acos_of),
                              ROW("atan", atan_of),
                              ROW("sinh", sinh_of),
                              ROW("cosh", cosh_of),
                              ROW("asinh", asinh_of),
                              ROW("acosh", acosh_of),
                              ROW("atanh", atanh_of),
                              ROW("log10", log10_of),
                              ROW("erfc", erfc_of),
                              ROW("erfinv", erfinv_of),
                              ROW("lgamma", lgamma_of),
                              ROW("digamma", digamma_of),
                              ROW2("hypot", hypot_of),
                              ROW2("fmod", fmod_of),
                              {"polygamma", "x -> y ; n", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, polygamma},
                              {"within", "x -> y ; low high", kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, within},
                              {}};

}  // namespace gp::GP_ISA
