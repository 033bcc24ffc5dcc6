// The dense blocks that attention is made of: small products whose left operand is read where it stands, one element at
// a time, and whose right operand and result are vectors.
#pragma once
#include "../gemm/ahead.h"
#include "../simd/transpose.h"
#include "rows.h"

namespace gp::GP_ISA {
namespace {

constexpr int kStrip = 8;                     // rows of a product's result that share registers
constexpr int kPanel = kLanes == 16 ? 2 : 1;  // its vectors
constexpr int kShort = kLanes == 16 ? 4 : 2;  // rows of the strips that are left over

// Strips of a result with so many rows.
GP_FN int64_t strips_of(int64_t rows) { return (rows + kStrip - 1) / kStrip; }

// In assembly, because the compiler otherwise folds the broadcast into every fma of the row and doubles the loads.
#if defined(__AVX512F__)
GP_FN VecF repeat(const float *p) {
  __m512 r;
  asm("vbroadcastss %1, %0" : "=v"(r) : "m"(*p));
  return VecF::of((VecF::Raw)r);
}
GP_FN VecD repeat(const double *p) {
  __m512d r;
  asm("vbroadcastsd %1, %0" : "=v"(r) : "m"(*p));
  return VecD::of((VecD::Raw)r);
}
#else
GP_FN VecF repeat(const float *p) { return VecF(*p); }
GP_FN VecD repeat(const double *p) { return VecD(*p); }
#endif

// A matrix in memory: element (i, j) at data[i * row + j * col].
template <class T>
struct Matrix {
  T *data;
  int64_t row, col;
  GP_FN Matrix rows_from(int64_t i) const { return {data + i * row, row, col}; }
};

// What the next block reads, prefetched a few lines beside each strip of this one's products: rows of heads that lie
// side by side are far apart, and the hardware does not foresee them.
class Beside {
 public:
  explicit Beside(int64_t strips) : strips_(strips) {}
  template <class T>
  void add(const Matrix<const T> &m, int64_t rows, int64_t n) {
    if (m.col != 1 || count_ == kMost) return;
    constexpr int64_t size = sizeof(T);
    runs_[count_++].aim(m.data, rows, n * size, m.row * size, strips_);
  }
  GP_FN void step() {
    for (int i = 0; i < count_; i++) runs_[i].now();
  }

 private:
  static constexpr int kMost = 5;
  Ahead runs_[kMost];
  int count_ = 0;
  int64_t strips_;
};

// R rows by P vectors of C += A · B, or with Fresh C = A · B. One ascending chain of multiply-adds per element,
// whatever R and P.
template <bool Fresh, class V, int R, int P, class W>
GP_FN void product_tile(const W *a, int64_t ai, int64_t ak, const W *b, int64_t ldb, W *c, int64_t ldc, int64_t depth) {
  V acc[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) acc[r][p] = Fresh ? V(0) : load<V>(c + r * ldc + p * V::lanes);
  }
  for (int64_t k = 0; k < depth; k++) {
    V row[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) row[p] = load<V>(b + p * V::lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const V x = repeat(a + r * ai);
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) acc[r][p] = fma_(x, row[p], acc[r][p]);
    }
    a += ak;
    b += ldb;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) store(c + r * ldc + p * V::lanes, acc[r][p]);
  }
}

// `rows` rows (at most kStrip) by the columns [j0, j1), multiples of V::lanes.
template <bool Fresh, class V, class W>
GP_FN void product_strip(const W *a, int64_t ai, int64_t ak, const W *b, int64_t ldb, W *c, int64_t ldc, int64_t rows,
                         int64_t j0, int64_t j1, int64_t depth) {
  auto columns = [&](auto height, int64_t i) __attribute__((always_inline)) {
    constexpr int R = decltype(height)::value;
    int64_t j = j0;
    for (; j + kPanel * V::lanes <= j1; j += kPanel * V::lanes)
      product_tile<Fresh, V, R, kPanel>(a + i * ai, ai, ak, b + j, ldb, c + i * ldc + j, ldc, depth);
    for (; j < j1; j += V::lanes)
      product_tile<Fresh, V, R, 1>(a + i * ai, ai, ak, b + j, ldb, c + i * ldc + j, ldc, depth);
  };
  if (rows == kStrip) return columns(std::integral_constant<int, kStrip>{}, 0);
  int64_t i = 0;
  for (; i + kShort <= rows; i += kShort) columns(std::integral_constant<int, kShort>{}, i);
  for (; i < rows; i++) columns(std::integral_constant<int, 1>{}, i);
}

// C[m, j0(i) … n) = A · B for strips i of kStrip rows. A's element (i, k) stands at a(i, k). `beside` is stepped before
// every strip, here and below.
template <class V, class W, class From>
__attribute__((noinline)) void product_from(const Matrix<const W> &a, const W *b, int64_t ldb, W *c, int64_t ldc,
                                            int64_t m, int64_t n, int64_t depth, From from, Beside &beside) {
  for (int64_t i = 0; i < m; i += kStrip) {
    beside.step();
    product_strip<true, V>(a.data + i * a.row, a.row, a.col, b, ldb, c + i * ldc, ldc, least(kStrip, m - i), from(i), n,
                           depth);
  }
}

// C[m, n] (+)= A · B over the depths [begin(i), end(i)) for strips i of kStrip rows.
template <class V, class W, class Begin, class End>
__attribute__((noinline)) void product_within(bool fresh, const Matrix<const W> &a, const W *b, int64_t ldb, W *c,
                                              int64_t ldc, int64_t m, int64_t n, Begin begin, End end, Beside &beside) {
  for (int64_t i = 0; i < m; i += kStrip) {
    beside.step();
    const int64_t k = begin(i), depth = end(i) - k, rows = least(kStrip, m - i);
    const W *from = a.data + i * a.row + k * a.col;
    if (fresh) {
      product_strip<true, V>(from, a.row, a.col, b + k * ldb, ldb, c + i * ldc, ldc, rows, 0, n, depth);
    } else if (depth > 0) {
      product_strip<false, V>(from, a.row, a.col, b + k * ldb, ldb, c + i * ldc, ldc, rows, 0, n, depth);
    }
  }
}

// to[rows, ld] ← m, zeros behind the n columns.
template <class T>
void pack(const Matrix<const T> &m, int64_t rows, int64_t n, WideOf<T> *to, int64_t ld) {
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
void pack_transposed(const Matrix<const T> &m, int64_t rows, int64_t n, WideOf<T> *to, int64_t ld) {
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
      const int64_t k = least(n - j0, N);
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

// m[rows, n] ← from[rows, ld], row i times factor(i).
template <class T, class Factor>
void unpack(const WideOf<T> *from, int64_t ld, const Matrix<T> &m, int64_t rows, int64_t n, Factor factor) {
  using V = Compute<T>;
  for (int64_t i = 0; i < rows; i++) {
    T *to = m.data + i * m.row;
    const WideOf<T> *f = from + i * ld;
    const V by(factor(i));
    if (m.col == 1) {
      each_vector<V>(n, [&](int64_t j, int64_t k) { put(to + j, get<V>(f + j, k) * by, k); });
    } else {
      for (int64_t j = 0; j < n; j++) to[j * m.col] = narrow<T>(f[j] * factor(i));
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
