// An f32 operand of a product of half types: its elements count as their roundings, so nobody has to cast it first.
#pragma once
#include "vec.h"

namespace gp::GP_ISA {
namespace {

template <class T>
struct Unrounded {
  float value;
  friend GP_INLINE float widen(Unrounded x) { return widen(narrow<T>(x.value)); }
};

typedef uint32_t Bits __attribute__((vector_size(kVectorBytes)));

// The upper half of every lane is v rounded to bf16 (to nearest even; NaN stays NaN), the lower half is left over.
GP_INLINE Bits rounded_bf16(VF v) {
#if defined(__AVX512F__)
  const __m512i u = (__m512i)v, lsb = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), lsb);
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
  return (Bits)_mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
#else
  const Bits u = (Bits)v, r = u + 0x7fff + (u >> 16 & 1);
  return v == v ? r : u | 0x400000;
#endif
}

GP_INLINE VF loadn(const Unrounded<bf16> *p, int n) {
  return (VF)(rounded_bf16(loadn(reinterpret_cast<const float *>(p), n)) & 0xffff0000u);
}
#if defined(__AVX512F__)
GP_INLINE VF loadn(const Unrounded<f16> *p, int n) {
  const VF v = loadn(reinterpret_cast<const float *>(p), n);
  return (VF)_mm512_cvtph_ps(_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
GP_INLINE VF loadn(const Unrounded<f16> *p, int n) { return widened<VF>(p, n); }
#endif

}  // namespace
}  // namespace gp::GP_ISA
