// Packing: a strip of up to `width` rows of A (or columns of B) is laid out k-major, dst[k * width + i], zero beyond
// `count`, half types widened to f32. Strips are written by several threads side by side, so a store may run past the
// row it writes (the next one overwrites it) but never past the strip.
#pragma once
#include "vec.h"

namespace gp::GP_ISA {
namespace {

// D: f32 or f64; S: the operand's type.
template <class D, class S>
GP_INLINE typename Vec<D>::V load_wide(const S *p, int n) {
  if constexpr (sizeof(D) == sizeof(S)) {
    if (n == Vec<D>::N) return load(reinterpret_cast<const D *>(p));
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

// ---- pairs of bf16 along k for vdpbf16ps: dst[(k / 2) * width + i] = (k, k + 1); an odd depth is padded with zero
// -------

#if defined(__AVX512F__)
GP_INLINE uint32_t pair(uint32_t low, uint32_t high) { return low | (high << 16); }

// Positions that interleave 16 lanes of `low` and of `high`, from lane 0 or 16 on.
alignas(64) const uint16_t kInterleave[2][32] = {{0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                  8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
                                                 {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
                                                  24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};

// width <= 32
GP_INLINE void pack_pairs_along(uint32_t *dst, int width, const uint16_t *src, int64_t k_stride, int64_t depth,
                                int count) {
  const int64_t pairs = (depth + 1) / 2, end = pairs * width;
  const __mmask32 m = count >= 32 ? 0xffffffffu : (1u << count) - 1u;
  const __m512i first = _mm512_load_si512(kInterleave[0]), second = _mm512_load_si512(kInterleave[1]);
  float *to = reinterpret_cast<float *>(dst);
  for (int64_t p = 0; p < pairs; p++) {
    const uint16_t *at = src + 2 * p * k_stride;
    const __m512i low = _mm512_maskz_loadu_epi16(m, at);
    const __m512i high = _mm512_maskz_loadu_epi16(2 * p + 1 < depth ? m : 0, at + k_stride);
    const VF v = (VF)_mm512_permutex2var_epi16(low, first, high);
    store_within(to + p * width, v, end - p * width);
    if (width > 16) {
      const VF w = (VF)_mm512_permutex2var_epi16(low, second, high);
      store_within(to + p * width + 16, w, end - (p * width + 16));
    }
  }
}

GP_INLINE void pack_pairs_across(uint32_t *dst, int width, const uint16_t *src, int64_t i_stride, int64_t depth,
                                 int count) {
  const int64_t pairs = (depth + 1) / 2, end = pairs * width;
  for (int64_t p = 0; p < pairs; p += 16) {
    const int halves = clamp_lanes(depth - 2 * p, 32);
    const __mmask32 m = halves == 32 ? 0xffffffffu : (1u << halves) - 1u;
    for (int i0 = 0; i0 < width; i0 += 16) {
      VF r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) {
        r[i] = VF{};
        if (i < count - i0) {
          const uint16_t *at = src + (i0 + i) * i_stride + 2 * p;
          r[i] = (VF)_mm512_maskz_loadu_epi16(m, at);
          __builtin_prefetch(at + width * i_stride, 0, 2);  // the next strip's
        }
      }
      transpose_lanes<16>(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) {
        int64_t at = (p + i) * width + i0;
        if (p + i < pairs) store_within(reinterpret_cast<float *>(dst) + at, r[i], end - at);
      }
    }
  }
}

GP_INLINE void pack_pairs(uint32_t *dst, int width, const bf16 *from, int64_t i_stride, int64_t k_stride, int64_t depth,
                          int count) {
  const uint16_t *src = &from->bits;
  if (i_stride == 1 || count == 1) return pack_pairs_along(dst, width, src, k_stride, depth, count);
  if (k_stride == 1) return pack_pairs_across(dst, width, src, i_stride, depth, count);
  for (int64_t k = 0; k < depth; k += 2) {
    for (int i = 0; i < width; i++) {
      const uint16_t *p = src + i * i_stride + k * k_stride;
      dst[(k / 2) * width + i] = i < count ? pair(p[0], k + 1 < depth ? p[k_stride] : 0u) : 0u;
    }
  }
}
#endif

}  // namespace
}  // namespace gp::GP_ISA
