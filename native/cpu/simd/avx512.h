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
