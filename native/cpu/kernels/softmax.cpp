// softmax and log_softmax along any axis, forward and backward. x is seen as [outer, n, inner]: with inner = 1 a row is
// contiguous and its sums run in virtual lanes (rows.h), else the lanes are neighbouring columns and sums ascend.
#include "rows.h"

namespace gp::GP_ISA {
namespace {

struct Axis {
  int64_t outer, n, inner;
};

Axis axis_of(const gp_call *call) {
  const gp_view &x = in(call, 0);
  int dim = static_cast<int>(Attrs(call).integer());
  Axis a = {1, x.ndim == 0 ? 1 : x.shape[dim], 1};
  for (int i = 0; i < dim; i++) a.outer *= x.shape[i];
  for (int i = dim + 1; i < x.ndim; i++) a.inner *= x.shape[i];
  return a;
}

template <bool Log, class T>
GP_FN void forward_row(const T *x, T *y, int64_t n) {
  using V = Compute<T>;
  const V m(row_max<V>(x, n));
  if constexpr (Log) {
    V l(log_one(row_sum<V>(n, [&](int64_t i, int64_t k) { return exp_(get<V>(x + i, k) - m); })));
    each_vector<V>(n, [&](int64_t i, int64_t k) { put(y + i, (get<V>(x + i, k) - m) - l, k); });
  } else if constexpr (sizeof(T) >= 4) {  // y holds the exponentials for a moment
    V s(row_sum<V>(n, [&](int64_t i, int64_t k) {
      V e = exp_(get<V>(x + i, k) - m);
      put(y + i, e, k);
      return e;
    }));
    V r = V(1) / s;
    each_vector<V>(n, [&](int64_t i, int64_t k) { put(y + i, get<V>(y + i, k) * r, k); });
  } else {  // half types would round them twice
    V r = V(1) / V(row_sum<V>(n, [&](int64_t i, int64_t k) { return exp_(get<V>(x + i, k) - m); }));
    each_vector<V>(n, [&](int64_t i, int64_t k) { put(y + i, exp_(get<V>(x + i, k) - m) * r, k); });
  }
}

// dx = y (dy - Σ dy y); of the logarithm: dx = dy - e^y Σ dy
template <bool Log, class T>
GP_FN void backward_row(const T *dy, const T *y, T *dx, int64_t n) {
  using V = Compute<T>;
  V s(row_sum<V>(n, [&](int64_t i, int64_t k) {
    V d = get<V>(dy + i, k);
    return Log ? d : d * get<V>(y + i, k);
  }));
  each_vector<V>(n, [&](int64_t i, int64_t k) {
    V d = get<V>(dy + i, k), p = get<V>(y + i, k);
    put(dx + i, Log ? fma_(-exp_(p), s, d) : p * (d - s), k);
  });
}

// k neighbouring columns, `step` elements from row to row.
template <bool Log, class T>
GP_FN void forward_columns(const T *x, T *y, int64_t n, int64_t step, int64_t k) {
  using V = Compute<T>;
  V m(-static_cast<typename V::Scalar>(__builtin_inff())), s(0);
  for (int64_t i = 0; i < n; i++) m = max_nan(m, get<V>(x + i * step, k));
  for (int64_t i = 0; i < n; i++) s = s + exp_(get<V>(x + i * step, k) - m);
  if constexpr (Log) {
    s = log_(s);
    for (int64_t i = 0; i < n; i++) put(y + i * step, (get<V>(x + i * step, k) - m) - s, k);
  } else {
    s = V(1) / s;
    for (int64_t i = 0; i < n; i++) put(y + i * step, exp_(get<V>(x + i * step, k) - m) * s, k);
  }
}

template <bool Log, class T>
GP_FN void backward_columns(const T *dy, const T *y, T *dx, int64_t n, int64_t step, int64_t k) {
  using V = Compute<T>;
  V s(0);
  for (int64_t i = 0; i < n; i++) {
    V d = get<V>(dy + i * step, k);
    s = s + (Log ? d : d * get<V>(y + i * step, k));
  }
  for (int64_t i = 0; i < n; i++) {
    V d = get<V>(dy + i * step, k), p = get<V>(y + i * step, k);
    put(dx + i * step, Log ? fma_(-exp_(p), s, d) : p * (d - s), k);
  }
}

// row(at) for every contiguous row, or columns(at, k) for every group of columns; `at` is its first element.
template <class V, class Row, class Columns>
GP_FN void over_axis(const Axis &a, const Row &row, const Columns &columns) {
  if (a.n == 0 || a.inner == 0) return;
  if (a.inner == 1) {
    ranges(a.outer, rows_per_tile(a.n), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) row(r * a.n);
    });
    return;
  }
  const int64_t groups = (a.inner + V::lanes - 1) / V::lanes;
  ranges(a.outer * groups, rows_per_tile(a.n * V::lanes), [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; g++) {
      int64_t j = g % groups * V::lanes, left = a.inner - j;
      columns(g / groups * a.n * a.inner + j, left < V::lanes ? left : static_cast<int64_t>(V::lanes));
    }
  });
}

template <bool Log>
int32_t forward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Axis a = axis_of(call);
  GP_FLOATS(in(call, 0).dtype, T, {
    const T *x = data<T>(in(call, 0));
    T *y = data<T>(out(call, 0));
    over_axis<Compute<T>>(
        a, [&](int64_t at) { forward_row<Log>(x + at, y + at, a.n); },
        [&](int64_t at, int64_t k) { forward_columns<Log>(x + at, y + at, a.n, a.inner, k); });
  });
  return GP_OK;
}

template <bool Log>
int32_t backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Axis a = axis_of(call);
  GP_FLOATS(in(call, 0).dtype, T, {
    const T *dy = data<T>(in(call, 0)), *y = data<T>(in(call, 1));
    T *dx = data<T>(out(call, 0));
    over_axis<Compute<T>>(
        a, [&](int64_t at) { backward_row<Log>(dy + at, y + at, dx + at, a.n); },
        [&](int64_t at, int64_t k) { backward_columns<Log>(dy + at, y + at, dx + at, a.n, a.inner, k); });
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(softmax) = {
    {"softmax", "x -> y ; dim", kFloats, 0, 0, nullptr, forward<false>},
    {"softmax_backward", "dy y -> dx ; dim", kFloats, 0, 0, nullptr, backward<false>},
    {"log_softmax", "x -> y ; dim", kFloats, 0, 0, nullptr, forward<true>},
    {"log_softmax_backward", "dy y -> dx ; dim", kFloats, 0, 0, nullptr, backward<true>},
    {},
};

}  // namespace gp::GP_ISA
