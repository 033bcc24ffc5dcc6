// bf16 products by vdpbf16ps: a pair of products is added to the f32 sum per step (denormals are flushed, the pair is
// rounded once; README.md, "Bits"). Compiled for every AVX-512 machine, called on those that have AVX512_BF16.
#include "micro.h"

#if defined(__AVX512F__)
#include <cpuid.h>

namespace gp::GP_ISA {
namespace {

// A pair where it stands: rows of odd length begin between words.
typedef uint32_t Word __attribute__((aligned(2), may_alias));

template <int MR, int NV, int R>
__attribute__((noinline, target("avx512bf16"))) void micro_bf16(const MicroJob<float, uint32_t> *job) {
  constexpr int N = 16;
  constexpr bool kRows = (R & kRowsOfA) != 0;
  constexpr int kBases = kRows ? (MR + 2) / 3 : 1;
  __m512 acc[MR][NV];
  const uint32_t *b = job->b;
  const int64_t a_step = job->a_step * 2;  // rows: counted in bf16
  // Strips of a panel (rows of A) are as wide as two vectors, the last one too.
  const int64_t b_row = kRows && NV < kTileVectors ? job->b_row : NV * N;
  const char *base[kBases];  // as in micro.h
#pragma GCC unroll 4
  for (int i = 0; i < kBases; i++) {
    base[i] = reinterpret_cast<const char *>(job->a) + 3 * i * a_step;
    asm("" : "+r"(base[i]));
  }
  float *out = job->cout;
  const int64_t out_row = job->cout_row;
  const __mmask16 last = static_cast<__mmask16>((1u << job->last) - 1u);
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) touch_run(job->touch, i * job->touch_row, job->touch_last);
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      acc[i][j] = _mm512_setzero_ps();
      if (job->cin != nullptr)
        acc[i][j] = _mm512_maskz_loadu_ps(j == NV - 1 ? last : 0xffff, job->cin + i * job->cin_row + j * N);
    }
  }
#define GP_STEP(ahead)                                                                                    \
  {                                                                                                       \
    __m512bh bv[NV];                                                                                      \
    _Pragma("GCC unroll 4") for (int j = 0; j < NV; j++) bv[j] = (__m512bh)_mm512_loadu_si512(b + j * N); \
    _Pragma("GCC unroll 16") for (int i = 0; i < MR; i++) {                                               \
      const char *p = kRows ? base[i / 3] + i % 3 * a_step : base[0] + i * 4;                             \
      __m512i av;                                                                                         \
      asm("vpbroadcastd %1, %0" : "=v"(av) : "m"(reinterpret_cast<const Word *>(p)[kRows ? ahead : 0]));  \
      _Pragma("GCC unroll 4") for (int j = 0; j < NV; j++) acc[i][j] =                                    \
          _mm512_dpbf16_ps(acc[i][j], (__m512bh)av, bv[j]);                                               \
    }                                                                                                     \
    if (!kRows) base[0] += MR * 4;                                                                        \
    b += b_row;                                                                                           \
  }
#define GP_ADVANCE(steps)                                      \
  if (kRows) {                                                 \
    _Pragma("GCC unroll 4") for (int i = 0; i < kBases; i++) { \
      base[i] += (steps)*4;                                    \
      asm("" : "+r"(base[i]));                                 \
    }                                                          \
  }
  const void *const *fetch = job->fetch;
  int64_t k = job->k;
  for (; k >= kFetchSteps; k -= kFetchSteps) {
    __builtin_prefetch(*fetch++);
#pragma GCC unroll 4
    for (int s = 0; s < kFetchSteps; s++) GP_STEP(s)
    GP_ADVANCE(kFetchSteps)
  }
  for (; k > 0; k--) {
    GP_STEP(0)
    GP_ADVANCE(1)
  }
#undef GP_ADVANCE
#undef GP_STEP
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++)
      _mm512_mask_storeu_ps(out + i * out_row + j * N, j == NV - 1 ? last : 0xffff, acc[i][j]);
  }
}

}  // namespace

const MicroFn<float, uint32_t> kMicroBf16[2][3][kTileRows + 1] = {
    {{}, GP_MICRO_ROWS(micro_bf16, 1, kColumnsOfA), GP_MICRO_ROWS(micro_bf16, 2, kColumnsOfA)},
    {{}, GP_MICRO_ROWS(micro_bf16, 1, kRowsOfA), GP_MICRO_ROWS(micro_bf16, 2, kRowsOfA)},
};

// CPUID leaves the virtual machine, so it is asked once.
bool has_avx512_bf16() {
  static int known = 0;  // 1 no, 2 yes
  int state = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (state == 0) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    state = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1u) != 0 ? 2 : 1;
    __atomic_store_n(&known, state, __ATOMIC_RELAXED);
  }
  return state == 2;
}

}  // namespace gp::GP_ISA

#endif
