// How the tiles of a product that is computed as its transpose leave for memory.
#pragma once
#include "epilogue.h"
#include "plan.h"

namespace gp::GP_ISA {
namespace {

// The finished sums of a turned tile, rows x cols of Cᵀ: transposed block by block, then finished as rows of C.
template <class T, class Sum>
void finish_turned(const Finish<T, Sum> &f, const Sum *sums, int64_t sums_row, int64_t rows, int64_t cols, int64_t i0,
                   int64_t j0) {
  constexpr int N = Vec<Sum>::N, kWidth = 96;
  alignas(64) Sum block[N * kWidth];
  for (int64_t c = 0; c < cols; c += N) {
    for (int64_t from = 0; from < rows; from += kWidth) {
      const int width = static_cast<int>(min64(kWidth, rows - from));
      for (int r = 0; r < width; r += N) {
        typename Vec<Sum>::V v[N];
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) v[i] = load(sums + (from + r + i) * sums_row + c);
        transpose_lanes<N>(v);
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) store(block + i * kWidth + r, v[i]);
      }
      finish_tile(f, block, kWidth, static_cast<int>(min64(N, cols - c)), width, j0 + c, i0 + from);
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
