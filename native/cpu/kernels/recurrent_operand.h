// The products of recurrent kernels: operands [rows, k] that a step leaves for the next one, times a weight's panel.
// What goes into a product of half types is rounded to them, as it is on its way out: the state like y, gradients like
// those of the gates. Sums are wide.
#pragma once
#include "../gemm/panel.h"
#include "rows.h"

namespace gp::GP_ISA {
namespace {

// Operands of T in the wide type.
template <class T>
struct Plain {
  using Type = T;
  using Wide = WideOf<T>;
  using Packed = Wide;                           // an element of the panel
  using Operand = Wide;                          // as it stands in scratch
  static int64_t depth(int64_t k) { return k; }  // of the panel

  template <class V>
  static GP_FN void put_operand(Operand *to, V v, int64_t k) {
    if constexpr (sizeof(T) == sizeof(Operand)) {
      put(to, v, k);
    } else {
      T rounded[V::lanes];
      store(rounded, v);
      put(to, load<V>(rounded), k);
    }
  }
  static GP_FN void end_row(Operand *, int64_t) {}
  static void multiply(Wide *c, int64_t c_row, const Operand *a, int64_t a_row, int64_t rows, const Packed *panel,
                       int64_t k, int64_t n, PanelAhead *ahead) {
    multiply_panel(c, c_row, a, a_row, rows, panel, k, n, ahead);
  }
};

#if defined(__AVX512F__)
// bf16, two at a time.
struct Pairs {
  using Type = bf16;
  using Wide = float;
  using Packed = uint32_t;
  using Operand = bf16;
  static int64_t depth(int64_t k) { return (k + 1) / 2; }

  template <class V>
  static GP_FN void put_operand(Operand *to, V v, int64_t k) {
    put(to, v, k);
  }
  // The other half of an odd row's last pair meets a zero of the panel.
  static GP_FN void end_row(Operand *row, int64_t k) {
    if (k % 2 != 0) row[k] = bf16{0};
  }
  static void multiply(float *c, int64_t c_row, const Operand *a, int64_t a_row, int64_t rows, const Packed *panel,
                       int64_t k, int64_t n, PanelAhead *ahead) {
    multiply_panel(c, c_row, reinterpret_cast<const uint32_t *>(a), a_row / 2, rows, panel, depth(k), n, ahead);
  }
};
#endif

// f(P{}) with the operands that this machine multiplies T in.
template <class T, class F>
GP_FN void with_operands(F f) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, bf16>) {
    if (multiplies_pairs()) return f(Pairs{});
  }
#endif
  f(Plain<T>{});
}

// A row of operands that a cell fills.
template <class P>
struct OperandRow {
  typename P::Operand *row;
  template <class V>
  GP_FN void put(int64_t j, V v, int64_t k) const {
    P::put_operand(row + j, v, k);
  }
};

}  // namespace
}  // namespace gp::GP_ISA
