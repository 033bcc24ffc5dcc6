// What the processor does at most, for benchmarks alone, every thread at once: multiply-adds in registers, and reads of
// memory. No op is declared for these rows. y, [threads or more] f64: the floating-point operations that each thread
// did.
#include "../gemm/plan.h"

namespace gp::GP_ISA {
namespace {

enum Kind { kPeakF32, kPeakF64, kPeakBf16 };

// Twelve independent chains: more than latency times throughput of any processor we know (pairs of bf16: 24).
template <class T>
double chains(int64_t rounds) {
  using V = typename Vec<T>::V;
  V acc[12], x = V{} + T{0.5}, y = V{} + T{1};
#pragma GCC unroll 12
  for (int i = 0; i < 12; i++) acc[i] = x + static_cast<T>(i);  // alike, they would become one chain
  for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) acc[i] = fma(acc[i], x, y);
  }
  V sum = acc[0];
#pragma GCC unroll 12
  for (int i = 1; i < 12; i++) sum += acc[i];
  // Always true; it keeps the chains alive.
  return sum[0] > T{0} ? 2.0 * 12 * Vec<T>::N * static_cast<double>(rounds) : 0.0;
}

#if defined(__AVX512F__)
__attribute__((target("avx512bf16"))) double pair_chains(int64_t rounds) {
  __m512 acc[24];
  const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
#pragma GCC unroll 24
  for (int i = 0; i < 24; i++) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++) acc[i] = _mm512_dpbf16_ps(acc[i], one, one);
  }
  __m512 sum = acc[0];
#pragma GCC unroll 24
  for (int i = 1; i < 24; i++) sum = _mm512_add_ps(sum, acc[i]);
  return ((VF)sum)[0] > 0.0f ? 2.0 * 24 * 32 * static_cast<double>(rounds) : 0.0;
}
#endif

double work(int kind, int64_t rounds) {
  if (kind == kPeakF64) return chains<double>(rounds);
#if defined(__AVX512F__)
  if (kind == kPeakBf16 && has_avx512_bf16()) return pair_chains(rounds);
#endif
  return chains<float>(rounds);  // without vdpbf16ps bf16 is multiplied in f32
}

int32_t multiply_add_peak(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &y = out(call, 0);
  Attrs attrs(call);
  const int kind = attrs.choice();
  const int64_t rounds = attrs.integer();
  double *done = static_cast<double *>(y.data);
  for (int64_t i = 0; i < numel(y); i++) done[i] = 0;
  const int64_t threads = min64(numel(y), thread_count());
  tiles(threads, [&](int64_t tile, int) { done[tile] = work(kind, rounds); });
  return GP_OK;
}

// The sum of x as 64-bit words: runs of 1 MiB, as any kernel with large operands claims them, each fetched 4 KiB ahead.
int32_t memory_read_peak(gp_context *, const gp_kernel *, const gp_call *call) {
  typedef uint64_t Line __attribute__((vector_size(64)));
  constexpr int64_t kLines = 16 * 1024;
  const gp_view &x = in(call, 0);
  const Line *from = data<const Line>(x);
  const int64_t lines = numel(x) / 8;
  uint64_t total = 0;
  ranges(lines, kLines, [&](int64_t begin, int64_t end) {
    Line sum[4] = {};
    for (int64_t i = begin; i + 4 <= end; i += 4) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        __builtin_prefetch(from + i + k + 64);
        sum[k] += from[i + k];
      }
    }
    const Line all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    uint64_t one = 0;
    for (int k = 0; k < 8; k++) one += all[k];
    __atomic_fetch_add(&total, one, __ATOMIC_RELAXED);
  });
  *data<double>(out(call, 0)) = static_cast<double>(total);
  return GP_OK;
}

}  // namespace

GP_ROWS(peak) = {
    {"multiply_add_peak", "-> y ; kind rounds", 1u << GP_F64, 0, 0, nullptr, multiply_add_peak},
    {"memory_read_peak", "x -> y", 1u << GP_I64, 0, 0, nullptr, memory_read_peak},
    {},
};

}  // namespace gp::GP_ISA
