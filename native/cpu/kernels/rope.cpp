// Rotary position embedding (Su et al., 2021): pairs of features are turned by an angle per position. cos and sin have
// the shape of x except for the last axis (one element per pair); broadcast axes have stride 0. Pair j is (j, j + R/2)
// ("half-split", GPT-NeoX, Llama) or (2j, 2j + 1) (interleaved, GPT-J); features from R on pass through.
#include "rows.h"

namespace gp::GP_ISA {
namespace {

struct Row {  // element strides of the last axis are given apart
  int64_t x, c, s;
};

GP_FN Row row_at(int64_t r, const gp_view &x, const gp_view &c, const gp_view &s) {
  Row at = {0, 0, 0};
  for (int i = x.ndim - 2; i >= 0; i--) {
    const int64_t j = r % x.shape[i];
    r /= x.shape[i];
    at.x += j * x.stride[i];
    at.c += j * c.stride[i];
    at.s += j * s.stride[i];
  }
  return at;
}

// (a, b) → (a cos - b sin, b cos + a sin); backwards with -sin.
template <class T>
GP_FN void rotate_halves(const T *x, const T *c, const T *s, T *y, int64_t pairs, WideOf<T> sign) {
  using V = Compute<T>;
  each_vector<V>(pairs, [&](int64_t i, int64_t k) {
    V a = get<V>(x + i, k), b = get<V>(x + i + pairs, k), cv = get<V>(c + i, k), sv = get<V>(s + i, k) * V(sign);
    put(y + i, fma_(a, cv, -(b * sv)), k);
    put(y + i + pairs, fma_(b, cv, a * sv), k);
  });
}

template <class T>
void rotate_strided(const T *x, const T *c, const T *s, T *y, int64_t pairs, WideOf<T> sign, bool interleaved,
                    int64_t dx, int64_t dc, int64_t ds) {
  using V = Vec<WideOf<T>, Compute<T>::lanes>;
  for (int64_t i = 0; i < pairs; i++) {
    const int64_t p = interleaved ? 2 * i : i, q = interleaved ? 2 * i + 1 : i + pairs;
    const V a(widen(x[p * dx])), b(widen(x[q * dx])), cv(widen(c[i * dc])), sv(widen(s[i * ds]) * sign);
    y[p] = narrow<T>(fma_(a, cv, -(b * sv)).v[0]);
    y[q] = narrow<T>(fma_(b, cv, a * sv).v[0]);
  }
}

template <bool Backward>
int32_t rope(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &x = in(call, 0), &c = in(call, 1), &s = in(call, 2), &y = out(call, 0);
  const bool interleaved = Attrs(call).flag();
  const int last = x.ndim - 1;
  const int64_t width = x.shape[last], pairs = c.shape[last], rows = width == 0 ? 0 : numel(x) / width;
  const int64_t dx = x.stride[last], dc = c.stride[last], ds = s.stride[last];
  const bool plain = !interleaved && dx == 1 && dc == 1 && ds == 1;
  GP_FLOATS(x.dtype, T, {
    const WideOf<T> sign = Backward ? -1 : 1;
    ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) {
        const Row at = row_at(r, x, c, s);
        const T *from = data<T>(x) + at.x, *cr = data<T>(c) + at.c, *sr = data<T>(s) + at.s;
        T *to = data<T>(y) + r * width;
        if (plain) {
          rotate_halves<T>(from, cr, sr, to, pairs, sign);
        } else {
          rotate_strided<T>(from, cr, sr, to, pairs, sign, interleaved, dx, dc, ds);
        }
        for (int64_t i = 2 * pairs; i < width; i++) to[i] = from[i * dx];
      }
    });
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(rope) = {
    {"rope", "x cos sin -> y ; interleaved", kFloats, GP_KERNEL_ANY_STRIDE, 0, nullptr, rope<false>},
    {"rope_backward", "dy cos sin -> dx ; interleaved", kFloats, GP_KERNEL_ANY_STRIDE, 0, nullptr, rope<true>},
    {},
};

}  // namespace gp::GP_ISA
