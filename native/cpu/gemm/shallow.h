// C = A · B with a few products per element, such as the gradient of what a head with one output read: memory is the
// limit. Rows of C are written from end to end; a register tile would cost more to call than to compute.
#pragma once
#include "plan.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kShallowProducts = 4;
constexpr int64_t kShallowElements = 8 * 1024;  // of C, per tile
constexpr int64_t kShallowBytes = 64 * 1024;    // of B, which passes once for every row of C

template <class P>
GP_INLINE bool is_shallow(const GemmArgs &g) {
  return P::kInPlace && is_plain<P>(g) && g.batch_ndim == 0 && g.k >= 1 && g.k <= kShallowProducts && g.b.col == 1 &&
         g.m > kTileRows && g.n >= Vec<typename P::Sum>::N &&
         g.k * g.n * static_cast<int64_t>(sizeof(typename P::Sum)) <= kShallowBytes;
}

template <int K, class T>
void shallow_rows(const GemmArgs &g, int64_t i0, int64_t i1) {
  using V = typename Vec<T>::V;
  constexpr int N = Vec<T>::N;
  const T *b = static_cast<const T *>(g.b.data);
  for (int64_t i = i0; i < i1; i++) {
    const T *a = static_cast<const T *>(g.a.data) + i * g.a.row;
    T *c = static_cast<T *>(g.c.data) + i * g.c.row;
    V x[K];
    for (int k = 0; k < K; k++) x[k] = broadcast(a + k * g.a.col);
    const auto sum = [&](auto read) __attribute__((always_inline)) {
      V acc = {};
      for (int k = 0; k < K; k++) acc = fma(x[k], read(b + k * g.b.row), acc);
      return acc;
    };
    int64_t j = 0;
    for (; j + N <= g.n; j += N)
      store(c + j, sum([&](const T *row) __attribute__((always_inline)) { return load(row + j); }));
    const int rest = static_cast<int>(g.n - j);
    if (rest > 0)
      storen(c + j, sum([&](const T *row) __attribute__((always_inline)) { return loadn(row + j, rest); }), rest);
  }
}

template <class T>
void shallow_product(const GemmArgs &g) {
  const int64_t rows = max64(1, kShallowElements / g.n), count = ceil_div(g.m, rows);
  const auto tile = [&](int64_t index, int) {
    const int64_t i0 = index * rows, i1 = min64(g.m, i0 + rows);
    switch (g.k) {
      case 1:
        return shallow_rows<1, T>(g, i0, i1);
      case 2:
        return shallow_rows<2, T>(g, i0, i1);
      case 3:
        return shallow_rows<3, T>(g, i0, i1);
      default:
        return shallow_rows<4, T>(g, i0, i1);
    }
  };
  run(g.m * g.n * g.k < kSerialMacs, count, tile);
}

}  // namespace
}  // namespace gp::GP_ISA
