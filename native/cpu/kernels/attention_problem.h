// What the passes of attention share: the problem, its blocks of scores with their masks, dropout and the threads'
// scratch.
#pragma once
#include "../philox.h"
#include "attention_block.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kBlock = 64;  // queries and keys per block

struct Problem {
  int64_t batch, heads, key_heads, group, t, s, e, ev;
  int64_t le, lv, lq;  // row lengths in scratch: e, ev and a block of queries, rounded up
  double scale, p;     // p: share of the weights that dropout takes
  bool causal;
  RngState state;  // of the generator, before the numbers of the first weight

  // Rows of the blocks that begin there.
  GP_FN int64_t queries(int64_t i) const { return least(kBlock, t - i); }
  GP_FN int64_t keys(int64_t j) const { return least(kBlock, s - j); }
};

// `q`: position of the query among the inputs; key and value follow it.
Problem problem_of(const gp_call *call, int q) {
  const gp_view &query = in(call, q), &key = in(call, q + 1), &value = in(call, q + 2);
  Attrs attrs(call);
  Problem p;
  p.causal = attrs.flag();
  p.scale = attrs.number();
  attrs.flag();  // enableGqa: the heads say it
  p.p = attrs.number();
  p.state = RngState{0, 0};
  p.batch = query.shape[0];
  p.heads = query.shape[1];
  p.key_heads = key.shape[1];
  p.group = p.key_heads == 0 ? 0 : p.heads / p.key_heads;
  p.t = query.shape[2];
  p.s = key.shape[2];
  p.e = query.shape[3];
  p.ev = value.shape[3];
  p.le = round_up(p.e, 16);
  p.lv = round_up(p.ev, 16);
  p.lq = round_up(least(p.t, kBlock), 16);
  return p;
}

template <class T>
GP_FN Matrix<const T> matrix(const gp_view &v, int64_t b, int64_t h, int64_t row) {
  return {data<T>(v) + b * v.stride[0] + h * v.stride[1] + row * v.stride[2], v.stride[2], v.stride[3]};
}
template <class T>
GP_FN Matrix<T> result(const gp_view &v, int64_t b, int64_t h, int64_t row) {
  return {data<T>(v) + b * v.stride[0] + h * v.stride[1] + row * v.stride[2], v.stride[2], v.stride[3]};
}

// The same values in the wide type, rows one after the other: where they stand if they do so already. Rows of several
// heads side by side are copied: they lie a multiple of a few lines apart and would evict each other from L1.
template <class T>
GP_FN Matrix<const WideOf<T>> dense(const Matrix<const T> &m, int64_t rows, int64_t n, WideOf<T> *to, int64_t ld) {
  if constexpr (sizeof(T) == sizeof(WideOf<T>)) {
    if (m.col == 1 && m.row == n && n % Compute<T>::lanes == 0) return m;
  }
  pack(m, rows, n, to, ld);
  return {to, ld, 1};
}

// The same for an operand that is read one element at a time: it may stand anyhow.
template <class T>
GP_FN Matrix<const WideOf<T>> elements(const Matrix<const T> &m, int64_t rows, int64_t n, WideOf<T> *to, int64_t ld) {
  if constexpr (sizeof(T) == sizeof(WideOf<T>)) return m;
  pack(m, rows, n, to, ld);
  return {to, ld, 1};
}

// Where products add up rows of n elements: in the result itself if these products are all there is and its rows have
// whole vectors, else in scratch, from which `deliver` takes them.
template <class T>
GP_FN Matrix<WideOf<T>> sums(const Matrix<T> &to, int64_t n, bool all, WideOf<T> *scratch, int64_t ld) {
  if constexpr (sizeof(T) == sizeof(WideOf<T>)) {
    if (all && to.col == 1 && n % Compute<T>::lanes == 0) return to;
  }
  return {scratch, ld, 1};
}
template <class T>
GP_FN void deliver(const Matrix<WideOf<T>> &from, const Matrix<T> &to, int64_t rows, int64_t n) {
  if (static_cast<const void *>(from.data) != to.data)
    unpack(from.data, from.row, to, rows, n, [](int64_t) { return WideOf<T>(1); });
}

// One block of scores: queries from i, keys from j.
template <class V>
struct Scores {
  int64_t i, j, rows, cols, lanes;  // lanes: rows, rounded up to whole vectors
  bool causal;
  Scores(const Problem &p, int64_t i0, int64_t j0)
      : i(i0), j(j0), rows(p.queries(i0)), cols(p.keys(j0)), lanes(round_up(rows, V::lanes)), causal(p.causal) {}
  // The first vector of queries in which somebody sees key c.
  GP_FN int64_t first_lane(int64_t c) const {
    return !causal ? 0 : least(lanes, most(0, j + c - i) / V::lanes * V::lanes);
  }
  // Keys that some query before `lane` sees.
  GP_FN int64_t keys_before(int64_t lane) const { return !causal ? cols : least(cols, most(0, i + lane - j)); }
  // Keys that query `lane` sees.
  GP_FN int64_t keys_of(int64_t lane) const { return keys_before(lane + 1); }
  // The end of the strips of queries that vector `lane` has a part in.
  static GP_FN int64_t strip_end(int64_t lane) { return round_up(lane + V::lanes, kStrip); }
  // v in the queries of vector `lane` that see key c, else `other`.
  GP_FN V seen(int64_t lane, int64_t c, V v, V other) const {
    const int64_t blind = causal ? j + c - i - lane : 0;
    return blind <= 0 ? v : first(other, least(blind, V::lanes), v);
  }
};

// Raw scores become scale · score + mask.
template <class T, class V>
void mask_scores(const Problem &p, const Scores<V> &x, const gp_view *mask, int64_t b, int64_t h, WideOf<T> *s) {
  using W = WideOf<T>;
  const W scale = static_cast<W>(p.scale);
  for (int64_t c = 0; c < x.cols; c++) {
    W *row = s + c * p.lq;
    const int64_t q0 = x.first_lane(c);
    if (mask == nullptr) {
      for (int64_t q = q0; q < x.rows; q++) row[q] *= scale;
      continue;
    }
    const int64_t at = b * mask->stride[0] + h * mask->stride[1] + x.i * mask->stride[2] + (x.j + c) * mask->stride[3];
    const int64_t step = mask->stride[2];
    if (mask->dtype == GP_BOOL) {
      const uint8_t *m = data<uint8_t>(*mask) + at;
      for (int64_t q = q0; q < x.rows; q++) row[q] = m[q * step] ? row[q] * scale : -static_cast<W>(__builtin_inff());
    } else {
      const T *m = data<T>(*mask) + at;
      for (int64_t q = q0; q < x.rows; q++) row[q] = row[q] * scale + widen(m[q * step]);
    }
  }
}

// Elements of scratch that dropout needs.
size_t dropout_scratch(const Problem &p) { return p.p > 0 ? static_cast<size_t>(kBlock * (kBlock + p.lq)) : 0; }

// keep[key][query]: 1 / (1 - p) where the weight stays, else 0. `rows`: kBlock x kBlock of scratch.
template <class V, class W>
void draw_block(const Problem &p, const Scores<V> &x, int64_t b, int64_t h, W *rows, W *keep) {
  const uint32_t limit = chance(p.p);
  const W scale = static_cast<W>(1.0 / (1.0 - p.p));
  uint32_t numbers[2 * kPhilox];
  for (int64_t r = 0; r < x.rows; r++) {
    const uint64_t at = static_cast<uint64_t>(((b * p.heads + h) * p.t + x.i + r) * p.s + x.j);
    const int64_t skip = static_cast<int64_t>(at % 4);
    philox(numbers, p.state.seed, p.state.offset + at / 4);
    if (skip + x.cols > kPhilox) philox(numbers + kPhilox, p.state.seed, p.state.offset + at / 4 + kPhilox / 4);
    for (int64_t c = 0; c < x.cols; c++) rows[r * kBlock + c] = (numbers[skip + c] >> 8) < limit ? W(0) : scale;
  }
  pack_transposed(Matrix<const W>{rows, kBlock, 1}, x.rows, x.cols, keep, p.lq);
}

// Runs body(head, scratch of this thread) for each of `count` heads (or blocks of one) of `work` multiply-adds; small
// ones share a tile. With less scratch than the present threads need, one thread does it all.
template <class W, class F>
void with_scratch(int64_t count, int64_t work, const gp_call *call, size_t per_slot, const F &body) {
  W *base = static_cast<W *>(call->workspace);
  const bool enough = call->workspace_size >= per_slot * static_cast<size_t>(thread_count()) * sizeof(W);
  if (!enough) {
    for (int64_t i = 0; i < count; i++) body(i, base);
    return;
  }
  const int64_t grain = work < 16384 ? 16384 / (work + 1) + 1 : 1;
  auto run = [&](int64_t tile, int slot) {
    const int64_t end = least(count, (tile + 1) * grain);
    for (int64_t i = tile * grain; i < end; i++) body(i, base + static_cast<size_t>(slot) * per_slot);
  };
  tiles((count + grain - 1) / grain, run);
}

size_t wide_bytes(const gp_view &v) { return v.dtype == GP_F64 ? sizeof(double) : sizeof(float); }

}  // namespace
}  // namespace gp::GP_ISA
