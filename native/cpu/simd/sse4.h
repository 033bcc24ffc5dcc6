// 128-bit forms of what the vector extension cannot say. There is no fused multiply-add here: fma_ rounds twice.
#pragma once

namespace gp::GP_ISA {
namespace {

GP_FN VecF sqrt_(VecF a) { return VecF::of(_mm_sqrt_ps((__m128)a.v)); }
GP_FN VecD sqrt_(VecD a) { return VecD::of(_mm_sqrt_pd((__m128d)a.v)); }

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
