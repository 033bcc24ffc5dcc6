// What the recurrent kernels share: a tile takes a few rows of the batch through all time steps, so no thread waits for
// another between steps. The recurrent weight is packed once per call; a step is one product with it and one pass over
// the gates. A cell (lstm.cpp, gru.cpp, rnn.cpp) is the arithmetic of one row of one step.
//
// Behind its length a row keeps its state, and its gates get no gradient.
#pragma once
#include "../gemm/gemm.h"
#include "../gemm/panel.h"
#include "rows.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kTileBatch = 8;  // rows per tile

struct Sequence {
  int64_t steps, batch, hidden;
  bool reverse;
  const int64_t *lengths;  // per row, or null
  int64_t length_stride;

  int64_t at(int64_t i) const { return reverse ? steps - 1 - i : i; }
  bool live(int64_t row, int64_t step) const { return lengths == nullptr || step < lengths[row * length_stride]; }
  int64_t tiles() const { return (batch + kTileBatch - 1) / kTileBatch; }
  // Rows of scratch lie apart by whole cache lines, but not by pages: those would evict each other.
  static int64_t pad(int64_t n) { return (n + 15) / 16 * 16 + 16; }
};

// `y`: [steps, batch, hidden]; `lengths`: its position among the inputs.
GP_FN Sequence sequence_of(const gp_call *call, const gp_view &y, int lengths, bool reverse) {
  Sequence s{y.shape[0], y.shape[1], y.shape[2], reverse, nullptr, 0};
  if (has(call, lengths)) {
    s.lengths = data<int64_t>(in(call, lengths));
    s.length_stride = 1;
  }
  return s;
}

// Scratch of a call in elements of the wide type: the panel, then one block per tile.
struct Scratch {
  int64_t panel, tile;
  int64_t total(const Sequence &s) const { return panel + tile * s.tiles(); }
};

// Per row of a tile: the state, the gates, a product, the cell's own `extra` states.
GP_FN Scratch scratch_of(const Sequence &s, int64_t k, int64_t n, int64_t gates, int extra, size_t wide) {
  return {panel_size(k, n, wide),
          kTileBatch * (Sequence::pad(gates * s.hidden) + (2 + extra) * Sequence::pad(s.hidden))};
}

template <class W>
GP_FN void pack_weight(W *panel, const gp_view &weight, int64_t row, int64_t col, int64_t k, int64_t n) {
  const int64_t strips = panel_strips(n, sizeof(W)), elements = panel_size(k, n, sizeof(W));
  ranges(strips, 1 + 16384 * strips / (1 + elements), [&](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; strip++)
      pack_panel(panel, weight.data, weight.dtype, row, col, k, n, strip);
  });
}

template <class To, class From>
GP_FN void copy_row(To *to, const From *from, int64_t n) {
  using V = Compute<To>;
  each_vector<V>(n, [&](int64_t j, int64_t k) { put(to + j, get<V>(from + j, k), k); });
}

template <class T>
GP_FN void clear_row(T *to, int64_t n) {
  memset(to, 0, static_cast<size_t>(n) * sizeof(T));
}

// cell.begin(row, state, extra): the state before the first step; cell.step(step, row, products, state, extra): one
// step, which stores what it makes; cell.hold(step, row, state, extra): the same behind the row's length;
// cell.end(row, state, extra).
template <int kGates, class T, class Cell>
void run_forward(const Sequence &s, const gp_view &weight, WideOf<T> *work, const Cell &cell) {
  using W = WideOf<T>;
  const int64_t n = kGates * s.hidden, ld = Sequence::pad(s.hidden), wide = Sequence::pad(n);
  const Scratch size = scratch_of(s, s.hidden, n, kGates, Cell::kExtra, sizeof(W));
  W *panel = work;
  pack_weight(panel, weight, 1, s.hidden, s.hidden, n);
  auto tile = [&](int64_t index, int) {
    const int64_t first = index * kTileBatch, rows = s.batch - first < kTileBatch ? s.batch - first : kTileBatch;
    W *state = work + size.panel + index * size.tile, *products = state + 2 * kTileBatch * ld;
    W *extra = products + kTileBatch * wide;
    for (int64_t r = 0; r < rows; r++) cell.begin(first + r, state + r * ld, extra + r * ld);
    for (int64_t i = 0; i < s.steps; i++) {
      const int64_t step = s.at(i);
      multiply_panel(products, wide, state, ld, rows, panel, s.hidden, n);
      for (int64_t r = 0; r < rows; r++) {
        if (s.live(first + r, step)) {
          cell.step(step, first + r, products + r * wide, state + r * ld, extra + r * ld);
        } else {
          cell.hold(step, first + r, state + r * ld, extra + r * ld);
        }
      }
    }
    for (int64_t r = 0; r < rows; r++) cell.end(first + r, state + r * ld, extra + r * ld);
  };
  tiles(s.tiles(), tile);
}

// cell.begin(row, dh, extra); cell.back(step, before, row, dh, dproducts, extra): from dh (without dy) the gradients of
// the gates, stored, and of the recurrent product; what reaches the state before on a direct way stays in dh. `before`
// is the step whose state went in, or -1. cell.hold(step, row, dh): adds dy alone; cell.end(row, dh, extra).
template <int kGates, class T, class Cell>
void run_backward(const Sequence &s, const gp_view &weight, WideOf<T> *work, const Cell &cell) {
  using W = WideOf<T>;
  using V = Compute<T>;
  const int64_t n = kGates * s.hidden, ld = Sequence::pad(s.hidden), wide = Sequence::pad(n);
  const Scratch size = scratch_of(s, n, s.hidden, kGates, Cell::kExtra, sizeof(W));
  W *panel = work;
  pack_weight(panel, weight, s.hidden, 1, n, s.hidden);
  auto tile = [&](int64_t index, int) {
    const int64_t first = index * kTileBatch, rows = s.batch - first < kTileBatch ? s.batch - first : kTileBatch;
    W *dh = work + size.panel + index * size.tile, *through = dh + kTileBatch * ld, *gates = through + kTileBatch * ld;
    W *extra = gates + kTileBatch * wide;
    for (int64_t r = 0; r < rows; r++) cell.begin(first + r, dh + r * ld, extra + r * ld);
    for (int64_t i = s.steps - 1; i >= 0; i--) {
      const int64_t step = s.at(i), before = i == 0 ? -1 : s.at(i - 1);
      for (int64_t r = 0; r < rows; r++) {
        if (s.live(first + r, step)) {
          cell.back(step, before, first + r, dh + r * ld, gates + r * wide, extra + r * ld);
        } else {
          clear_row(gates + r * wide, n);
          cell.hold(step, first + r, dh + r * ld);
        }
      }
      multiply_panel(through, ld, gates, wide, rows, panel, n, s.hidden);
      for (int64_t r = 0; r < rows; r++) {
        each_vector<V>(s.hidden, [&](int64_t j, int64_t k) {
          put(dh + r * ld + j, get<V>(dh + r * ld + j, k) + get<V>(through + r * ld + j, k), k);
        });
      }
    }
    for (int64_t r = 0; r < rows; r++) cell.end(first + r, dh + r * ld, extra + r * ld);
  };
  tiles(s.tiles(), tile);
}

// dweight[n, hidden] = Σ over steps and rows of dproductsᵀ · the state that went in: y of the step before, or h0.
struct WeightGradient {
  GemmArgs rest, first;
};

GP_FN WeightGradient weight_gradient(const Sequence &s, int32_t dtype, size_t bytes, void *dproducts, int64_t n,
                                     const gp_view &y, const gp_view &h0, const gp_view &dweight) {
  auto bytes_at = [bytes](void *p, int64_t elements) { return static_cast<char *>(p) + elements * (int64_t)bytes; };
  const int64_t per_step = s.batch * n, state = s.batch * s.hidden;
  WeightGradient g;
  g.rest = gemm_args(dtype, n, s.hidden, (s.steps - 1) * s.batch);
  g.rest.a = gemm_matrix(bytes_at(dproducts, s.reverse ? 0 : per_step), 1, n);
  g.rest.b = gemm_matrix(bytes_at(y.data, s.reverse ? state : 0), s.hidden, 1);
  g.rest.c = gemm_matrix(dweight.data, s.hidden, 1);
  g.first = gemm_args(dtype, n, s.hidden, s.batch);
  g.first.a = gemm_matrix(bytes_at(dproducts, s.at(0) * per_step), 1, n);
  g.first.b = gemm_matrix(h0.data, s.hidden, 1);
  g.first.c = g.rest.c;
  g.first.accumulate = s.steps > 1;
  return g;
}

GP_FN size_t weight_gradient_workspace(const WeightGradient &g, const Sequence &s) {
  const size_t first = gemm_workspace(g.first), rest = s.steps > 1 ? gemm_workspace(g.rest) : 0;
  return first > rest ? first : rest;
}

GP_FN int32_t run_weight_gradient(const WeightGradient &g, const Sequence &s, void *work, size_t size) {
  if (s.steps > 1) {
    const int32_t code = gemm(g.rest, work, size);
    if (code != GP_OK) return code;
  }
  return gemm(g.first, work, size);
}

GP_FN size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace
}  // namespace gp::GP_ISA
