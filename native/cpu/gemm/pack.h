// Packing: a strip of up to `width` rows of A (or columns of B) is laid out k-major, dst[k * width + i], zero beyond
// `count`, half types widened to f32. Strips are written by several threads side by side, so a store may run past the
// row it writes (the next one overwrites it) but never past the strip.
#pragma once
#include <type_traits>

#include "unrounded.h"
#include "vec.h"

namespace gp::GP_ISA {
namespace {

// D: f32 or f64; S: the operand's type.
template <class D, class S>
GP_INLINE typename Vec<D>::V load_wide(const S *p, int n) {
  if constexpr (std::is_same<D, S>::value) {
    if (n == Vec<D>::N) return load(p);
  }
  return loadn(p, n);
}

GP_INLINE int clamp_lanes(int64_t n, int lanes) { return n < 0 ? 0 : n < lanes ? static_cast<int>(n) : lanes; }

template <class D>
GP_INLINE void store_within(D *p, typename Vec<D>::V v, int64_t room) {
  if (room >= Vec<D>::N) {
    store(p, v);
  } else {
    storen(p, v, static_cast<int>(room));
  }
}

// i runs along memory: row k of the strip is src[k * k_stride + i].
template <class D, class S>
void pack_along(D *dst, int width, const S *src, int64_t k_stride, int64_t depth, int count) {
  constexpr int N = Vec<D>::N;
  const int64_t end = depth * width;
  int64_t whole = 0;  // rows whose stores may be whole vectors
  if (width <= N) {
    whole = end < N ? 0 : (end - N) / width + 1;
    for (int64_t k = 0; k < whole; k++) store(dst + k * width, load_wide<D>(src + k * k_stride, count));
  } else if (width <= 2 * N && count >= N) {
    whole = end < 2 * N ? 0 : (end - 2 * N) / width + 1;
    const int rest = count - N;
    for (int64_t k = 0; k < whole; k++) {
      typename Vec<D>::V v = {};
      if (rest > 0) v = load_wide<D>(src + k * k_stride + N, rest);
      store(dst + k * width, load_wide<D>(src + k * k_stride, N));
      store(dst + k * width + N, v);
    }
  }
  for (int64_t k = whole; k < depth; k++) {
    for (int i = 0; i < width; i += N) {
      int lanes = clamp_lanes(count - i, N);
      typename Vec<D>::V v = {};
      if (lanes > 0) v = load_wide<D>(src + k * k_stride + i, lanes);
      store_within(dst + k * width + i, v, end - (k * width + i));
    }
  }
}

// k runs along memory: src[i * i_stride + k], transposed block by block in registers.
template <class D, class S>
void pack_across(D *dst, int width, const S *src, int64_t i_stride, int64_t depth, int count) {
  constexpr int N = Vec<D>::N;
  const int64_t end = depth * width;
  for (int64_t k = 0; k < depth; k += N) {
    const int lanes = clamp_lanes(depth - k, N);
    for (int i0 = 0; i0 < width; i0 += N) {
      typename Vec<D>::V r[N];
      const S *p = src + i0 * i_stride + k;
      const int rows = clamp_lanes(count - i0, N);
#pragma GCC unroll 16
      for (int i = 0; i < N; i++) {
        r[i] = typename Vec<D>::V{};
        if (i < rows) {
          r[i] = load_wide<D>(p + i * i_stride, lanes);
          __builtin_prefetch(p + (i + width) * i_stride, 0, 2);  // the next strip's
        }
      }
      transpose_lanes<N>(r);
      // A strip of one block may spill into the next row, which is written later. The second block of a strip must
      // not: the first has already written that row.
#pragma GCC unroll 16
      for (int i = 0; i < N; i++) {
        const int64_t at = (k + i) * width + i0;
        if (i < lanes) store_within(dst + at, r[i], i0 > 0 ? width - i0 : end - at);
      }
    }
  }
}

template <class D, class S>
void pack_any(D *dst, int width, const S *src, int64_t i_stride, int64_t k_stride, int64_t depth, int count) {
  for (int64_t k = 0; k < depth; k++)
    for (int i = 0; i < width; i++)
      dst[k * width + i] = i < count ? static_cast<D>(widen(src[i * i_stride + k * k_stride])) : D{0};
}

template <class D, class S>
GP_INLINE void pack_strip(D *dst, int width, const S *src, int64_t i_stride, int64_t k_stride, int64_t depth,
                          int count) {
  if (i_stride == 1 || count == 1) {
    pack_along<D>(dst, width, src, k_stride, depth, count);
  } else if (k_stride == 1) {
    pack_across<D>(dst, width, src, i_stride, depth, count);
  } else {
    pack_any<D>(dst, width, src, i_stride, k_stride, depth, count);
  }
}

}  // namespace
}  // namespace gp::GP_ISA
