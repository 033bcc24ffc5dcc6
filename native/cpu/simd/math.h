// Elementary functions on vectors. Float: own polynomials, 1 to 2 ulp (native/test/math_test.cpp measures), the same
// bits with AVX2 and AVX-512 because every step is the same IEEE operation; without FMA the bits differ. Double: the C
// library, lane by lane.
//
// Polynomials: weighted minimax fits of the named function over the named interval, coefficients rounded to float.
// Special cases everywhere: NaN in, NaN out; infinities, zeros and subnormals as in the C library.
#pragma once
#include "vec.h"

namespace gp::GP_ISA {
namespace {

template <class V>
GP_FN V poly(V, double c) {
  return V(static_cast<typename V::Scalar>(c));
}
// c0 + x (c1 + x (c2 + ...))
template <class V, class... C>
GP_FN V poly(V x, double c0, C... c) {
  return fma_(poly(x, c...), x, V(static_cast<typename V::Scalar>(c0)));
}

template <class S, int N>
GP_FN Vec<S, N> abs_(Vec<S, N> a) {
  using I = typename Vec<S, N>::Int;
  return from_bits<Vec<S, N>>(bits(a) & I(static_cast<typename I::Scalar>(~(uint64_t{1} << (sizeof(S) * 8 - 1)))));
}
template <class S, int N>
GP_FN Vec<S, N> sign_bit(Vec<S, N> a) {
  using I = typename Vec<S, N>::Int;
  return from_bits<Vec<S, N>>(bits(a) & I(static_cast<typename I::Scalar>(uint64_t{1} << (sizeof(S) * 8 - 1))));
}
// |a| with the sign of b
template <class S, int N>
GP_FN Vec<S, N> copysign_(Vec<S, N> a, Vec<S, N> b) {
  return from_bits<Vec<S, N>>(bits(abs_(a)) | bits(sign_bit(b)));
}
template <class V>
GP_FN typename V::M is_nan(V a) {
  return a != a;
}
// A NaN passes through.
template <class V>
GP_FN V clamp_(V x, V lo, V hi) {
  x = select(x < lo, lo, x);
  return select(x > hi, hi, x);
}
template <class V>
GP_FN V max_nan(V a, V b) {
  return select((a > b) | is_nan(a), a, b);
}
template <class V>
GP_FN V min_nan(V a, V b) {
  return select((a < b) | is_nan(a), a, b);
}

// ---- float ----------------------------------------------------------------------------------------------------------

// a * 2^n with one rounding; n is integral, a near 1.
template <int N>
GP_FN Vec<float, N> scale2(Vec<float, N> a, Vec<float, N> n) {
  using V = Vec<float, N>;
  using I = typename V::Int;
  I e = convert<I>(n), h = e >> 1, l = e - h;
  return a * from_bits<V>((h + I(127)) << 23) * from_bits<V>((l + I(127)) << 23);
}

constexpr float kLog2e = 1.44269504088896341f;
constexpr float kLn2Hi = 0.693359375f;  // 9 bits: its product with any exponent is exact
constexpr float kLn2Lo = -2.12194440054690582e-4f;

template <class V>
struct Reduced {
  V n, r;  // x = n ln 2 + r, |r| <= ln 2 / 2
};
template <class V>
GP_FN Reduced<V> reduce_ln2(V x) {
  V n = round_(x * V(kLog2e));
  V r = fma_(n, V(-kLn2Hi), x);
  return {n, fma_(n, V(-kLn2Lo), r)};
}

template <int N>
GP_FN Vec<float, N> exp_(Vec<float, N> x) {
  using V = Vec<float, N>;
  x = clamp_(x, V(-104.0f), V(89.0f));  // beyond: 0 and infinity
  auto [n, r] = reduce_ln2(x);
  V q = poly(r, 0.5, 0.166665182, 0.0416662022, 0.00836902484, 0.00139507244);  // (e^r - 1 - r) / r^2
  return scale2(fma_(r * r, q, r) + V(1.0f), n);
}

template <int N>
GP_FN Vec<float, N> exp2_(Vec<float, N> x) {
  using V = Vec<float, N>;
  x = clamp_(x, V(-151.0f), V(129.0f));
  V n = round_(x), r = x - n;
  V q = poly(r, 0.693147182, 0.240226507, 0.0555041097, 0.00961803645, 0.00133334298, 0.00015467366, 1.53151959e-05);
  return scale2(fma_(r, q, V(1.0f)), n);
}

template <int N>
GP_FN Vec<float, N> expm1_(Vec<float, N> x) {
  using V = Vec<float, N>;
  V c = clamp_(x, V(-26.0f), V(89.0f));
  auto [n, r] = reduce_ln2(c);
  V q = poly(r, 0.49999997, 0.16666542, 0.0416672044, 0.00836664718, 0.00138824945);
  V t = fma_(r * r, q, r);             // e^r - 1
  V s = scale2(V(1.0f), n - V(1.0f));  // 2^n / 2: 2^n itself may overflow before the sum does
  V y = fma_(s, t, s - V(0.5f)) * V(2.0f);
  return select(x == V(0.0f), x, y);
}

// The two parts of log m and the exponent: x = m 2^e, m in [sqrt(1/2), sqrt(2)), f = m - 1, log m = f + y.
template <class V>
struct LogParts {
  V e, f, y;
};
template <int N>
GP_FN LogParts<Vec<float, N>> log_parts(Vec<float, N> x) {
  using V = Vec<float, N>;
  using I = typename V::Int;
  auto tiny = x < V(1.17549435e-38f);
  V scaled = select(tiny, x * V(8388608.0f), x);  // 2^23
  I ix = bits(scaled);
  I e = (ix - I(0x3f3504f3)) >> 23;
  V f = from_bits<V>(ix - (e << 23)) - V(1.0f);
  V ef = convert<V>(e) - mask_bits(tiny, V(23.0f));
  V z = f * f;
  V q = poly(f, 0.333333135, -0.250000089, 0.200021192, -0.166679963, 0.142195508, -0.124055915, 0.118881747,
             -0.116756409, 0.0674660131);
  return {ef, f, (f * z) * q};  // the caller subtracts z / 2
}
template <int N>
GP_FN Vec<float, N> log_specials(Vec<float, N> x, Vec<float, N> y) {
  using V = Vec<float, N>;
  V inf = V(__builtin_inff());
  y = select(x < inf, y, x);  // infinity and NaN stay
  y = select(x == V(0.0f), -inf, y);
  return select(x < V(0.0f), V(__builtin_nanf("")), y);
}

template <int N>
GP_FN Vec<float, N> log_(Vec<float, N> x) {
  using V = Vec<float, N>;
  auto [e, f, y] = log_parts(x);
  y = fma_(e, V(kLn2Lo), y);
  y = fma_(f * f, V(-0.5f), y);
  return log_specials(x, fma_(e, V(kLn2Hi), f + y));
}

template <int N>
GP_FN Vec<float, N> log2_(Vec<float, N> x) {
  using V = Vec<float, N>;
  const V c = V(0.44269504088896341f);  // log2(e) - 1
  auto [e, f, y] = log_parts(x);
  y = fma_(f * f, V(-0.5f), y);
  V t = fma_(f, c, y * c);
  return log_specials(x, ((t + y) + f) + e);
}

template <int N>
GP_FN Vec<float, N> log1p_(Vec<float, N> x) {
  using V = Vec<float, N>;
  V u = V(1.0f) + x;
  V lost = select(x > V(1.0f), V(1.0f) - (u - x), x - (u - V(1.0f)));  // what rounding 1 + x dropped
  V y = log_(u) + lost / u;
  y = select((u == V(0.0f)) | (u == V(__builtin_inff())), log_(u), y);
  return select(x == V(0.0f), x, y);
}

template <int N>
GP_FN Vec<float, N> tanh_(Vec<float, N> x) {
  using V = Vec<float, N>;
  V a = abs_(x), z = x * x;
  V q = poly(z, -0.333332807, 0.133314416, -0.0537397116, 0.0206390787, -0.00570497848);
  V y = select(a < V(0.625f), fma_(a * z, q, a), V(1.0f) - V(2.0f) / (exp_(a + a) + V(1.0f)));
  return select(is_nan(x), x, copysign_(y, x));
}

// exp(-t^2 / 2) for t >= 0: the rounding error of t * t would be magnified by t^2.
template <int N>
GP_FN Vec<float, N> gauss(Vec<float, N> t, float half) {
  using V = Vec<float, N>;
  if (kHasFma) {
    V h = t * t, e = exp_(h * V(-half));
    return fma_(e, fma_(t, t, -h) * V(-half), e);
  }
  // t = a + b with a of 12 bits: a * a is exact
  V a = from_bits<V>(bits(t) & typename V::Int(static_cast<int32_t>(0xfffff000)));
  V rest = (t - a) * (t + a);
  return exp_(a * a * V(-half)) * exp_(rest * V(-half));
}
// exp(t^2 / 2) Phi(-t) for t >= 1, as a polynomial in 1 / (t + 3)
template <int N>
GP_FN Vec<float, N> mills(Vec<float, N> t) {
  using V = Vec<float, N>;
  V u = V(1.0f) / (t + V(3.0f));
  return poly(u, 2.7640765e-06, 0.398700684, 1.20601213, 2.99208212, 9.90816593, -12.3540058, 147.794632, -534.622803,
              716.756409, -328.917389);
}

// The normal distribution function Phi, with relative accuracy in the left tail.
template <int N>
GP_FN Vec<float, N> normal_cdf_(Vec<float, N> x) {
  using V = Vec<float, N>;
  V z = x * x;
  V p = poly(z, 0.3989422804, -0.066490382, 0.0099735437, -0.00118725502, 0.000115251554, -9.21101764e-06,
             5.15865452e-07);
  V small = fma_(x, p, V(0.5f));
  V t = clamp_(abs_(x), V(0.0f), V(20.0f));
  V q = gauss(t, 0.5f) * mills(t);
  V large = select(x < V(0.0f), q, V(1.0f) - q);
  return select(abs_(x) < V(1.0f), small, large);
}

template <int N>
GP_FN Vec<float, N> erf_(Vec<float, N> x) {
  using V = Vec<float, N>;
  V z = x * x;
  V p = poly(z, 0.128379166, -0.37612626, 0.112835854, -0.026853811, 0.00518832775, -0.000801019254, 7.85385782e-05);
  V small = fma_(x, p, x);
  V t = clamp_(abs_(x), V(0.0f), V(10.0f));
  V q = gauss(t, 1.0f) * mills(t * V(1.41421356237f)) * V(2.0f);
  V large = copysign_(V(1.0f) - q, x);
  return select(abs_(x) < V(1.0f), small, select(is_nan(x), x, large));
}

// Sine (quarter = 0) or cosine (quarter = 1). The argument is reduced in double; beyond 2^28 the C library takes over.
template <int N>
GP_FN Vec<float, N> sin_shifted(Vec<float, N> x, int quarter) {
  using V = Vec<float, N>;
  using D = Vec<double, N / 2>;
  using I = typename V::Int;
  auto far = !(abs_(x) < V(268435456.0f));
  V near = select(far, V(0.0f), x);
  auto reduce = [](Vec<float, N / 2> h, Vec<int32_t, N / 2> & k) __attribute__((always_inline)) {
    D d = convert<D>(h);
    D n = round_(d * D(0.63661977236758134308));
    k = convert<Vec<int32_t, N / 2>>(n);
    // pi/2 in parts of 24 bits, 24 bits and the rest: the first two products are exact even without FMA
    D r = d - n * D(0x1.921fb4p+0);
    r = r - n * D(0x1.4442dp-24);
    return convert<Vec<float, N / 2>>(r - n * D(0x1.8469898cc5170p-48));
  };
  auto h = split(near);
  Vec<int32_t, N / 2> k0, k1;
  auto r0 = reduce(h.lo, k0), r1 = reduce(h.hi, k1);
  V r = unite<V>(r0, r1);
  I k = unite<I>(k0, k1) + I(quarter);
  V z = r * r;
  V s = fma_(r * z, poly(z, -0.166666672, 0.00833332911, -0.000198392561, 2.71756448e-06), r);
  V c = fma_(z * z, poly(z, 0.0416666679, -0.00138888834, 2.47994358e-05, -2.7203302e-07), fma_(z, V(-0.5f), V(1.0f)));
  V y = select((k & I(1)) == I(1), c, s);
  y = from_bits<V>(bits(y) ^ ((k & I(2)) << 30));
  if (quarter == 0) y = select(x == V(0.0f), x, y);
  if (__builtin_expect(any(far), 0)) {
    V lib = each(x, [quarter](float a) { return quarter ? ::cosf(a) : ::sinf(a); });
    y = select(far, lib, y);
  }
  return y;
}
template <int N>
GP_FN Vec<float, N> sin_(Vec<float, N> x) {
  return sin_shifted(x, 0);
}
template <int N>
GP_FN Vec<float, N> cos_(Vec<float, N> x) {
  return sin_shifted(x, 1);
}

// Sine and cosine of 2 pi t, for moderate t: the reduction is exact.
template <class V>
struct SinCos {
  V sin, cos;
};
template <int N>
GP_FN SinCos<Vec<float, N>> sincos_turns(Vec<float, N> t) {
  using V = Vec<float, N>;
  using I = typename V::Int;
  V n = round_(t * V(4.0f));
  V r = fma_(n, V(-0.25f), t) * V(6.28318530717958648f), z = r * r;
  I k = convert<I>(n);
  V s = fma_(r * z, poly(z, -0.166666672, 0.00833332911, -0.000198392561, 2.71756448e-06), r);
  V c = fma_(z * z, poly(z, 0.0416666679, -0.00138888834, 2.47994358e-05, -2.7203302e-07), fma_(z, V(-0.5f), V(1.0f)));
  auto odd = (k & I(1)) == I(1);
  V sine = select(odd, c, s), cosine = select(odd, s, c);
  return {from_bits<V>(bits(sine) ^ ((k & I(2)) << 30)), from_bits<V>(bits(cosine) ^ (((k + I(1)) & I(2)) << 30))};
}

// x^y in double: 2^(y log2 x) with errors near 1e-11, then rounded.
template <int M>
GP_FN Vec<double, M> pow_wide(Vec<double, M> x, Vec<double, M> y) {
  using D = Vec<double, M>;
  using I = typename D::Int;
  I ix = bits(x);  // x > 0 and normal as a double
  I e = (ix - I(0x3fe6a09e667f3bcd)) >> 52;
  D m = from_bits<D>(ix - (e << 52));
  D s = (m - D(1.0)) / (m + D(1.0)), z = s * s;
  // log2(m) = 2 / ln 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| <= 0.1716
  D q = poly(z, 2.8853900817779268, 0.96179669392597560, 0.57707801635558536, 0.41219858311113240, 0.32059889797532520,
             0.26230818925253880, 0.22195308321368668, 0.19235933878519512);
  D t = y * fma_(s, q, convert<D>(e));
  t = clamp_(t, D(-1000.0), D(1000.0));
  D n = round_(t), r = (t - n) * D(0.69314718055994531);
  D p = poly(r, 1.0, 1.0, 0.5, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
             1.0 / 3628800);
  return p * from_bits<D>((convert<I>(n) + I(1023)) << 52);
}
template <int N>
GP_FN Vec<float, N> pow_(Vec<float, N> x, Vec<float, N> y) {
  using V = Vec<float, N>;
  using D = Vec<double, N / 2>;
  const V zero = V(0.0f), one = V(1.0f), inf = V(__builtin_inff());
  V ax = abs_(x);
  auto ordinary = (ax > zero) & (ax < inf);
  auto a = split(select(ordinary, ax, one)), b = split(clamp_(y, V(-3e38f), V(3e38f)));
  D p0 = pow_wide(convert<D>(a.lo), convert<D>(b.lo)), p1 = pow_wide(convert<D>(a.hi), convert<D>(b.hi));
  V r = unite<V>(convert<Vec<float, N / 2>>(p0), convert<Vec<float, N / 2>>(p1));
  V edge = select(!((ax == zero) ^ (y < zero)), inf, zero);  // 0 or infinity to a power that is not 0
  r = select(ordinary, r, edge);
  V half = y * V(0.5f);
  auto whole = trunc_(y) == y, odd = whole & (trunc_(half) != half);
  r = select(odd & (bits(x) < typename V::Int(0)), -r, r);
  r = select((x < zero) & (x > -inf) & !whole, V(__builtin_nanf("")), r);
  r = select(is_nan(x) | is_nan(y), x + y, r);
  r = select((ax == one) & (abs_(y) == inf), one, r);
  return select((y == zero) | (x == one), one, r);
}

// ---- double, and functions too rare to be worth a polynomial --------------------------------------------------------

#define GP_LIBM(name, f)                             \
  template <int N>                                   \
  GP_FN Vec<double, N> name(Vec<double, N> x) {      \
    return each(x, [](double a) { return ::f(a); }); \
  }
#define GP_LIBM_FLOAT(name, f)                      \
  template <int N>                                  \
  GP_FN Vec<float, N> name(Vec<float, N> x) {       \
    return each(x, [](float a) { return ::f(a); }); \
  }
GP_LIBM(exp_, exp)
GP_LIBM(exp2_, exp2)
GP_LIBM(expm1_, expm1)
GP_LIBM(log_, log)
GP_LIBM(log2_, log2)
GP_LIBM(log1p_, log1p)
GP_LIBM(tanh_, tanh)
GP_LIBM(erf_, erf)
GP_LIBM(sin_, sin)
GP_LIBM(cos_, cos)
GP_LIBM(tan_, tan)
GP_LIBM_FLOAT(tan_, tanf)
#undef GP_LIBM
#undef GP_LIBM_FLOAT

template <int N>
GP_FN Vec<double, N> normal_cdf_(Vec<double, N> x) {
  return each(x, [](double a) { return 0.5 * ::erfc(a * -0.70710678118654752440); });
}
template <int N>
GP_FN Vec<double, N> pow_(Vec<double, N> x, Vec<double, N> y) {
  return each(x, y, [](double a, double b) { return ::pow(a, b); });
}
template <int N>
GP_FN Vec<float, N> atan2_(Vec<float, N> y, Vec<float, N> x) {
  return each(y, x, [](float a, float b) { return ::atan2f(a, b); });
}
template <int N>
GP_FN Vec<double, N> atan2_(Vec<double, N> y, Vec<double, N> x) {
  return each(y, x, [](double a, double b) { return ::atan2(a, b); });
}
template <int N>
GP_FN Vec<float, N> fmod_(Vec<float, N> a, Vec<float, N> b) {
  return each(a, b, [](float x, float y) { return ::fmodf(x, y); });
}
template <int N>
GP_FN Vec<double, N> fmod_(Vec<double, N> a, Vec<double, N> b) {
  return each(a, b, [](double x, double y) { return ::fmod(x, y); });
}

#define GP_SCALAR_FN GP_FN
#include "scalar.h"

}  // namespace
}  // namespace gp::GP_ISA
