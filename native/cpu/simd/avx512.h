// 512-bit forms of what the vector extension cannot say. The maskz forms with a full mask are for the compiler: gcc 12
// warns of an uninitialised value inside the plain ones (its bug 105593); the code is the same.
#pragma once

namespace gp::GP_ISA {
namespace {

GP_FN VecF fma_(VecF a, VecF b, VecF c) { return VecF::of(_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)); }
GP_FN VecD fma_(VecD a, VecD b, VecD c) { return VecD::of(_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v)); }
GP_FN VecF sqrt_(VecF a) { return VecF::of(_mm512_maskz_sqrt_ps(0xffff, (__m512)a.v)); }
GP_FN VecD sqrt_(VecD a) { return VecD::of(_mm512_maskz_sqrt_pd(0xff, (__m512d)a.v)); }

// a * 2^n with one rounding; n is integral.
GP_FN VecF scale2(VecF a, VecF n) { return VecF::of(_mm512_maskz_scalef_ps(0xffff, (__m512)a.v, (__m512)n.v)); }

// max and min give their second operand when one is a NaN: with the bound first, a NaN passes through.
GP_FN VecF clamp_(VecF x, VecF lo, VecF hi) {
  return VecF::of(_mm512_maskz_min_ps(0xffff, (__m512)hi.v, _mm512_maskz_max_ps(0xffff, (__m512)lo.v, (__m512)x.v)));
}
GP_FN VecD clamp_(VecD x, VecD lo, VecD hi) {
  return VecD::of(_mm512_maskz_min_pd(0xff, (__m512d)hi.v, _mm512_maskz_max_pd(0xff, (__m512d)lo.v, (__m512d)x.v)));
}
GP_FN VecF max_nan(VecF a, VecF b) {
  return select(a != a, a, VecF::of(_mm512_maskz_max_ps(0xffff, (__m512)a.v, (__m512)b.v)));
}
GP_FN VecD max_nan(VecD a, VecD b) {
  return select(a != a, a, VecD::of(_mm512_maskz_max_pd(0xff, (__m512d)a.v, (__m512d)b.v)));
}
GP_FN VecF min_nan(VecF a, VecF b) {
  return select(a != a, a, VecF::of(_mm512_maskz_min_ps(0xffff, (__m512)a.v, (__m512)b.v)));
}
GP_FN VecD min_nan(VecD a, VecD b) {
  return select(a != a, a, VecD::of(_mm512_maskz_min_pd(0xff, (__m512d)a.v, (__m512d)b.v)));
}

// The 64-bit products of the low halves.
GP_FN VecU mul_wide(VecU a, VecU b) {
  return VecU::of((VecU::Raw)_mm512_maskz_mul_epu32(0xff, (__m512i)a.v, (__m512i)b.v));
}

#define GP_ROUNDING(name, mode)                                                                             \
  GP_FN VecF name(VecF a) { return VecF::of(_mm512_maskz_roundscale_ps(0xffff, (__m512)a.v, (mode) | 8)); } \
  GP_FN VecD name(VecD a) { return VecD::of(_mm512_maskz_roundscale_pd(0xff, (__m512d)a.v, (mode) | 8)); }
GP_ROUNDING(round_, 0)
GP_ROUNDING(floor_, 1)
GP_ROUNDING(ceil_, 2)
GP_ROUNDING(trunc_, 3)
#undef GP_ROUNDING

GP_FN bool any(VecF::M m) { return _mm512_test_epi32_mask((__m512i)m.v, (__m512i)m.v) != 0; }
GP_FN bool any(VecD::M m) { return _mm512_test_epi64_mask((__m512i)m.v, (__m512i)m.v) != 0; }

}  // namespace
}  // namespace gp::GP_ISA
