// bf16 products by vdpbf16ps: a pair of products is added to the f32 sum per step (denormals are flushed, the pair is
// rounded once; README.md, "Bits"). Compiled for every AVX-512 machine, called on those that have AVX512_BF16.
#include "micro.h"

#if defined(__AVX512F__)

namespace gp::GP_ISA {
namespace {

template <int MR, int NV>
__attribute__((noinline, target("avx512bf16"))) void micro_bf16(const MicroJob<float, uint32_t> *job) {
  constexpr int N = 16;
  __m512 acc[MR][NV];
  const uint32_t *a = job->a, *b = job->b;
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
#define GP_STEP                                                                                           \
  {                                                                                                       \
    __m512bh bv[NV];                                                                                      \
    _Pragma("GCC unroll 4") for (int j = 0; j < NV; j++) bv[j] = (__m512bh)_mm512_loadu_si512(b + j * N); \
    _Pragma("GCC unroll 16") for (int i = 0; i < MR; i++) {                                               \
      __m512i av;                                                                                         \
      asm("vpbroadcastd %1, %0" : "=v"(av) : "m"(a[i]));                                                  \
      _Pragma("GCC unroll 4") for (int j = 0; j < NV; j++) acc[i][j] =                                    \
          _mm512_dpbf16_ps(acc[i][j], (__m512bh)av, bv[j]);                                               \
    }                                                                                                     \
    a += MR;                                                                                              \
    b += NV * N;                                                                                          \
  }
  const void *const *fetch = job->fetch;
  int64_t k = job->k;
  for (; k >= kFetchSteps; k -= kFetchSteps) {
    __builtin_prefetch(*fetch++);
#pragma GCC unroll 4
    for (int s = 0; s < kFetchSteps; s++) GP_STEP
  }
  for (; k > 0; k--) GP_STEP
#undef GP_STEP
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++)
      _mm512_mask_storeu_ps(out + i * out_row + j * N, j == NV - 1 ? last : 0xffff, acc[i][j]);
  }
}

}  // namespace

const MicroFn<float, uint32_t> kMicroBf16[3][kTileRows + 1] = {
    {}, GP_MICRO_ROWS(micro_bf16, 1), GP_MICRO_ROWS(micro_bf16, 2)};

}  // namespace gp::GP_ISA

#endif
