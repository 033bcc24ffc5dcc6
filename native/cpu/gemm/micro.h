// The register tile: rows x (vectors * lanes) of C, one ascending-k chain of fused multiply-adds per element.
//
// A tile starts from zero or from partial sums (cin) and leaves sums (cout); it never scales, rounds or adds anything
// else, so how K is blocked leaves no trace in the bits.
#pragma once
#include "vec.h"

namespace gp::GP_ISA {

template <class T, class Packed>
struct MicroJob {
  int64_t k;
  const Packed *a;  // element (i, k) at a[i * a_row + k * a_col]; packed: a_row 1, a_col = rows
  int64_t a_row, a_col;
  const Packed *b;  // row k at b[k * b_row]; packed: b_row = vectors * lanes, zero-padded
  int64_t b_row;
  const T *cin;  // null: start from zero
  int64_t cin_row;
  T *cout;
  int64_t cout_row;
  int last;  // lanes of the last vector that exist: no load or store goes beyond
};

template <class T, class Packed>
using MicroFn = void (*)(const MicroJob<T, Packed> *);

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 12;  // 12 x 2 accumulators of 32 registers
#else
constexpr int kTileRows = 6;  // 6 x 2 of 16
#endif
constexpr int kTileVectors = 2;

// [0: strided operands, 1: packed][vectors][rows]
extern const MicroFn<float, float> kMicroF32[2][3][kTileRows + 1];
extern const MicroFn<double, double> kMicroF64[2][3][kTileRows + 1];
#if defined(__AVX512F__)
// a and b hold pairs of bf16 along k; k counts pairs. Call only when has_avx512_bf16().
extern const MicroFn<float, uint32_t> kMicroBf16[3][kTileRows + 1];
#endif

namespace {

template <int MR, class T, int NV, bool P>
__attribute__((noinline)) void micro(const MicroJob<T, T> *job) {
  using V = typename Vec<T>::V;
  constexpr int N = Vec<T>::N;
  V acc[MR][NV];
  const T *a = job->a, *b = job->b;
  const int64_t a_row = P ? 1 : job->a_row, a_col = P ? MR : job->a_col, b_row = P ? NV * N : job->b_row;
  const int last = job->last;
  T *out = job->cout;
  const int64_t out_row = job->cout_row;
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    __builtin_prefetch(out + i * out_row, 1);
    __builtin_prefetch(out + i * out_row + NV * N - 1, 1);
  }
  if (job->cin != nullptr) {
    const T *in = job->cin;
    const int64_t in_row = job->cin_row;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++)
        acc[i][j] = j == NV - 1 ? loadn(in + i * in_row + j * N, last) : load(in + i * in_row + j * N);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = V{};
    }
  }
#pragma GCC unroll 4
  for (int64_t k = job->k; k > 0; k--) {
    V bv[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) bv[j] = !P && j == NV - 1 ? loadn(b + j * N, last) : load(b + j * N);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      V av = broadcast(a + i * a_row);
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
    a += a_col;
    b += b_row;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      T *p = out + i * out_row + j * N;
      if (j == NV - 1) {
        storen(p, acc[i][j], last);
      } else {
        store(p, acc[i][j]);
      }
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA

#if defined(__AVX512F__) || defined(__aarch64__)
#define GP_MICRO_ROWS(f, ...)                                                                               \
  {                                                                                                         \
    nullptr, f<1, __VA_ARGS__>, f<2, __VA_ARGS__>, f<3, __VA_ARGS__>, f<4, __VA_ARGS__>, f<5, __VA_ARGS__>, \
        f<6, __VA_ARGS__>, f<7, __VA_ARGS__>, f<8, __VA_ARGS__>, f<9, __VA_ARGS__>, f<10, __VA_ARGS__>,     \
        f<11, __VA_ARGS__>, f<12, __VA_ARGS__>                                                              \
  }
#else
#define GP_MICRO_ROWS(f, ...)                                                                               \
  {                                                                                                         \
    nullptr, f<1, __VA_ARGS__>, f<2, __VA_ARGS__>, f<3, __VA_ARGS__>, f<4, __VA_ARGS__>, f<5, __VA_ARGS__>, \
        f<6, __VA_ARGS__>                                                                                   \
  }
#endif
