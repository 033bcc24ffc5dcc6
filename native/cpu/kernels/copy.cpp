// Moving elements: cast, contiguous, copy_ . A floating value becomes an integer by truncation; NaN becomes 0 and what
// lies outside the integer's range becomes its nearest end. Integers wrap among themselves. To bool: x != 0.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

struct boolean {
  uint8_t value;
};

template <class I>
GP_FN I saturate(double v) {
  constexpr bool is_signed = I(-1) < I(0);
  constexpr double low = is_signed ? -static_cast<double>(uint64_t{1} << (sizeof(I) * 8 - 1)) : 0.0;
  constexpr double high = is_signed ? -low : 256.0;  // the first value that is too large; the only unsigned one is u8
  constexpr I greatest = static_cast<I>(is_signed ? (uint64_t{1} << (sizeof(I) * 8 - 1)) - 1 : 255);
  if (!(v > low)) return v != v ? I(0) : static_cast<I>(low);
  return v >= high ? greatest : static_cast<I>(v);
}

template <class D, class S>
struct To {  // from an integer or a floating type
  static GP_FN D f(S x) {
    if constexpr (is_float<S> && !is_float<D>)
      return saturate<D>(static_cast<double>(x));
    else
      return static_cast<D>(x);
  }
};
template <class S>
struct To<f16, S> {
  static GP_FN f16 f(S x) { return narrow_f16(static_cast<float>(x)); }
};
template <class S>
struct To<bf16, S> {
  static GP_FN bf16 f(S x) { return narrow_bf16(static_cast<float>(x)); }
};
template <class S>
struct To<boolean, S> {
  static GP_FN boolean f(S x) { return {static_cast<uint8_t>(x != S(0))}; }
};

template <class S>
GP_FN S opened(S x) {
  return x;
}
GP_FN float opened(f16 x) { return widen(x); }
GP_FN float opened(bf16 x) { return widen(x); }
GP_FN uint8_t opened(boolean x) { return x.value; }

template <class D, class S>
void cast_block(const PointwiseBlock &b) {
  using Open = decltype(opened(S{}));
  const S *x = static_cast<const S *>(b.x[0]);
  D *y = static_cast<D *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = To<D, Open>::f(opened(x[i]));
}

// float <-> half through the vector conversions
template <class D, class S>
void cast_wide(const PointwiseBlock &b) {
  const S *x = static_cast<const S *>(b.x[0]);
  D *y = static_cast<D *>(b.y);
  int64_t i = 0;
  for (; i + kLanes <= b.n; i += kLanes) store(y + i, load<VecF>(x + i));
  if (i < b.n) store_some(y + i, load_some<VecF>(x + i, b.n - i), b.n - i);
}

template <class U>
void copy_block(const PointwiseBlock &b) {
  memcpy(b.y, b.x[0], static_cast<size_t>(b.n) * sizeof(U));
}

template <class D>
BlockFn caster(int32_t from) {
  switch (from) {
    case GP_F32:
      return cast_block<D, float>;
    case GP_F64:
      return cast_block<D, double>;
    case GP_F16:
      return cast_block<D, f16>;
    case GP_BF16:
      return cast_block<D, bf16>;
    case GP_I64:
      return cast_block<D, int64_t>;
    case GP_I32:
      return cast_block<D, int32_t>;
    case GP_U8:
      return cast_block<D, uint8_t>;
    default:
      return cast_block<D, boolean>;
  }
}

BlockFn mover(int32_t to, int32_t from) {
  if (to == from) {
    switch (size_of(to)) {
      case 1:
        return copy_block<uint8_t>;
      case 2:
        return copy_block<uint16_t>;
      case 4:
        return copy_block<uint32_t>;
      default:
        return copy_block<uint64_t>;
    }
  }
  if (to == GP_F32 && from == GP_F16) return cast_wide<float, f16>;
  if (to == GP_F32 && from == GP_BF16) return cast_wide<float, bf16>;
  if (to == GP_F16 && from == GP_F32) return cast_wide<f16, float>;
  if (to == GP_BF16 && from == GP_F32) return cast_wide<bf16, float>;
  switch (to) {
    case GP_F32:
      return caster<float>(from);
    case GP_F64:
      return caster<double>(from);
    case GP_F16:
      return caster<f16>(from);
    case GP_BF16:
      return caster<bf16>(from);
    case GP_I64:
      return caster<int64_t>(from);
    case GP_I32:
      return caster<int32_t>(from);
    case GP_U8:
      return caster<uint8_t>(from);
    default:
      return caster<boolean>(from);
  }
}

// ---- transposition --------------------------------------------------------------------------------------------------

// y[i][j] = x[j * step + i] on tiles that stay in the first cache: both sides would otherwise miss on every element.
template <class U>
void transpose(void *to, const void *from, int64_t rows, int64_t columns, int64_t row_step, int64_t step) {
  constexpr int64_t kTile = 16;
  U *y = static_cast<U *>(to);
  const U *x = static_cast<const U *>(from);
  for (int64_t j0 = 0; j0 < columns; j0 += kTile) {
    const int64_t j1 = j0 + kTile < columns ? j0 + kTile : columns;
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = j0; j < j1; j++) y[i * row_step + j] = x[j * step + i];
  }
}

struct Layout {
  int ndim = 0;
  int64_t n = 1, shape[GP_MAX_DIMS], stride[GP_MAX_DIMS], target[GP_MAX_DIMS];
};

// Axes of size 1 dropped, axes merged that lie behind one another in x (y is contiguous); `target` are y's strides.
Layout layout_of(const gp_view &x) {
  Layout l;
  for (int d = 0; d < x.ndim; d++) {
    l.n *= x.shape[d];
    if (x.shape[d] == 1) continue;
    if (l.ndim > 0 && l.stride[l.ndim - 1] == x.stride[d] * x.shape[d]) {
      l.shape[l.ndim - 1] *= x.shape[d];
      l.stride[l.ndim - 1] = x.stride[d];
    } else {
      l.shape[l.ndim] = x.shape[d];
      l.stride[l.ndim++] = x.stride[d];
    }
  }
  int64_t step = 1;
  for (int d = l.ndim - 1; d >= 0; step *= l.shape[d--]) l.target[d] = step;
  return l;
}

// True when it did the work: the innermost axis jumps in x and another one is contiguous there.
bool copy_transposed(const gp_view &y, const gp_view &x) {
  const Layout l = layout_of(x);
  const int inner = l.ndim - 1;
  if (l.ndim < 2 || l.stride[inner] == 1 || l.shape[inner] < 8) return false;
  int row = -1;
  for (int d = 0; d < inner; d++)
    if (l.stride[d] == 1 && l.shape[d] >= 8) row = d;
  if (row < 0) return false;
  constexpr int64_t kRows = 64;
  const int64_t strips = (l.shape[row] + kRows - 1) / kRows, outer = l.n / (l.shape[row] * l.shape[inner]);
  const int size = size_of(x.dtype);
  auto strip = [&](int64_t tile, int) {
    int64_t from = 0, to = 0, rest = tile / strips;
    for (int d = inner - 1; d >= 0; d--) {
      if (d == row) continue;
      from += rest % l.shape[d] * l.stride[d];
      to += rest % l.shape[d] * l.target[d];
      rest /= l.shape[d];
    }
    const int64_t first = tile % strips * kRows;
    const int64_t rows = first + kRows < l.shape[row] ? kRows : l.shape[row] - first;
    char *t = static_cast<char *>(y.data) + (to + first * l.target[row]) * size;
    const char *f = static_cast<const char *>(x.data) + (from + first) * size;
    switch (size) {
      case 1:
        return transpose<uint8_t>(t, f, rows, l.shape[inner], l.target[row], l.stride[inner]);
      case 2:
        return transpose<uint16_t>(t, f, rows, l.shape[inner], l.target[row], l.stride[inner]);
      case 4:
        return transpose<uint32_t>(t, f, rows, l.shape[inner], l.target[row], l.stride[inner]);
      default:
        return transpose<uint64_t>(t, f, rows, l.shape[inner], l.target[row], l.stride[inner]);
    }
  };
  if (l.n < kSerial)
    for (int64_t i = 0; i < strips * outer; i++) strip(i, 0);
  else
    tiles(strips * outer, strip);
  return true;
}

// ---- kernels --------------------------------------------------------------------------------------------------------

int32_t move(const gp_call *c, const gp_view &y, const gp_view &x) {
  if (y.dtype == x.dtype && is_contiguous(y) && copy_transposed(y, x)) return GP_OK;
  const gp_view *inputs[] = {&x};
  return pointwise(c, mover(y.dtype, x.dtype), false, y, inputs, 1);
}
int32_t out_of_place(gp_context *, const gp_kernel *, const gp_call *c) { return move(c, out(c, 0), in(c, 0)); }
int32_t in_place(gp_context *, const gp_kernel *, const gp_call *c) { return move(c, in(c, 0), in(c, 1)); }

}  // namespace

GP_ROWS(copy) = {{"cast", "x -> y ; dtype", kAnyDtype, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, out_of_place},
                 {"contiguous", "x -> y", kAnyDtype, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, out_of_place},
                 {"copy_", "a b ->", kAnyDtype, GP_KERNEL_MUTATES | GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, in_place},
                 {}};

}  // namespace gp::GP_ISA
