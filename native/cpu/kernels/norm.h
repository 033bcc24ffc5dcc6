// layer_norm (Centered) and rms_norm over the last axes, seen as [rows, n]. Mean, variance and all sums are wide.
//
// Backward: rows are cut into chunks, at most 64, that depend on the shape alone; each chunk sums its share of dweight
// and dbias, and a second pass adds the chunks in ascending order, so the bits depend on no thread count. An output
// that nobody wants is empty (numel 0) and is not computed.
#pragma once
#include "rows.h"

namespace gp::GP_ISA {
namespace {

struct NormShape {
  int64_t rows, n;
};

// `stat` has one element per row.
NormShape norm_shape(const gp_view &x, const gp_view &stat) {
  const int64_t rows = numel(stat);
  return {rows, rows == 0 ? 0 : numel(x) / rows};
}

template <bool Centered, class T>
void norm_forward(const gp_call *call, double eps) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const gp_view &stat = out(call, 1);
  const NormShape s = norm_shape(in(call, 0), stat);
  const T *x = data<T>(in(call, 0));
  const T *weight = has(call, 1) ? data<T>(in(call, 1)) : nullptr;
  const T *bias = Centered && has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  T *y = data<T>(out(call, 0));
  W *mean = Centered ? data<W>(out(call, 1)) : nullptr, *rstd = data<W>(out(call, Centered ? 2 : 1));
  ranges(s.rows, rows_per_tile(s.n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const T *xr = x + r * s.n;
      T *yr = y + r * s.n;
      const W count = static_cast<W>(s.n);
      V mu(0);
      if constexpr (Centered) {
        mu = V(row_sum<V>(s.n, [&](int64_t i, int64_t k) { return get<V>(xr + i, k); }) / count);
        mean[r] = mu.v[0];
      }
      const W square = row_sum<V>(s.n, [&](int64_t i, int64_t k) {
        V d = get<V>(xr + i, k) - mu;
        return d * d;
      });
      const V rs = V(1) / sqrt_(V(square / count + static_cast<W>(eps)));
      rstd[r] = rs.v[0];
      each_vector<V>(
          s.n, [&](int64_t i, int64_t k) __attribute__((always_inline)) {
            V v = (get<V>(xr + i, k) - mu) * rs;
            if (weight != nullptr)
              v = bias != nullptr ? fma_(v, get<V>(weight + i, k), get<V>(bias + i, k)) : v * get<V>(weight + i, k);
            else if (bias != nullptr)
              v = v + get<V>(bias + i, k);
            put(yr + i, v, k);
          });
    }
  });
}

// Chunks of some four thousand elements: fewer cost more to share out than to compute.
GP_FN int64_t norm_chunks(const NormShape &s) {
  const int64_t most = s.rows < 64 ? s.rows : 64, chunks = (s.rows * s.n + 4095) / 4096;
  return chunks < 1 ? (most < 1 ? most : 1) : chunks < most ? chunks : most;
}

size_t norm_workspace(const gp_view &x, const gp_view &stat, int sums) {
  const NormShape s = norm_shape(x, stat);
  return static_cast<size_t>(norm_chunks(s) * s.n * sums) * (x.dtype == GP_F64 ? sizeof(double) : sizeof(float));
}

// sums[0 … n): dweight, [n … 2n): dbias, of the rows [begin, end).
template <bool Centered, class T>
GP_FN void norm_backward_rows(const T *dy, const T *x, const T *weight, const WideOf<T> *mean, const WideOf<T> *rstd,
                              T *dx, WideOf<T> *dweight, WideOf<T> *dbias, int64_t n, int64_t begin, int64_t end) {
  using V = Compute<T>;
  using W = WideOf<T>;
  if (dweight != nullptr) memset(dweight, 0, static_cast<size_t>(n) * sizeof(W));
  if (dbias != nullptr) memset(dbias, 0, static_cast<size_t>(n) * sizeof(W));
  for (int64_t r = begin; r < end; r++) {
    const T *d = dy + r * n, *xr = x + r * n;
    const V mu(Centered ? mean[r] : W(0)), rs(rstd[r]);
    auto scaled = [&](int64_t i, int64_t k) __attribute__((always_inline)) {
      V g = get<V>(d + i, k);
      return weight == nullptr ? g : g * get<V>(weight + i, k);
    };
    auto hat = [&](int64_t i, int64_t k) __attribute__((always_inline)) { return (get<V>(xr + i, k) - mu) * rs; };
    if (dx != nullptr) {
      const V inverse(W(1) / static_cast<W>(n));
      V a(0);
      if (Centered) a = V(row_sum<V>(n, scaled)) * inverse;
      const V b = V(row_sum<V>(n, [&](int64_t i, int64_t k) { return scaled(i, k) * hat(i, k); })) * inverse;
      T *to = dx + r * n;
      each_vector<V>(
          n, [&](int64_t i, int64_t k)
                 __attribute__((always_inline)) { put(to + i, (scaled(i, k) - a - hat(i, k) * b) * rs, k); });
    }
    if (dweight != nullptr) {
      each_vector<V>(
          n, [&](int64_t i, int64_t k) __attribute__((always_inline)) {
            put(dweight + i, fma_(get<V>(d + i, k), hat(i, k), get<V>(dweight + i, k)), k);
          });
    }
    if (dbias != nullptr) {
      each_vector<V>(
          n, [&](int64_t i, int64_t k)
                 __attribute__((always_inline)) { put(dbias + i, get<V>(dbias + i, k) + get<V>(d + i, k), k); });
    }
  }
}

// to[i] = Σ over chunks of sums[chunk][i]
template <class T>
void add_chunks(const WideOf<T> *sums, int64_t chunks, int64_t stride, int64_t n, T *to) {
  using V = Compute<T>;
  ranges(n, 1024, [&](int64_t begin, int64_t end) {
    each_vector<V>(end - begin, [&](int64_t i, int64_t k) {
      V s(0);
      for (int64_t c = 0; c < chunks; c++) s = s + get<V>(sums + c * stride + begin + i, k);
      put(to + begin + i, s, k);
    });
  });
}

// Inputs dy x weight? then the statistics; outputs dx dweight (dbias).
template <bool Centered, class T>
void norm_backward(const gp_call *call) {
  using W = WideOf<T>;
  const NormShape s = norm_shape(in(call, 1), in(call, 3));
  const T *dy = data<T>(in(call, 0)), *x = data<T>(in(call, 1)),
          *weight = has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  const W *mean = Centered ? data<W>(in(call, 3)) : nullptr, *rstd = data<W>(in(call, Centered ? 4 : 3));
  T *dx = numel(out(call, 0)) > 0 ? data<T>(out(call, 0)) : nullptr;
  T *dweight = numel(out(call, 1)) > 0 ? data<T>(out(call, 1)) : nullptr;
  T *dbias = Centered && numel(out(call, 2)) > 0 ? data<T>(out(call, 2)) : nullptr;
  const int64_t chunks = norm_chunks(s), stride = s.n * (Centered ? 2 : 1);
  W *sums = static_cast<W *>(call->workspace);
  auto body = [&](int64_t c, int) {
    W *own = sums + c * stride;
    norm_backward_rows<Centered, T>(dy, x, weight, mean, rstd, dx, dweight == nullptr ? nullptr : own,
                                    dbias == nullptr ? nullptr : own + s.n, s.n, s.rows * c / chunks,
                                    s.rows * (c + 1) / chunks);
  };
  tiles(chunks, body);
  if (dweight != nullptr) add_chunks<T>(sums, chunks, stride, s.n, dweight);
  if (dbias != nullptr) add_chunks<T>(sums + s.n, chunks, stride, s.n, dbias);
}

}  // namespace
}  // namespace gp::GP_ISA
