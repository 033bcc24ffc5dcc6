// GF/s of the matrix product on GPT-2's shapes and on small ones, and its share of a multiply-add peak measured in the
// same process (registers only, right before and after). Built per instruction set; usage: gemm_bench [f32|bf16|f64]
// [M]
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#include "../cpu/gemm/gemm.h"
#include "isa_check.h"

namespace gp::GP_ISA {

namespace {

// Multiply-adds on registers alone: 12 independent chains of the widest vectors. Returns the flop done.
#if defined(__x86_64__)
#define GP_PEAK(name, isa, V, set1, step, lanes)                               \
  __attribute__((target(isa), noinline)) double name(int rounds) {             \
    V acc[12], x = set1(0.999f), y = set1(0.001f);                             \
    _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) acc[i] = set1(1.0f); \
    for (int r = 0; r < rounds; r++) {                                         \
      _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) {                  \
        acc[i] = step(acc[i], x, y);                                           \
        asm volatile("" : "+x"(acc[i]));                                       \
      }                                                                        \
    }                                                                          \
    return 2.0 * 12 * lanes * rounds;                                          \
  }
#define GP_MUL_ADD(a, x, y) _mm_add_ps(_mm_mul_ps(a, x), y)
GP_PEAK(peak_base, "sse4.2", __m128, _mm_set1_ps, GP_MUL_ADD, 4)
GP_PEAK(peak_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, 8)
#undef GP_MUL_ADD
__attribute__((target("avx512f"), noinline)) double peak_avx512(int rounds) {
  __m512 acc[12], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
#pragma GCC unroll 12
  for (int i = 0; i < 12; i++) acc[i] = _mm512_set1_ps(1.0f);
  for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) {
      acc[i] = _mm512_fmadd_ps(acc[i], x, y);
      asm volatile("" : "+v"(acc[i]));
    }
  }
  return 2.0 * 12 * 16 * rounds;
}
double peak_chunk(int rounds) {
  return kIsa == isa_base ? peak_base(rounds) : kIsa == isa_avx2 ? peak_avx2(rounds) : peak_avx512(rounds);
}
#else
double peak_chunk(int rounds) {
  float32x4_t acc[12], x = vdupq_n_f32(0.999f), y = vdupq_n_f32(0.001f);
#pragma GCC unroll 12
  for (int i = 0; i < 12; i++) acc[i] = vdupq_n_f32(1.0f);
  for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) {
      acc[i] = vfmaq_f32(y, acc[i], x);
      asm volatile("" : "+w"(acc[i]));
    }
  }
  return 2.0 * 12 * 4 * rounds;
}
#endif

// One thread is timed by its own CPU time, which a busy machine disturbs less; several by the clock.
double now(int threads) {
  timespec t;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The machine may be busy: of many short runs the best one is nearest to what the code can do.
double best(const std::vector<double> &v) { return *std::max_element(v.begin(), v.end()); }

double peak(int threads) {
  set_thread_count(threads);
  std::vector<double> rates;
  for (int repeat = 0; repeat < 40; repeat++) {
    double flop = 0, start = now(threads);
    auto body = [&](int64_t, int) {
      double f = peak_chunk(500000);
      __atomic_store(&flop, &f, __ATOMIC_RELAXED);
    };
    tiles(threads, body);
    rates.push_back(flop * threads / (now(threads) - start) * 1e-9);
  }
  return best(rates);
}

struct Shape {
  int64_t m, k, n;
};

double rate(int32_t dtype, Shape s, bool a_transposed, bool b_transposed, int threads, bool bias) {
  const size_t bytes = dtype == GP_F64 ? 8 : dtype == GP_F32 ? 4 : 2;
  auto pages = [](size_t size) {  // huge ones, as the core's allocator asks for
    size = (size + (2 << 21) - 1) >> 21 << 21;
    void *p = aligned_alloc(1 << 21, size);
    madvise(p, size, MADV_HUGEPAGE);
    return p;
  };
  auto buffer = [&](int64_t count) {
    void *p = pages(static_cast<size_t>(count) * bytes);
    memset(p, 0, static_cast<size_t>(count) * bytes);
    if (dtype == GP_F32)
      for (int64_t i = 0; i < count; i++) static_cast<float *>(p)[i] = static_cast<float>(i % 61) / 61.0f;
    return p;
  };
  void *a = buffer(s.m * s.k), *b = buffer(s.k * s.n), *c = buffer(s.m * s.n), *d = buffer(s.n);
  GemmArgs g = gemm_args(dtype, s.m, s.n, s.k);
  g.a = a_transposed ? gemm_matrix(a, 1, s.m) : gemm_matrix(a, s.k, 1);
  g.b = b_transposed ? gemm_matrix(b, 1, s.k) : gemm_matrix(b, s.n, 1);
  g.c = gemm_matrix(c, s.n, 1);
  if (bias) g.bias = gemm_matrix(d, 0, 1);
  set_thread_count(threads);
  const size_t size = gemm_workspace(g);
  void *scratch = pages(size);
  memset(scratch, 0, size);
  const double flop = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  const int inner = std::max(1, static_cast<int>(1e8 / flop));
  std::vector<double> rates;
  step_begin();
  for (int repeat = 0; repeat < 21; repeat++) {
    double start = now(threads);
    for (int i = 0; i < inner; i++) gemm(g, scratch, size);
    if (repeat > 1) rates.push_back(flop * inner / (now(threads) - start) * 1e-9);
  }
  step_end();
  for (void *p : {a, b, c, d, scratch}) free(p);
  return best(rates);
}

}  // namespace

int run_bench(int32_t dtype, int64_t only_m) {
  double peaks[3] = {0, peak(1), peak(2)};
  printf("%s, f32 peak %.0f GF/s with one thread, %.0f with two\n", GP_ISA_NAME, peaks[1], peaks[2]);
  printf("%-20s %s\n", "M, K, N", "GF/s (share of the peak): NN T1, NN T2, NT T1, NT T2, TN T1, TN T2, NT+bias T1, T2");
  const Shape shapes[] = {{64, 768, 2304},  {64, 3072, 768},   {256, 768, 2304},  {256, 768, 768},   {256, 768, 3072},
                          {256, 3072, 768}, {256, 768, 50257}, {1024, 768, 2304}, {1024, 768, 3072}, {1024, 3072, 768},
                          {768, 256, 3072}, {3072, 1024, 768}, {8, 32, 32},       {8, 32, 128},      {32, 8, 128},
                          {64, 64, 64},     {64, 256, 64},     {64, 128, 512},    {8, 1024, 256},    {1, 768, 768},
                          {256, 32, 32},    {64, 784, 512},    {64, 512, 10},     {784, 64, 512},    {32, 256, 1024},
                          {768, 128, 128},  {768, 128, 512},   {768, 512, 128},   {128, 768, 512},   {512, 768, 128}};
  for (Shape s : shapes) {
    if (only_m != 0 && s.m != only_m) continue;
    printf("%4ld,%5ld,%6ld    ", s.m, s.k, s.n);
    for (int variant = 0; variant < 4; variant++) {
      for (int threads = 1; threads <= 2; threads++) {
        double r = rate(dtype, s, variant == 2, variant == 1 || variant == 3, threads, variant == 3);
        printf(" %4.0f (%2.0f%%)", r, 100 * r / peaks[threads]);
      }
    }
    printf("\n");
    fflush(stdout);
  }
  printf("f32 peak afterwards %.0f, %.0f\n", peak(1), peak(2));
  return 0;
}

}  // namespace gp::GP_ISA

int main(int argc, char **argv) {
  if (!gp::isa_runs_here()) {
    printf("skipped: this processor has no %s\n", GP_ISA_NAME);
    return 0;
  }
  int32_t dtype = GP_F32;
  if (argc > 1) dtype = strcmp(argv[1], "bf16") == 0 ? GP_BF16 : strcmp(argv[1], "f64") == 0 ? GP_F64 : GP_F32;
  const int code = gp::GP_ISA::run_bench(dtype, argc > 2 ? atol(argv[2]) : 0);
  gp::shutdown_threads();
  return code;
}
