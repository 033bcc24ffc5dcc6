// Transposes N vectors of N lanes in registers: log2(N) rounds, each swaps blocks of S x S. Raw: a GCC vector.
#pragma once
#include <stddef.h>

#include <utility>

#include "../../include/kernel.h"

namespace gp::GP_ISA {
namespace {

template <int N, int S, bool High, class Raw, size_t... I>
GP_INLINE Raw swap_blocks(Raw a, Raw b, std::index_sequence<I...>) {
  return __builtin_shufflevector(
      a, b,
      (High ? ((static_cast<int>(I) & S) ? N + static_cast<int>(I) : static_cast<int>(I) + S)
            : ((static_cast<int>(I) & S) ? N + static_cast<int>(I) - S : static_cast<int>(I)))...);
}

template <int N, int S, class Raw>
GP_INLINE void transpose_round(Raw *r) {
  using Lanes = std::make_index_sequence<static_cast<size_t>(N)>;
#pragma GCC unroll 16
  for (int i = 0; i < N; i++) {
    if (i & S) continue;
    Raw a = r[i], b = r[i + S];
    r[i] = swap_blocks<N, S, false>(a, b, Lanes{});
    r[i + S] = swap_blocks<N, S, true>(a, b, Lanes{});
  }
}

template <int N, class Raw>
GP_INLINE void transpose_lanes(Raw *r) {
  if constexpr (N > 8) transpose_round<N, 8>(r);
  if constexpr (N > 4) transpose_round<N, 4>(r);
  if constexpr (N > 2) transpose_round<N, 2>(r);
  transpose_round<N, 1>(r);
}

}  // namespace
}  // namespace gp::GP_ISA
