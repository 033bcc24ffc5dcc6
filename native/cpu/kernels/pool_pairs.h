// Windows of 2 x 2 with stride 2 that all lie inside the image, in whole vectors: rows are read once and parted into
// their even and odd columns. No two windows meet, so a gradient is written, not added, and nothing is zeroed first.
#pragma once
#include <utility>

#include "../simd/vec.h"

namespace gp::GP_ISA {
namespace {

struct Pool {
  int64_t planes, height, width, out_h, out_w;
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  bool count_padding;

  // From the shapes alone: the gradient of max pooling knows nothing else.
  bool halves() const { return height / 2 == out_h && width / 2 == out_w; }
  bool pairs() const {
    bool all = halves();
    for (int i = 0; i < 2; i++) all = all && kernel[i] == 2 && stride[i] == 2 && padding[i] == 0 && dilation[i] == 1;
    return all;
  }
};

template <class V, class T>
GP_FN V up_to(const T *p, int64_t n) {
  return n >= V::lanes ? load<V>(p) : n > 0 ? load_some<V>(p, n) : V(0);
}
template <class T, class V>
GP_FN void store_up_to(T *p, V v, int64_t n) {
  if (n >= V::lanes) {
    store(p, v);
  } else if (n > 0) {
    store_some(p, v, n);
  }
}
template <int First, class V, size_t... I>
GP_FN V every_second(V a, V b, std::index_sequence<I...>) {
  return V::of(__builtin_shufflevector(a.v, b.v, (2 * static_cast<int>(I) + First)...));
}
// Lanes a0 b0 a1 b1 ... from a's lane `First` on.
template <int First, class V, size_t... I>
GP_FN V interleaved(V a, V b, std::index_sequence<I...>) {
  return V::of(__builtin_shufflevector(
      a.v, b.v, (First + static_cast<int>(I) / 2 + static_cast<int>(I) % 2 * static_cast<int>(sizeof...(I)))...));
}
template <class T, size_t... I>
GP_FN typename Compute<T>::Int counting(std::index_sequence<I...>) {
  using Int = typename Compute<T>::Int;
  return Int::of(typename Int::Raw{static_cast<typename Int::Scalar>(I)...});
}

// Up to a vector of neighbouring windows: each element of the kernel is loaded for all of them and compared in whole
// vectors, in the window's order; the first of equals wins, a NaN wins over everything.
template <class T>
struct Maxima {
  using V = Compute<T>;
  using I = typename V::Int;
  using S = typename V::Scalar;
  using Lanes = std::make_index_sequence<V::lanes>;
  V highest;
  I best, corner;  // positions in the plane

  GP_FN void take(V v, int64_t offset) {
    const auto m = (v > highest) | (v != v);
    highest = select(m, v, highest);
    best = select(typename I::M{m.v}, corner + I(static_cast<typename I::Scalar>(offset)), best);
  }
  GP_FN void put(int64_t count, T *y, int32_t *indices) const {
    store_up_to(y, highest, count);
    if constexpr (sizeof(typename I::Scalar) == sizeof(int32_t)) {
      store_up_to(indices, best, count);
    } else {
      typename I::Scalar wide[V::lanes];
      store(wide, best);
      for (int64_t c = 0; c < count; c++) indices[c] = static_cast<int32_t>(wide[c]);
    }
  }
};

// 2 * count elements of a row in two vectors.
template <class T>
struct Columns {
  using V = Compute<T>;
  using Lanes = std::make_index_sequence<V::lanes>;
  V even, odd;

  static GP_FN Columns from(const T *row, int64_t count) {
    const V a = up_to<V>(row, 2 * count), b = up_to<V>(row + V::lanes, 2 * count - V::lanes);
    return {every_second<0>(a, b, Lanes{}), every_second<1>(a, b, Lanes{})};
  }
  GP_FN void put(T *row, int64_t count) const {
    store_up_to(row, interleaved<0>(even, odd, Lanes{}), 2 * count);
    store_up_to(row + V::lanes, interleaved<V::lanes / 2>(even, odd, Lanes{}), 2 * count - V::lanes);
  }
};

// body(position of the first window in the pooled plane, in the image, windows) for every run of up to a vector.
template <class T, class F>
GP_FN void each_run(const Pool &p, const F &body) {
  constexpr int64_t N = Compute<T>::lanes;
  for (int64_t oy = 0; oy < p.out_h; oy++)
    for (int64_t ox = 0; ox < p.out_w; ox += N)
      body(oy * p.out_w + ox, 2 * (oy * p.width + ox), p.out_w - ox < N ? p.out_w - ox : N);
}

// What the windows leave out of an image with odd sides.
template <class T>
GP_FN void clear_edges(const Pool &p, T *dx) {
  if (p.width % 2 != 0)
    for (int64_t y = 0; y < p.height; y++) dx[y * p.width + p.width - 1] = narrow<T>(0);
  if (p.height % 2 != 0)
    for (int64_t x = 0; x < p.width; x++) dx[(p.height - 1) * p.width + x] = narrow<T>(0);
}

template <class T>
void max_pairs(const Pool &p, const T *x, T *y, int32_t *indices) {
  using M = Maxima<T>;
  using I = typename M::I;
  const I steps = counting<T>(typename M::Lanes{}) * I(2);
  each_run<T>(p, [&](int64_t o, int64_t at, int64_t count) {
    const Columns<T> top = Columns<T>::from(x + at, count), bottom = Columns<T>::from(x + at + p.width, count);
    M m;
    m.highest = top.even;
    m.best = m.corner = I(static_cast<typename I::Scalar>(at)) + steps;
    m.take(top.odd, 1);
    m.take(bottom.even, p.width);
    m.take(bottom.odd, p.width + 1);
    m.put(count, y + o, indices + o);
  });
}

// False if an index lies outside its window of 2 x 2; dx is unfinished then. Of larger windows the first row tells.
template <class T>
bool max_pairs_backward(const Pool &p, const T *dy, const int32_t *indices, T *dx) {
  using V = Compute<T>;
  using I = typename V::Int;
  using At = typename I::Scalar;
  using Lanes = std::make_index_sequence<V::lanes>;
  const I steps = counting<T>(Lanes{}) * I(2), right(1), below(static_cast<At>(p.width)),
          across(static_cast<At>(p.width + 1));
  bool inside = true;
  each_run<T>(p, [&](int64_t o, int64_t at, int64_t count) {
    if (!inside) return;
    I index;
    if constexpr (sizeof(At) == sizeof(int32_t)) {
      index = up_to<I>(indices + o, count);
    } else {
      At wide[V::lanes] = {};
      for (int64_t c = 0; c < count; c++) wide[c] = indices[o + c];
      index = load<I>(wide);
    }
    const I place = index - (I(static_cast<At>(at)) + steps);
    const V d = up_to<V>(dy + o, count) + V(0);  // as added to zero: -0 becomes 0
    const auto a = place == I(0), b = place == right, c = place == below, e = place == across;
    inside = !any((!(a | b | c | e)) & (counting<T>(Lanes{}) < I(static_cast<At>(count))));
    Columns<T>{mask_bits(typename V::M{a.v}, d), mask_bits(typename V::M{b.v}, d)}.put(dx + at, count);
    Columns<T>{mask_bits(typename V::M{c.v}, d), mask_bits(typename V::M{e.v}, d)}.put(dx + at + p.width, count);
  });
  clear_edges(p, dx);
  return inside;
}

template <class T>
void average_pairs(const Pool &p, const T *x, T *y) {
  using V = Compute<T>;
  each_run<T>(p, [&](int64_t o, int64_t at, int64_t count) {
    const Columns<T> top = Columns<T>::from(x + at, count), bottom = Columns<T>::from(x + at + p.width, count);
    store_up_to(y + o, (V(0) + top.even + top.odd + bottom.even + bottom.odd) / V(4), count);
  });
}

template <class T>
void average_pairs_backward(const Pool &p, const T *dy, T *dx) {
  using V = Compute<T>;
  each_run<T>(p, [&](int64_t o, int64_t at, int64_t count) {
    const V share = V(0) + up_to<V>(dy + o, count) / V(4);
    const Columns<T> both{share, share};
    both.put(dx + at, count);
    both.put(dx + at + p.width, count);
  });
  clear_edges(p, dx);
}

}  // namespace
}  // namespace gp::GP_ISA
