// Pairs of bf16 along k for vdpbf16ps: dst[(k / 2) * width + i] = (k, k + 1); an odd depth is padded with zero.
// Operands are bf16, or f32 that is rounded on the way.
#pragma once
#include "pack.h"

#if defined(__AVX512F__)
namespace gp::GP_ISA {
namespace {

GP_INLINE uint32_t pair(uint32_t low, uint32_t high) { return low | (high << 16); }
GP_INLINE uint32_t half_bits(bf16 x) { return x.bits; }
GP_INLINE uint32_t half_bits(Unrounded<bf16> x) { return narrow<bf16>(x.value).bits; }

// Two vectors rounded, `low` first. The instruction takes subnormal numbers for zeros, of which the largest round to a
// normal one; in assembly because an intrinsic could not be inlined where the compiler does not assume it.
GP_INLINE __m512i rounded_halves(VF low, VF high) {
  constexpr int kSubnormal = 0x20;
  const __mmask16 subnormal =
      _mm512_fpclass_ps_mask((__m512)low, kSubnormal) | _mm512_fpclass_ps_mask((__m512)high, kSubnormal);
  if (__builtin_expect(subnormal != 0, 0)) {
    const __m256i first = _mm512_cvtepi32_epi16(_mm512_srli_epi32((__m512i)rounded_bf16(low), 16));
    const __m256i second = _mm512_cvtepi32_epi16(_mm512_srli_epi32((__m512i)rounded_bf16(high), 16));
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }
  __m512i halves;
  asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(halves) : "v"(high), "v"(low));
  return halves;
}

// Positions that interleave 16 lanes of `low` and of `high`, from lane 0 or 16 on.
alignas(64) const uint16_t kInterleave[2][32] = {{0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                  8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
                                                 {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
                                                  24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};

// The same within one vector.
alignas(64) const uint16_t kBeside[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

// Up to 32 elements that stand side by side, as 16 words.
GP_INLINE __m512i load_halves(const bf16 *p, int n) {
  return _mm512_maskz_loadu_epi16(n >= 32 ? 0xffffffffu : (1u << n) - 1u, p);
}
GP_INLINE __m512i load_halves(const Unrounded<bf16> *p, int n) {
  const uint32_t m = n >= 32 ? 0xffffffffu : (1u << n) - 1u;
  const VF low = (VF)_mm512_maskz_loadu_ps(static_cast<__mmask16>(m), p);
  const VF high = (VF)_mm512_maskz_loadu_ps(static_cast<__mmask16>(m >> 16), p + 16);
  return rounded_halves(low, high);
}

// 32 columns (the first n exist) of a row and of the next one, interleaved.
struct TwoVectors {
  VF first, second;
};
GP_INLINE TwoVectors interleaved(const bf16 *p, int64_t next, int n, bool both) {
  const __m512i low = load_halves(p, n), high = both ? load_halves(p + next, n) : _mm512_setzero_si512();
  return {(VF)_mm512_permutex2var_epi16(low, _mm512_load_si512(kInterleave[0]), high),
          (VF)_mm512_permutex2var_epi16(low, _mm512_load_si512(kInterleave[1]), high)};
}
GP_INLINE TwoVectors interleaved(const Unrounded<bf16> *p, int64_t next, int n, bool both) {
  const uint32_t m = n >= 32 ? 0xffffffffu : (1u << n) - 1u;
  auto words = [&](const Unrounded<bf16> *at, uint32_t lanes) __attribute__((always_inline)) {
    const __mmask16 k = static_cast<__mmask16>(lanes);
    const VF low = (VF)_mm512_maskz_loadu_ps(k, at), high = (VF)_mm512_maskz_loadu_ps(both ? k : 0, at + next);
    return (VF)_mm512_permutexvar_epi16(_mm512_load_si512(kBeside), rounded_halves(low, high));
  };
  return {words(p, m), n > 16 ? words(p + 16, m >> 16) : VF{}};
}

// width <= 32
template <class S>
GP_INLINE void pack_pairs_along(uint32_t *dst, int width, const S *src, int64_t k_stride, int64_t depth, int count) {
  const int64_t pairs = (depth + 1) / 2, end = pairs * width;
  float *to = reinterpret_cast<float *>(dst);
  for (int64_t p = 0; p < pairs; p++) {
    const TwoVectors v = interleaved(src + 2 * p * k_stride, k_stride, count, 2 * p + 1 < depth);
    store_within(to + p * width, v.first, end - p * width);
    if (width > 16) store_within(to + p * width + 16, v.second, end - (p * width + 16));
  }
}

template <class S>
GP_INLINE void pack_pairs_across(uint32_t *dst, int width, const S *src, int64_t i_stride, int64_t depth, int count) {
  const int64_t pairs = (depth + 1) / 2, end = pairs * width;
  for (int64_t p = 0; p < pairs; p += 16) {
    const int halves = clamp_lanes(depth - 2 * p, 32);
    for (int i0 = 0; i0 < width; i0 += 16) {
      VF r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) {
        r[i] = VF{};
        if (i < count - i0) {
          const S *at = src + (i0 + i) * i_stride + 2 * p;
          r[i] = (VF)load_halves(at, halves);
          __builtin_prefetch(at + width * i_stride, 0, 2);  // the next strip's
          if constexpr (sizeof(S) == 4) __builtin_prefetch(at + width * i_stride + 16, 0, 2);
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

template <class S>
void pack_pairs(uint32_t *dst, int width, const S *src, int64_t i_stride, int64_t k_stride, int64_t depth, int count) {
  if (i_stride == 1 || count == 1) return pack_pairs_along(dst, width, src, k_stride, depth, count);
  if (k_stride == 1) return pack_pairs_across(dst, width, src, i_stride, depth, count);
  for (int64_t k = 0; k < depth; k += 2) {
    for (int i = 0; i < width; i++) {
      const S *p = src + i * i_stride + k * k_stride;
      const uint32_t high = i < count && k + 1 < depth ? half_bits(p[k_stride]) : 0u;
      dst[(k / 2) * width + i] = i < count ? pair(half_bits(p[0]), high) : 0u;
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
#endif
