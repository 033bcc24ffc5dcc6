// Vec<S, N>: N lanes of S with ordinary operators, on GCC's vector extension, so that one text serves every instruction
// set and NEON; only what the extension cannot say (fma, rounding, half types, reductions of masks) is written per
// instruction set in the files included below.
//
// Everything has internal linkage and is inlined: see kernel.h. Nothing here may depend on the number of lanes in a way
// that changes a lane's bits.
#pragma once
#include "kernel.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#define GP_FN __attribute__((always_inline)) inline

namespace gp::GP_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kHasFma = true;
#else
constexpr bool kHasFma = false;
#endif

template <int Bytes>
struct IntOf;
template <>
struct IntOf<1> {
  using type = int8_t;
};
template <>
struct IntOf<2> {
  using type = int16_t;
};
template <>
struct IntOf<4> {
  using type = int32_t;
};
template <>
struct IntOf<8> {
  using type = int64_t;
};

// Integers wrap, as in PyTorch: they are added and multiplied without sign, where C++ defines it.
template <class S>
struct WrapOf {
  using type = S;
};
template <>
struct WrapOf<int32_t> {
  using type = uint32_t;
};
template <>
struct WrapOf<int64_t> {
  using type = uint64_t;
};

// All bits of a lane are set or none is.
template <class Lane, int N>
struct Mask {
  typedef Lane Raw __attribute__((vector_size(sizeof(Lane) * N)));
  Raw v;
  GP_FN friend Mask operator&(Mask a, Mask b) { return Mask{a.v & b.v}; }
  GP_FN friend Mask operator|(Mask a, Mask b) { return Mask{a.v | b.v}; }
  GP_FN friend Mask operator^(Mask a, Mask b) { return Mask{a.v ^ b.v}; }
  GP_FN friend Mask operator!(Mask a) { return Mask{~a.v}; }
};

template <class S, int N>
struct Vec {
  using Scalar = S;
  using Int = Vec<typename IntOf<sizeof(S)>::type, N>;
  using M = Mask<typename IntOf<sizeof(S)>::type, N>;
  static constexpr int lanes = N;
  typedef S Raw __attribute__((vector_size(sizeof(S) * N)));
  typedef typename WrapOf<S>::type Wrap __attribute__((vector_size(sizeof(S) * N)));
  Raw v;

  Vec() = default;
  GP_FN Vec(S s) : v(s - Raw{}) {}  // not Raw{} + s: that would turn -0 into 0
  GP_FN explicit Vec(Raw r, int) : v(r) {}
  static GP_FN Vec of(Raw r) { return Vec(r, 0); }

  GP_FN friend Vec operator+(Vec a, Vec b) { return of((Raw)((Wrap)a.v + (Wrap)b.v)); }
  GP_FN friend Vec operator-(Vec a, Vec b) { return of((Raw)((Wrap)a.v - (Wrap)b.v)); }
  GP_FN friend Vec operator*(Vec a, Vec b) { return of((Raw)((Wrap)a.v * (Wrap)b.v)); }
  GP_FN friend Vec operator/(Vec a, Vec b) { return of(a.v / b.v); }
  GP_FN friend Vec operator-(Vec a) { return of((Raw)(-(Wrap)a.v)); }
  GP_FN friend Vec operator&(Vec a, Vec b) { return of(a.v & b.v); }
  GP_FN friend Vec operator|(Vec a, Vec b) { return of(a.v | b.v); }
  GP_FN friend Vec operator^(Vec a, Vec b) { return of(a.v ^ b.v); }
  GP_FN friend Vec operator<<(Vec a, int n) { return of(a.v << n); }
  GP_FN friend Vec operator>>(Vec a, int n) { return of(a.v >> n); }
  GP_FN friend M operator<(Vec a, Vec b) { return M{a.v < b.v}; }
  GP_FN friend M operator<=(Vec a, Vec b) { return M{a.v <= b.v}; }
  GP_FN friend M operator>(Vec a, Vec b) { return M{a.v > b.v}; }
  GP_FN friend M operator>=(Vec a, Vec b) { return M{a.v >= b.v}; }
  GP_FN friend M operator==(Vec a, Vec b) { return M{a.v == b.v}; }
  GP_FN friend M operator!=(Vec a, Vec b) { return M{a.v != b.v}; }
};

using VecF = Vec<float, kLanes>;
using VecD = Vec<double, kLanes / 2>;
using VecU = Vec<uint64_t, kLanes / 2>;

// The vector type in which elements of storage type S are computed.
template <class S>
struct ComputeOf {
  using type = VecF;
};
template <>
struct ComputeOf<double> {
  using type = VecD;
};
template <class S>
using Compute = typename ComputeOf<S>::type;

template <class S, int N>
GP_FN Vec<S, N> select(typename Vec<S, N>::M m, Vec<S, N> a, Vec<S, N> b) {
  return Vec<S, N>::of(m.v ? a.v : b.v);
}

template <class S, int N>
GP_FN typename Vec<S, N>::Int bits(Vec<S, N> a) {
  using I = typename Vec<S, N>::Int;
  return I::of((typename I::Raw)a.v);
}
template <class V>
GP_FN V from_bits(typename V::Int a) {
  return V::of((typename V::Raw)a.v);
}
// Numeric conversion, lane by lane; floating to integer truncates.
template <class To, class From>
GP_FN To convert(From a) {
  return To::of(__builtin_convertvector(a.v, typename To::Raw));
}
template <class S, int N>
GP_FN Vec<S, N> mask_bits(typename Vec<S, N>::M m, Vec<S, N> a) {
  return Vec<S, N>::of((typename Vec<S, N>::Raw)(m.v & bits(a).v));
}

template <class V>
struct Halves {
  Vec<typename V::Scalar, V::lanes / 2> lo, hi;
};
template <class V>
GP_FN Halves<V> split(V a) {
  Halves<V> h;
  memcpy(&h.lo, &a.v, sizeof h.lo);
  memcpy(&h.hi, reinterpret_cast<const char *>(&a.v) + sizeof h.lo, sizeof h.hi);
  return h;
}
template <class V>
GP_FN V unite(Vec<typename V::Scalar, V::lanes / 2> lo, Vec<typename V::Scalar, V::lanes / 2> hi) {
  V a;
  memcpy(&a.v, &lo, sizeof lo);
  memcpy(reinterpret_cast<char *>(&a.v) + sizeof lo, &hi, sizeof hi);
  return a;
}

// ---- what the extension cannot say, generic form --------------------------------------------------------------------

template <class S, int N, class F>
GP_FN Vec<S, N> each(Vec<S, N> a, F f) {
  S t[N];
  memcpy(t, &a.v, sizeof t);
  for (int i = 0; i < N; i++) t[i] = f(t[i]);
  memcpy(&a.v, t, sizeof t);
  return a;
}
template <class S, int N, class F>
GP_FN Vec<S, N> each(Vec<S, N> a, Vec<S, N> b, F f) {
  S t[N], u[N];
  memcpy(t, &a.v, sizeof t);
  memcpy(u, &b.v, sizeof u);
  for (int i = 0; i < N; i++) t[i] = f(t[i], u[i]);
  memcpy(&a.v, t, sizeof t);
  return a;
}

template <class S, int N>
GP_FN Vec<S, N> fma_(Vec<S, N> a, Vec<S, N> b, Vec<S, N> c) {
#if defined(__aarch64__)
  Vec<S, N> r;
  for (int i = 0; i < N; i++)
    r.v[i] = sizeof(S) == 4 ? __builtin_fmaf(a.v[i], b.v[i], c.v[i]) : __builtin_fma(a.v[i], b.v[i], c.v[i]);
  return r;
#else
  return a * b + c;
#endif
}
template <int N>
GP_FN Vec<float, N> sqrt_(Vec<float, N> a) {
  for (int i = 0; i < N; i++) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
template <int N>
GP_FN Vec<double, N> sqrt_(Vec<double, N> a) {
  for (int i = 0; i < N; i++) a.v[i] = __builtin_sqrt(a.v[i]);
  return a;
}
#define GP_ROUNDING(name, builtin)                                       \
  template <int N>                                                       \
  GP_FN Vec<float, N> name(Vec<float, N> a) {                            \
    for (int i = 0; i < N; i++) a.v[i] = __builtin_##builtin##f(a.v[i]); \
    return a;                                                            \
  }                                                                      \
  template <int N>                                                       \
  GP_FN Vec<double, N> name(Vec<double, N> a) {                          \
    for (int i = 0; i < N; i++) a.v[i] = __builtin_##builtin(a.v[i]);    \
    return a;                                                            \
  }
GP_ROUNDING(floor_, floor)
GP_ROUNDING(ceil_, ceil)
GP_ROUNDING(trunc_, trunc)
GP_ROUNDING(round_, nearbyint)  // halves to even
#undef GP_ROUNDING

template <int N>
GP_FN Vec<uint64_t, N> mul_wide(Vec<uint64_t, N> a, Vec<uint64_t, N> b) {
  return (a & Vec<uint64_t, N>(0xffffffffu)) * (b & Vec<uint64_t, N>(0xffffffffu));
}

template <class Lane, int N>
GP_FN bool any(Mask<Lane, N> m) {
  Lane r = 0;
  for (int i = 0; i < N; i++) r |= m.v[i];
  return r != 0;
}

// ---- loads and stores -----------------------------------------------------------------------------------------------

template <class V>
GP_FN V load(const typename V::Scalar *p) {
  V a;
  memcpy(&a.v, p, sizeof a.v);
  return a;
}
template <class V>
GP_FN void store(typename V::Scalar *p, V a) {
  memcpy(p, &a.v, sizeof a.v);
}
template <class V>
GP_FN V load(const bf16 *p) {
  using H = Vec<uint16_t, V::lanes>;
  using I = typename V::Int;
  H h;
  memcpy(&h.v, p, sizeof h.v);
  return from_bits<V>(convert<I>(h) << 16);
}
template <class V>
GP_FN void store(bf16 *p, V a) {  // to nearest even; NaN stays NaN: the same bits as narrow_bf16
  using H = Vec<uint16_t, V::lanes>;
  using I = typename V::Int;
  I u = bits(a), high = u >> 16;
  I rounded = (u + I(0x7fff) + (high & I(1))) >> 16;
  H h = convert<H>(select(a == a, rounded, high | I(0x40)));
  memcpy(p, &h.v, sizeof h.v);
}
template <class V>
GP_FN V load(const f16 *p) {
#if defined(__AVX512F__)
  return V::of(_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))));
#elif defined(__AVX2__)
  return V::of(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p))));
#else
  V a;
  for (int i = 0; i < V::lanes; i++) a.v[i] = widen(p[i]);
  return a;
#endif
}
template <class V>
GP_FN void store(f16 *p, V a) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(p),
                      _mm512_maskz_cvtps_ph(0xffff, (__m512)a.v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__AVX2__)
  _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_cvtps_ph((__m256)a.v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < V::lanes; i++) p[i] = narrow_f16(a.v[i]);
#endif
}
// Bytes 0 or 1.
template <class Lane, int N>
GP_FN void store_mask(uint8_t *p, Mask<Lane, N> m) {
  auto b = convert<Vec<uint8_t, N>>(Vec<Lane, N>::of(m.v & 1));
  memcpy(p, &b.v, sizeof b.v);
}

// The first n lanes (n < lanes); the others are zero on loading. Memory behind them is not touched. With masks where
// the instruction set has them: a detour through a buffer costs more than the arithmetic of a short row.
#if defined(__AVX512F__)
template <class V, class S>
GP_FN V load_some(const S *p, int64_t n) {
  const unsigned m = (1u << n) - 1u;
  if constexpr (sizeof(V) == 64 && sizeof(S) == 4) {
    return V::of((typename V::Raw)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(m), p));
  } else if constexpr (sizeof(V) == 64 && sizeof(S) == 8) {
    return V::of((typename V::Raw)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(m), p));
  } else if constexpr (sizeof(S) == 2 && V::lanes == 16) {
    S t[16];
    const __m256i h = _mm256_maskz_loadu_epi16(static_cast<__mmask16>(m), p);
    memcpy(t, &h, sizeof t);
    return load<V>(t);
  } else {
    S t[V::lanes] = {};
    for (int64_t i = 0; i < n; i++) t[i] = p[i];
    return load<V>(t);
  }
}
template <class S, class V>
GP_FN void store_some(S *p, V a, int64_t n) {
  const unsigned m = (1u << n) - 1u;
  if constexpr (sizeof(V) == 64 && sizeof(S) == 4) {
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>(m), (__m512i)a.v);
  } else if constexpr (sizeof(V) == 64 && sizeof(S) == 8) {
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(m), (__m512i)a.v);
  } else if constexpr (sizeof(S) == 2 && V::lanes == 16) {
    S t[16];
    store(t, a);
    __m256i h;
    memcpy(&h, t, sizeof h);
    _mm256_mask_storeu_epi16(p, static_cast<__mmask16>(m), h);
  } else {
    S t[V::lanes];
    store(t, a);
    for (int64_t i = 0; i < n; i++) p[i] = t[i];
  }
}
#else
#if defined(__AVX2__)
GP_FN __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif
template <class V, class S>
GP_FN V load_some(const S *p, int64_t n) {
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32 && sizeof(S) == 4) {
    return V::of((typename V::Raw)_mm256_maskload_epi32(reinterpret_cast<const int *>(p), first_lanes(n)));
  }
#endif
  S t[V::lanes] = {};
  for (int64_t i = 0; i < n; i++) t[i] = p[i];
  return load<V>(t);
}
template <class S, class V>
GP_FN void store_some(S *p, V a, int64_t n) {
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32 && sizeof(S) == 4) {
    _mm256_maskstore_epi32(reinterpret_cast<int *>(p), first_lanes(n), (__m256i)a.v);
    return;
  }
#endif
  S t[V::lanes];
  store(t, a);
  for (int64_t i = 0; i < n; i++) p[i] = t[i];
}
#endif

}  // namespace
}  // namespace gp::GP_ISA

#if defined(__AVX512F__)
#include "avx512.h"
#elif defined(__AVX2__)
#include "avx2.h"
#elif defined(__SSE4_1__)
#include "sse4.h"
#endif
