// Correlations on lattices, the one form that convolution, its input gradient and transposed convolution share:
//
//   out[n, r, i, j] = Σ over c, t of A[r, c, t] · image[n, c, i · step + y(t), j · step + x(t)], zero outside the image
//
// A frame is an image copied once with its zeros around it, cut into `step` phases along each axis: position (i, j) of
// the lattice becomes q = i · pitch + j, and every tap one offset from q. So vectors of lattice positions are loaded
// where they stand; what lies between the rows is computed too and dropped when it is stored.
#pragma once
#include <utility>

#include "../gemm/pack.h"

namespace gp::GP_ISA {
namespace {

GP_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
GP_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
GP_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
GP_INLINE int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
GP_INLINE size_t aligned(int64_t bytes) { return (static_cast<size_t>(bytes) + 63) / 64 * 64; }
GP_INLINE int64_t gcd(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

// Tap m (of `taps`) sees the image at i * step + first + m * delta, and stands at kernel_first + m * kernel_step in the
// kernel.
struct Axis {
  int64_t out, size, taps, step, first, delta, kernel_first, kernel_step;

  // Taps whose places differ by a multiple of step share a phase; they recur with this period.
  int64_t period() const { return step / gcd(delta < 0 ? -delta : delta, step); }
  int64_t phases() const { return min64(period(), taps); }
  int64_t place(int64_t tap) const { return floor_div(first + tap * delta, step); }
  int64_t residue(int64_t phase) const { return first + phase * delta - place(phase) * step; }
  int64_t low() const { return min64(place(0), place(taps - 1)); }
  int64_t high() const { return max64(place(0), place(taps - 1)); }
};

// Forward along one axis: image = x.
GP_INLINE Axis correlation_axis(int64_t out, int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                                int64_t dilation) {
  return Axis{out, size, kernel, stride, -padding, dilation, 0, 1};
}

// Turned around: positions phase, phase + stride, ... of x from image = y. `taps` may be 0.
GP_INLINE Axis transposed_axis(int64_t x_size, int64_t y_size, int64_t kernel, int64_t stride, int64_t padding,
                               int64_t dilation, int64_t phase) {
  const int64_t period = stride / gcd(dilation, stride);
  int64_t k = 0;
  while (k < period && k < kernel && (phase + padding - k * dilation) % stride != 0) k++;
  const bool any = k < period && k < kernel;
  return Axis{x_size > phase ? ceil_div(x_size - phase, stride) : 0,
              y_size,
              any ? ceil_div(kernel - k, period) : 0,
              1,
              any ? (phase + padding - k * dilation) / stride : 0,
              -(period * dilation / stride),
              k,
              period};
}

struct Frame {
  Axis y, x;
  int64_t low;                               // of y: the image row of the frame's first one, in steps
  int64_t lead, pitch, rows, plane, phases;  // elements; plane: of one phase

  int64_t taps() const { return y.taps * x.taps; }
  int64_t channel() const { return phases * plane; }
  // Nothing to cut and no zeros: an image is its own frame.
  bool is_image() const {
    return y.step == 1 && x.step == 1 && low == 0 && lead == 0 && pitch == x.size && rows <= y.size;
  }
  int64_t last() const { return y.out == 0 || x.out == 0 ? 0 : (y.out - 1) * pitch + x.out; }  // q runs below this
  int64_t offset(int64_t tap) const {
    const int64_t ty = tap / x.taps, tx = tap % x.taps;
    return (ty % y.phases() * x.phases() + tx % x.phases()) * plane + (y.place(ty) - low) * pitch + x.place(tx) + lead;
  }
};

// Steps that the frame must reach beyond a lattice of `out` positions: all taps of one or several correlations.
struct Reach {
  int64_t out, low, high;
  void add(const Axis &axis) {
    out = max64(out, axis.out);
    if (axis.taps == 0) return;
    low = min64(low, axis.low());
    high = max64(high, axis.high());
  }
};
constexpr Reach kNoReach = {0, INT64_MAX, INT64_MIN};

// One row's zeros on the right are the next one's on the left where the image is not cut into phases.
GP_INLINE Frame frame_of(const Axis &y, const Axis &x, Reach ry, Reach rx) {
  Frame f;
  f.y = y;
  f.x = x;
  ry.add(y);
  rx.add(x);
  if (y.taps == 0 || x.taps == 0) {
    f.low = f.lead = f.pitch = f.rows = f.plane = f.phases = 0;
    return f;
  }
  const int64_t reach = rx.out + rx.high;  // columns [low, reach)
  const bool shared = x.step == 1 && rx.low <= 0;
  f.lead = shared ? max64(-rx.low, max64(0, reach - x.size)) : -rx.low;
  f.pitch = shared ? max64(rx.out, f.lead + max64(0, min64(x.size, reach))) : reach - rx.low;
  f.low = ry.low;
  f.rows = ry.out + ry.high - ry.low;
  f.plane = f.rows * f.pitch + (shared ? f.lead : 0);
  f.phases = y.phases() * x.phases();
  return f;
}

// Elements that a vector may read behind the last plane.
constexpr int64_t kFrameSlack = 160;

template <class D, class S>
GP_INLINE void copy_wide(D *to, const S *from, int64_t count) {
  constexpr int N = Vec<D>::N;
  int64_t i = 0;
  for (; i + N <= count; i += N) store(to + i, load_wide<D>(from + i, N));
  if (i < count) storen(to + i, load_wide<D>(from + i, static_cast<int>(count - i)), static_cast<int>(count - i));
}

template <int First, class V, size_t... I>
GP_INLINE V every_other(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (2 * static_cast<int>(I) + First)...);
}
// even[k] = from[2 * k] for k < evens, odd[k] = from[2 * k + 1] for k < odds; nothing behind the last of them is read.
template <class D, class S>
GP_INLINE void part_columns(D *even, int64_t evens, D *odd, int64_t odds, const S *from) {
  constexpr int N = Vec<D>::N;
  const auto lanes = std::make_index_sequence<N>{};
  const int64_t size = max64(2 * evens - 1, 2 * odds);
  for (int64_t i = 0; 2 * i < size; i += N) {
    const int64_t room = size - 2 * i;
    typename Vec<D>::V a = load_wide<D>(from + 2 * i, clamp_lanes(room, N)), b = {};
    if (room > N) b = load_wide<D>(from + 2 * i + N, clamp_lanes(room - N, N));
    if (i < evens) storen(even + i, every_other<0>(a, b, lanes), clamp_lanes(evens - i, N));
    if (i < odds) storen(odd + i, every_other<1>(a, b, lanes), clamp_lanes(odds - i, N));
  }
}

// Rows [first, end) of all phases of one channel: `image` is its [size of y, size of x].
template <class D, class S>
void fill_frame(const Frame &f, const S *image, D *to, int64_t first, int64_t end_row) {
  const int64_t across = f.x.phases(), step = f.x.step, down = f.phases / across;
  // one row's zeros on the right may be the next one's lead
  const int64_t cleared = min64(f.plane, end_row * f.pitch + max64(0, f.lead)) - first * f.pitch;
  for (int64_t phase = 0; phase < f.phases; phase++)
    memset(to + phase * f.plane + first * f.pitch, 0, static_cast<size_t>(cleared) * sizeof(D));
  // image columns rx + (k - lead) * step for k in [begin, end); rows ry + (k + low) * step for k in [top, bottom)
  const int64_t begin = min64(f.pitch, max64(0, f.lead)), skip = (begin - f.lead) * step;
  auto count = [&](int64_t rx) {
    return max64(0, min64(f.pitch, f.lead + (f.x.size > rx ? ceil_div(f.x.size - rx, step) : 0)) - begin);
  };
  for (int64_t py = 0; py < down; py++) {
    const int64_t ry = f.y.residue(py);
    const int64_t top = min64(end_row, max64(first, -f.low));
    const int64_t bottom = min64(end_row, (f.y.size > ry ? ceil_div(f.y.size - ry, f.y.step) : 0) - f.low);
    const S *from = image + ((top + f.low) * f.y.step + ry) * f.x.size + skip;
    D *const planes = to + py * across * f.plane + begin;
    if (step == 2) {
      const int64_t rx = f.x.residue(0);
      D *const even = planes + (rx == 0 ? 0 : f.plane), *const odd = planes + (rx == 0 ? f.plane : 0);
      const int64_t evens = rx == 0 || across == 2 ? count(0) : 0, odds = rx == 1 || across == 2 ? count(1) : 0;
      for (int64_t row = top; row < bottom; row++, from += f.y.step * f.x.size)
        part_columns(even + row * f.pitch, evens, odd + row * f.pitch, odds, from);
      continue;
    }
    for (int64_t px = 0; px < across; px++) {
      const int64_t rx = f.x.residue(px), columns = count(rx);
      const S *p = from + rx;
      for (int64_t row = top; row < bottom; row++, p += f.y.step * f.x.size) {
        D *const put = planes + px * f.plane + row * f.pitch;
        if (step == 1) {
          copy_wide(put, p, columns);
        } else {
          for (int64_t k = 0; k < columns; k++) put[k] = static_cast<D>(widen(p[k * step]));
        }
      }
    }
  }
}

// What fill_frame will read of another channel.
template <class S>
GP_INLINE void prefetch_frame(const Frame &f, const S *image, int64_t first, int64_t end_row) {
  const int64_t top = max64(0, (first + f.low) * f.y.step), bottom = min64(f.y.size, (end_row + f.low) * f.y.step);
  const char *line = reinterpret_cast<const char *>(image + top * f.x.size);
  for (int64_t left = (bottom - top) * f.x.size * static_cast<int64_t>(sizeof(S)); left > 0; left -= 64, line += 64)
    __builtin_prefetch(line);
}

template <class D, class S>
GP_INLINE void fill_frame(const Frame &f, const S *image, D *to) {
  fill_frame(f, image, to, 0, f.rows);
}

}  // namespace
}  // namespace gp::GP_ISA
