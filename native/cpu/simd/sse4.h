// 128-bit forms of what the vector extension cannot say. There is no fused multiply-add here: fma_ rounds twice.
#pragma once

namespace gp::GP_ISA {
namespace {

GP_FN VecF sqrt_(VecF a) { return VecF::of(_mm_sqrt_ps((__m128)a.v)); }
GP_FN VecD sqrt_(VecD a) { return VecD::of(_mm_sqrt_pd((__m128d)a.v)); }

// max and min give their second operand when one is a NaN: with the bound first, a NaN passes through.
GP_FN VecF clamp_(VecF x, VecF lo, VecF hi) {
  return VecF::of(_mm_min_ps((__m128)hi.v, _mm_max_ps((__m128)lo.v, (__m128)x.v)));
}
GP_FN VecD clamp_(VecD x, VecD lo, VecD hi) {
  return VecD::of(_mm_min_pd((__m128d)hi.v, _mm_max_pd((__m128d)lo.v, (__m128d)x.v)));
}
GP_FN VecF max_nan(VecF a, VecF b) { return select(a != a, a, VecF::of(_mm_max_ps((__m128)a.v, (__m128)b.v))); }
GP_FN VecD max_nan(VecD a, VecD b) { return select(a != a, a, VecD::of(_mm_max_pd((__m128d)a.v, (__m128d)b.v))); }
GP_FN VecF min_nan(VecF a, VecF b) { return select(a != a, a, VecF::of(_mm_min_ps((__m128)a.v, (__m128)b.v))); }
GP_FN VecD min_nan(VecD a, VecD b) { return select(a != a, a, VecD::of(_mm_min_pd((__m128d)a.v, (__m128d)b.v))); }

// The 64-bit products of the low halves.
GP_FN VecU mul_wide(VecU a, VecU b) { return VecU::of((VecU::Raw)_mm_mul_epu32((__m128i)a.v, (__m128i)b.v)); }

#define GP_ROUNDING(name, mode)                                                       \
  GP_FN VecF name(VecF a) { return VecF::of(_mm_round_ps((__m128)a.v, (mode) | 8)); } \
  GP_FN VecD name(VecD a) { return VecD::of(_mm_round_pd((__m128d)a.v, (mode) | 8)); }
GP_ROUNDING(round_, 0)
GP_ROUNDING(floor_, 1)
GP_ROUNDING(ceil_, 2)
GP_ROUNDING(trunc_, 3)
#undef GP_ROUNDING

GP_FN bool any(VecF::M m) { return _mm_movemask_ps((__m128)m.v) != 0; }
GP_FN bool any(VecD::M m) { return _mm_movemask_pd((__m128d)m.v) != 0; }

}  // namespace
}  // namespace gp::GP_ISA
