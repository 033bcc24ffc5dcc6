// C = A · Bᵀ with a few rows, as generating text one token at a time asks for it: B (the weight) is read once, so
// memory is the limit. Blocks of B are transposed in registers on the way; nothing is packed, and every element is the
// same ascending-k chain as everywhere else.
#pragma once
#include "plan.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kThinRows = 4;
constexpr int64_t kThinColumns = 128;  // per tile

template <class P>
GP_INLINE bool is_thin(const GemmArgs &g) {
  return P::kInPlace && g.batch_ndim == 0 && g.b.row == 1 && g.m <= kThinRows && g.k <= kChunk &&
         g.n * g.k >= 16 * 1024;
}

// sums[row * kThinColumns + column] of columns j0 … j1.
template <int M, class T>
void thin_sums(const GemmArgs &g, const T *a, const T *b, int64_t j0, int64_t j1, T *sums) {
  using V = typename Vec<T>::V;
  constexpr int N = Vec<T>::N;
  for (int64_t j = j0; j < j1; j += N) {
    const int rows = clamp_lanes(j1 - j, N);
    V acc[M];
    for (int m = 0; m < M; m++) acc[m] = V{};
    for (int64_t k = 0; k < g.k; k += N) {
      const int lanes = clamp_lanes(g.k - k, N);
      const T *p = b + j * g.b.col + k;
      V r[N];
      if (rows == N && lanes == N) {
        // The next rows, a block ahead: sixteen short streams at once are more than the processor follows by itself.
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) __builtin_prefetch(p + (N + i) * g.b.col, 0, 2);
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) r[i] = load(p + i * g.b.col);
      } else {
        for (int i = 0; i < N; i++) r[i] = i < rows ? loadn(p + i * g.b.col, lanes) : V{};
      }
      transpose_lanes<N>(r);
      const T *x = a + k * g.a.col;
      if (lanes == N) {
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) {
#pragma GCC unroll 4
          for (int m = 0; m < M; m++) acc[m] = fma(broadcast(x + m * g.a.row + i * g.a.col), r[i], acc[m]);
        }
      } else {
        for (int i = 0; i < lanes; i++)
          for (int m = 0; m < M; m++) acc[m] = fma(broadcast(x + m * g.a.row + i * g.a.col), r[i], acc[m]);
      }
    }
    for (int m = 0; m < M; m++) store(sums + m * kThinColumns + (j - j0), acc[m]);
  }
}

template <class T>
void thin_product(const GemmArgs &g, const Finish<T, T> &finish) {
  const T *a = static_cast<const T *>(g.a.data), *b = static_cast<const T *>(g.b.data);
  auto tile = [&](int64_t index, int) {
    alignas(64) T sums[kThinRows * kThinColumns];
    const int64_t j0 = index * kThinColumns, j1 = min64(g.n, j0 + kThinColumns);
    switch (g.m) {
      case 1:
        thin_sums<1>(g, a, b, j0, j1, sums);
        break;
      case 2:
        thin_sums<2>(g, a, b, j0, j1, sums);
        break;
      case 3:
        thin_sums<3>(g, a, b, j0, j1, sums);
        break;
      default:
        thin_sums<4>(g, a, b, j0, j1, sums);
    }
    finish_tile(finish, sums, kThinColumns, static_cast<int>(g.m), static_cast<int>(j1 - j0), 0, j0);
  };
  const int64_t count = ceil_div(g.n, kThinColumns);
  if (g.m * g.n * g.k >= kSerialMacs) return tiles(count, tile);
  for (int64_t i = 0; i < count; i++) tile(i, 0);
}

}  // namespace
}  // namespace gp::GP_ISA
