// The dense blocks that attention is made of: small products of wide matrices in scratch memory.
#pragma once
#include "../simd/transpose.h"
#include "rows.h"

namespace gp::GP_ISA {
namespace {

GP_FN int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// R rows by P vectors of C += A · B, or with Fresh C = A · B; element (i, k) of A stands at a[i * ai + k * ak]. One
// ascending chain of multiply-adds per element, whatever R and P.
template <bool Fresh, class V, int R, int P>
GP_FN void product_tile(const typename V::Scalar *a, int64_t ai, int64_t ak, const typename V::Scalar *b, int64_t ldb,
                        typename V::Scalar *c, int64_t ldc, int64_t depth) {
  V acc[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) acc[r][p] = Fresh ? V(0) : load<V>(c + r * ldc + p * V::lanes);
  }
  for (int64_t k = 0; k < depth; k++) {
    V row[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) row[p] = load<V>(b + k * ldb + p * V::lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const V x(a[r * ai + k * ak]);
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) acc[r][p] = fma_(x, row[p], acc[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) store(c + r * ldc + p * V::lanes, acc[r][p]);
  }
}

template <bool Fresh, class V, int P>
GP_FN void product_columns(const typename V::Scalar *a, int64_t ai, int64_t ak, const typename V::Scalar *b,
                           int64_t ldb, typename V::Scalar *c, int64_t ldc, int64_t m, int64_t depth) {
  constexpr int R = kLanes == 16 ? 8 : 4;
  int64_t i = 0;
  for (; i + R <= m; i += R) product_tile<Fresh, V, R, P>(a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
  for (; i < m; i++) product_tile<Fresh, V, 1, P>(a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
}

// C[m, n] += A[m, depth] · B[depth, n], or with Fresh C = A · B; n is a multiple of V::lanes.
template <class V, bool Fresh = false>
__attribute__((noinline)) void product(const typename V::Scalar *a, int64_t ai, int64_t ak, const typename V::Scalar *b,
                                       int64_t ldb, typename V::Scalar *c, int64_t ldc, int64_t m, int64_t n,
                                       int64_t depth) {
  int64_t j = 0;
  for (; j + 2 * V::lanes <= n; j += 2 * V::lanes)
    product_columns<Fresh, V, 2>(a, ai, ak, b + j, ldb, c + j, ldc, m, depth);
  if (j < n) product_columns<Fresh, V, 1>(a, ai, ak, b + j, ldb, c + j, ldc, m, depth);
}

// A matrix of a view: rows and columns at any strides.
template <class T>
struct Matrix {
  const T *data;
  int64_t row, col;
};

// to[rows, ld] ← m, zeros behind the n columns.
template <class T>
void pack(const Matrix<T> &m, int64_t rows, int64_t n, WideOf<T> *to, int64_t ld) {
  using V = Compute<T>;
  for (int64_t i = 0; i < rows; i++) {
    const T *from = m.data + i * m.row;
    WideOf<T> *t = to + i * ld;
    if (m.col == 1) {
      each_vector<V>(n, [&](int64_t j, int64_t k) { put(t + j, get<V>(from + j, k), k); });
    } else {
      for (int64_t j = 0; j < n; j++) t[j] = widen(from[j * m.col]);
    }
    for (int64_t j = n; j < ld; j++) t[j] = 0;
  }
}

// to[n, ld] ← mᵀ: one row per column of m, zeros behind the `rows` elements.
template <class T>
void pack_transposed(const Matrix<T> &m, int64_t rows, int64_t n, WideOf<T> *to, int64_t ld) {
  using V = Compute<T>;
  constexpr int N = V::lanes;
  if (m.col != 1) {
    for (int64_t j = 0; j < n; j++) {
      for (int64_t i = 0; i < ld; i++) to[j * ld + i] = i < rows ? widen(m.data[i * m.row + j * m.col]) : WideOf<T>(0);
    }
    return;
  }
  for (int64_t i0 = 0; i0 < ld; i0 += N) {
    for (int64_t j0 = 0; j0 < n; j0 += N) {
      const int64_t k = n - j0 < N ? n - j0 : N;
      typename V::Raw r[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; i++) r[i] = i0 + i < rows ? get<V>(m.data + (i0 + i) * m.row + j0, k).v : V(0).v;
      transpose_lanes<N>(r);
#pragma GCC unroll 16
      for (int j = 0; j < N; j++)
        if (j < k) store(to + (j0 + j) * ld + i0, V::of(r[j]));
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
