// Loops over one contiguous row, for kernels that normalise rows (softmax, cross-entropy, norms).
//
// A sum runs in 32 (f64: 16) virtual lanes, element i in lane i mod 32, which a fixed tree adds up at the end: the same
// bits with every vector length and thread count.
#pragma once
#include <utility>

#include "../simd/math.h"

namespace gp::GP_ISA {
namespace {

constexpr int kParts = 2 * 16 / kLanes;  // vectors that make up the virtual lanes

GP_FN int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
GP_FN int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
GP_FN int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

template <class T>
using WideOf = typename Wide<T>::type;

// The scalars of type Of<T>: statistics of rows are kept in them.
template <class V, class T>
GP_FN V get(const T *p, int64_t k) {
  return k == V::lanes ? load<V>(p) : load_some<V>(p, k);
}
template <class T, class V>
GP_FN void put(T *p, V v, int64_t k) {
  if (k == V::lanes) {
    store(p, v);
  } else {
    store_some(p, v, k);
  }
}

// v in the first k lanes, `other` behind them.
template <class V>
GP_FN V first(V v, int64_t k, V other) {
  using I = typename V::Int;
  typename I::Raw lane;
  for (int i = 0; i < V::lanes; i++) lane[i] = static_cast<typename I::Scalar>(i);
  auto m = I::of(lane) < I(static_cast<typename I::Scalar>(k));
  return select(typename V::M{m.v}, v, other);
}

// body(i, k) for the vectors of a row of n elements: k is V::lanes except at the end.
template <class V, class F>
GP_FN void each_vector(int64_t n, F body) {
  int64_t i = 0;
  for (; i + V::lanes <= n; i += V::lanes) body(i, static_cast<int64_t>(V::lanes));
  if (i < n) body(i, n - i);
}

template <class V>
struct Lanes {
  V v[kParts];
  GP_FN explicit Lanes(V start) {
    for (int j = 0; j < kParts; j++) v[j] = start;
  }
  // A tree of halves, element i with element i + half; f(V, V) works lane by lane.
  template <class F>
  GP_FN typename V::Scalar fold(F f) const {
    V t[kParts];
    for (int j = 0; j < kParts; j++) t[j] = v[j];
#pragma GCC unroll 4
    for (int h = kParts / 2; h > 0; h /= 2) {
#pragma GCC unroll 4
      for (int j = 0; j < h; j++) t[j] = f(t[j], t[j + h]);
    }
    return fold_lanes<V::lanes / 2>(t[0], f);
  }
  template <int H, class F>
  static GP_FN typename V::Scalar fold_lanes(V a, F f) {
    if constexpr (H == 0) {
      return a.v[0];
    } else {
      return fold_lanes<H / 2>(f(a, down<H>(a, std::make_index_sequence<V::lanes>{})), f);
    }
  }
  // Lane i + H in lane i; what stands in lanes from H on is of no use.
  template <int H, size_t... I>
  static GP_FN V down(V a, std::index_sequence<I...>) {
    return V::of(__builtin_shufflevector(a.v, a.v, ((static_cast<int>(I) + H) % V::lanes)...));
  }
  GP_FN typename V::Scalar sum() const {
    return fold([](V a, V b) __attribute__((always_inline)) { return a + b; });
  }
};

// step(part, i, k): combine elements i … i + k - 1 into virtual lanes `part`.
template <class V, class F>
GP_FN void each_part(int64_t n, F step) {
  constexpr int64_t kBlock = kParts * V::lanes;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
#pragma GCC unroll 8
    for (int j = 0; j < kParts; j++) step(j, i + j * V::lanes, static_cast<int64_t>(V::lanes));
  }
  for (int j = 0; i < n; i += V::lanes, j++) step(j, i, n - i < V::lanes ? n - i : static_cast<int64_t>(V::lanes));
}

// Σ f(i, k); lanes of f's answer from k on are ignored.
template <class V, class F>
GP_FN typename V::Scalar row_sum(int64_t n, F f) {
  Lanes<V> acc(V(0));
  each_part<V>(
      n, [&](int j, int64_t i, int64_t k) __attribute__((always_inline)) {
        V v = f(i, k);
        acc.v[j] = acc.v[j] + (k == V::lanes ? v : first(v, k, V(0)));
      });
  return acc.sum();
}

// The largest element; NaN wins. -infinity for an empty row.
template <class V, class T>
GP_FN typename V::Scalar row_max(const T *x, int64_t n) {
  using S = typename V::Scalar;
  const V low = V(-static_cast<S>(__builtin_inff()));
  Lanes<V> acc(low);
  each_part<V>(
      n, [&](int j, int64_t i, int64_t k) __attribute__((always_inline)) {
        V v = get<V>(x + i, k);
        acc.v[j] = max_nan(acc.v[j], k == V::lanes ? v : first(v, k, low));
      });
  return acc.fold([](V a, V b) __attribute__((always_inline)) { return select((a > b) | (a != a), a, b); });
}

GP_FN float exp_one(float x) { return exp_(Vec<float, kLanes>(x)).v[0]; }
GP_FN double exp_one(double x) { return ::exp(x); }
GP_FN float log_one(float x) { return log_(Vec<float, kLanes>(x)).v[0]; }
GP_FN double log_one(double x) { return ::log(x); }

// Rows per tile so that a tile has some four thousand elements; depends on the shape alone.
GP_FN int64_t rows_per_tile(int64_t row) {
  int64_t r = 4096 / (row < 1 ? 1 : row);
  return r < 1 ? 1 : r;
}

}  // namespace
}  // namespace gp::GP_ISA
