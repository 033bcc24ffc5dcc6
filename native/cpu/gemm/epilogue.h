// What happens between a finished product and memory: scale, bias, activation, residual, accumulation, rounding.
// Each step is one rounded operation per element, in this order, so a fused product equals the separate ops bit for
// bit.
#pragma once
#include "activation.h"
#include "gemm.h"
#include "pack.h"

namespace gp::GP_ISA {
namespace {

// The operands of one batch, at their element (0, 0). T: storage type, A: accumulator type.
template <class T, class A>
struct Finish {
  A alpha;
  int32_t activation;
  bool accumulate, wide_c;
  const T *bias, *residual, *addend;
  T *pre;
  void *c;
  int64_t bias_row, bias_col, residual_row, residual_col, pre_row, pre_col, c_row, c_col, addend_row;
};

template <class T>
GP_INLINE void store_narrow(T *p, typename Vec<typename Wide<T>::type>::V v, int n) {
  if constexpr (sizeof(T) == sizeof(typename Wide<T>::type)) {
    storen(p, v, n);
  } else {
    for (int i = 0; i < n; i++) p[i] = narrow<T>(v[i]);
  }
}
#if defined(__AVX512F__)
template <>
__attribute__((always_inline)) inline void store_narrow<bf16>(bf16 *p, VF v, int n) {
  _mm512_mask_cvtepi32_storeu_epi16(p, mask16(n), _mm512_srli_epi32((__m512i)rounded_bf16(v), 16));
}
template <>
__attribute__((always_inline)) inline void store_narrow<f16>(f16 *p, VF v, int n) {
  __m256i h = _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm512_mask_storeu_epi16(p, mask16(n), _mm512_castsi256_si512(h));
}
#endif

// Half results kept in f32 (wide_c): rounded to T, then widened.
template <class T>
GP_INLINE void store_rounded(float *p, VF v, int n) {
  for (int i = 0; i < n; i++) p[i] = widen(narrow<T>(v[i]));
}
#if defined(__AVX512F__)
template <>
__attribute__((always_inline)) inline void store_rounded<bf16>(float *p, VF v, int n) {
  _mm512_mask_storeu_ps(p, mask16(n), (__m512)(rounded_bf16(v) & 0xffff0000u));
}
template <>
__attribute__((always_inline)) inline void store_rounded<f16>(float *p, VF v, int n) {
  __m256i h = _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm512_mask_storeu_ps(p, mask16(n), _mm512_cvtph_ps(h));
}
#endif

// How C stands in memory: T, or Rounded<T> (wide_c).
template <class T>
struct Rounded {};
template <class To>
struct Stored {
  using Element = To;
  template <class V>
  static GP_INLINE void put(To *p, V v, int n) {
    store_narrow<To>(p, v, n);
  }
  template <class A>
  static GP_INLINE To one(A v) {
    return narrow<To>(v);
  }
};
template <class T>
struct Stored<Rounded<T>> {
  using Element = float;
  static GP_INLINE void put(float *p, VF v, int n) { store_rounded<T>(p, v, n); }
  static GP_INLINE float one(float v) { return widen(narrow<T>(v)); }
};

// Columns j .. j + n of a row whose columns are `stride` apart (0: one value for all).
template <class A, class T>
GP_INLINE typename Vec<A>::V load_columns(const T *p, int64_t stride, int n) {
  if (stride == 1) return load_wide<A>(p, n);
  if (stride == 0) return widen(*p) - typename Vec<A>::V{};  // not V{} + x: that would turn -0 into 0
  typename Vec<A>::V v = {};
  for (int i = 0; i < n; i++) v[i] = widen(p[i * stride]);
  return v;
}
template <class To, class V>
GP_INLINE void store_columns(typename Stored<To>::Element *p, int64_t stride, V v, int n) {
  if (stride == 1) return Stored<To>::put(p, v, n);
  for (int i = 0; i < n; i++) p[i * stride] = Stored<To>::one(v[i]);
}

// The finished value joins what memory holds.
template <class To, class T, class A, class V>
GP_INLINE void put(const Finish<T, A> &f, V v, int64_t i, int64_t j, int n) {
  using Element = typename Stored<To>::Element;
  Element *c = static_cast<Element *>(f.c) + i * f.c_row + j * f.c_col;
  if (f.accumulate) v = load_columns<A>(static_cast<const Element *>(c), f.c_col, n) + v;
  store_columns<To>(c, f.c_col, v, n);
}

// The common case, at most scale, bias and accumulation, without a question per vector.
template <class To, class T, class A, bool Accumulate>
__attribute__((noinline)) void finish_plain(const Finish<T, A> &f, const A *tile, int64_t ld, int rows, int cols,
                                            int64_t i0, int64_t j0) {
  using V = typename Vec<A>::V;
  using Element = typename Stored<To>::Element;
  constexpr int N = Vec<A>::N;
  for (int col = 0; col < cols; col += N) {
    const int n = clamp_lanes(cols - col, N);
    const T *bias = f.bias == nullptr ? nullptr : f.bias + i0 * f.bias_row + (j0 + col) * f.bias_col;
    Element *c = static_cast<Element *>(f.c) + i0 * f.c_row + j0 + col;
    V b = bias == nullptr || f.bias_row != 0 ? V{} : load_columns<A>(bias, f.bias_col, n);
    for (int r = 0; r < rows; r++, c += f.c_row) {
      V v = load(tile + r * ld + col) * f.alpha;
      if (bias != nullptr) {
        if (f.bias_row != 0) b = load_columns<A>(bias + r * f.bias_row, f.bias_col, n);
        v += b;
      }
      if (Accumulate) v = load_wide<A>(static_cast<const Element *>(c), n) + v;
      Stored<To>::put(c, v, n);
    }
  }
}

// tile: rows x cols finished sums, rows `ld` apart and readable up to whole vectors; its first element is C's (i0, j0).
// The tile is scratch: with an activation it passes through memory between two walks, so that the activation runs over
// whole rows.
template <class T, class A>
void finish_tile(const Finish<T, A> &f, A *tile, int64_t ld, int rows, int cols, int64_t i0, int64_t j0) {
  constexpr int N = Vec<A>::N;
  if (f.activation == kNoActivation && f.pre == nullptr && f.residual == nullptr && f.c_col == 1) {
    auto plain = [&](auto to) __attribute__((always_inline)) {
      using To = decltype(to);
      return f.accumulate ? finish_plain<To, T, A, true>(f, tile, ld, rows, cols, i0, j0)
                          : finish_plain<To, T, A, false>(f, tile, ld, rows, cols, i0, j0);
    };
    if constexpr (sizeof(T) < sizeof(A)) {
      if (f.wide_c) return plain(Rounded<T>{});
    }
    return plain(T{});
  }
  const bool active = f.activation != kNoActivation;
  auto walk = [&](auto body) __attribute__((always_inline)) {
    for (int r = 0; r < rows; r++)
      for (int col = 0; col < cols; col += N) body(tile + r * ld + col, i0 + r, j0 + col, clamp_lanes(cols - col, N));
  };
  auto before = [&](A * p, int64_t i, int64_t j, int n) __attribute__((always_inline)) {
    typename Vec<A>::V v = load(p) * f.alpha;
    if (f.bias != nullptr) v += load_columns<A>(f.bias + i * f.bias_row + j * f.bias_col, f.bias_col, n);
    if (f.pre != nullptr) store_columns<T>(f.pre + i * f.pre_row + j * f.pre_col, f.pre_col, v, n);
    return v;
  };
  auto after = [&](typename Vec<A>::V v, int64_t i, int64_t j, int n) __attribute__((always_inline)) {
    if (f.residual != nullptr)
      v += load_columns<A>(f.residual + i * f.residual_row + j * f.residual_col, f.residual_col, n);
    if constexpr (sizeof(T) < sizeof(A)) {
      if (f.wide_c) return put<Rounded<T>>(f, v, i, j, n);
    }
    put<T>(f, v, i, j, n);
  };
  if (!active) return walk([&](A *p, int64_t i, int64_t j, int n) { after(before(p, i, j, n), i, j, n); });
  walk([&](A *p, int64_t i, int64_t j, int n) { store(p, before(p, i, j, n)); });
  for (int r = 0; r < rows; r++) activate(f.activation, tile + r * ld, (cols + N - 1) / N * N);
  walk([&](A *p, int64_t i, int64_t j, int n) { after(load(p), i, j, n); });
}

}  // namespace
}  // namespace gp::GP_ISA
