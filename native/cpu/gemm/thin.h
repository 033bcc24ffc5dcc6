// C = A · Bᵀ with a few rows, as generating text one token at a time asks for it: B (the weight) is read once, so
// memory is the limit. Blocks of B are transposed in registers on the way and never packed; half types are widened or
// paired on the way too, and every element is the same ascending-k chain as everywhere else. A product with a few
// columns (the head of a regression) is the transpose of such a one.
#pragma once
#include "ahead.h"
#include "plan.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kThinRows = 4;
constexpr int64_t kThinColumns = 128;  // per tile

template <class P>
GP_INLINE bool is_thin(const GemmArgs &g) {
  return g.batch_ndim == 0 && g.b.row == 1 && g.m <= kThinRows && g.k <= kChunk && g.n * g.k >= 16 * 1024;
}

// The same product as Cᵀ = Bᵀ · Aᵀ.
GP_INLINE GemmArgs transposed(const GemmArgs &g) {
  GemmArgs t = turn(g);
  for (GemmMatrix *x : {&t.c, &t.bias, &t.residual, &t.pre}) std::swap(x->row, x->col);
  return t;
}

template <class P>
GP_INLINE bool is_thin_transposed(const GemmArgs &g) {
  return std::is_same<typename P::Type, typename P::TypeB>::value && g.n <= kThinRows && is_thin<P>(transposed(g));
}

// What differs between element types: a unit is one element along k, for pairs two.
template <class B, class Sum>
struct ThinUnit {
  using Packed = Sum;
  static constexpr int64_t kElements = 1;
  static GP_INLINE typename Vec<Sum>::V load_units(const B *p, int64_t elements) {
    if constexpr (std::is_same<B, Sum>::value) {
      return elements >= Vec<Sum>::N ? load(p) : loadn(p, static_cast<int>(elements));
    } else {
      return loadn(p, clamp_lanes(elements, Vec<Sum>::N));
    }
  }
  static GP_INLINE typename Vec<Sum>::V step(typename Vec<Sum>::V sum, const Sum *a, typename Vec<Sum>::V b) {
    return fma(broadcast(a), b, sum);
  }
};

#if defined(__AVX512F__)
struct ThinPair {
  using Packed = uint32_t;
  static constexpr int64_t kElements = 2;
  template <class B>
  static GP_INLINE VF load_units(const B *p, int64_t elements) {
    return (VF)load_halves(p, clamp_lanes(elements, 32));
  }
  // In assembly: an intrinsic could not be inlined where the compiler does not assume the instruction.
  static GP_INLINE VF step(VF sum, const uint32_t *a, VF b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_epi32(static_cast<int>(*a))), "v"(b));
    return sum;
  }
};
template <class P>
struct ThinOf {
  using Unit = ThinUnit<typename P::TypeB, typename P::Sum>;
};
template <class B>
struct ThinOf<Pairs<B>> {
  using Unit = ThinPair;
};
#else
template <class P>
struct ThinOf {
  using Unit = ThinUnit<typename P::TypeB, typename P::Sum>;
};
#endif

// sums[row * kThinColumns + column] of columns j0 … j1; unit u of A's row m stands at a[m * a_row + u * a_unit].
template <int M, class P>
void thin_sums(const GemmArgs &g, const typename ThinOf<P>::Unit::Packed *a, int64_t a_row, int64_t a_unit,
               const typename P::TypeB *b, int64_t j0, int64_t j1, typename P::Sum *sums) {
  using Unit = typename ThinOf<P>::Unit;
  using V = typename Vec<typename P::Sum>::V;
  constexpr int N = Vec<typename P::Sum>::N;
  constexpr int64_t E = Unit::kElements;
  const int64_t units = ceil_div(g.k, E);
  for (int64_t j = j0; j < j1; j += N) {
    const int rows = clamp_lanes(j1 - j, N);
    V acc[M];
    for (int m = 0; m < M; m++) acc[m] = V{};
    // The rows of B after these, one after the other as memory gives them fastest: sixteen short streams at once are
    // more than the processor follows by itself.
    const int64_t then = j + N;
    Ahead rows_of_b;
    if (then < g.n) {
      constexpr int64_t size = sizeof(typename P::TypeB);
      rows_of_b.aim(b + then * g.b.col, min64(N, g.n - then), g.k * size, g.b.col * size, ceil_div(units, N));
    }
    for (int64_t u = 0; u < units; u += N) {
      const int lanes = clamp_lanes(units - u, N);
      const int64_t left = g.k - u * E;
      const typename P::TypeB *p = b + j * g.b.col + u * E;
      V r[N];
      rows_of_b.now();
      if (rows == N && left >= N * E) {
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) r[i] = Unit::load_units(p + i * g.b.col, N * E);
      } else {
        for (int i = 0; i < N; i++) r[i] = i < rows ? Unit::load_units(p + i * g.b.col, left) : V{};
      }
      transpose_lanes<N>(r);
      const auto *x = a + u * a_unit;
      if (lanes == N) {
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) {
#pragma GCC unroll 4
          for (int m = 0; m < M; m++) acc[m] = Unit::step(acc[m], x + m * a_row + i * a_unit, r[i]);
        }
      } else {
        for (int i = 0; i < lanes; i++)
          for (int m = 0; m < M; m++) acc[m] = Unit::step(acc[m], x + m * a_row + i * a_unit, r[i]);
      }
    }
    for (int m = 0; m < M; m++) store(sums + m * kThinColumns + (j - j0), acc[m]);
  }
}

template <class P>
void thin_product(const GemmArgs &g, const Finish<typename P::Type, typename P::Sum> &finish) {
  using Packed = typename ThinOf<P>::Unit::Packed;
  const auto *a = static_cast<const typename P::Type *>(g.a.data);
  const auto *b = static_cast<const typename P::TypeB *>(g.b.data);
  auto tile = [&](int64_t index, int) {
    alignas(64) typename P::Sum sums[kThinRows * kThinColumns];
    alignas(64) Packed packed[P::kInPlace ? 1 : kThinRows * kChunk];
    const Packed *x = packed;
    int64_t row = 1, unit = g.m;
    if constexpr (P::kInPlace) {
      x = a;
      row = g.a.row;
      unit = g.a.col;
    } else {
      P::pack(packed, static_cast<int>(g.m), a, g.a.row, g.a.col, g.k, static_cast<int>(g.m));
    }
    const int64_t j0 = index * kThinColumns, j1 = min64(g.n, j0 + kThinColumns);
    switch (g.m) {
      case 1:
        thin_sums<1, P>(g, x, row, unit, b, j0, j1, sums);
        break;
      case 2:
        thin_sums<2, P>(g, x, row, unit, b, j0, j1, sums);
        break;
      case 3:
        thin_sums<3, P>(g, x, row, unit, b, j0, j1, sums);
        break;
      default:
        thin_sums<4, P>(g, x, row, unit, b, j0, j1, sums);
    }
    finish_tile(finish, sums, kThinColumns, static_cast<int>(g.m), static_cast<int>(j1 - j0), 0, j0);
  };
  const int64_t count = ceil_div(g.n, kThinColumns);
  if (g.m * g.n * g.k >= kSerialMacs) return tiles(count, tile);
  for (int64_t i = 0; i < count; i++) tile(i, 0);
}

}  // namespace
}  // namespace gp::GP_ISA
