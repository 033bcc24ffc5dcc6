// The gradient of a small weight: of one filter per group (depthwise convolution), or of few channels (an image's
// first convolution). There is too little to run vectors along filters, so each tap sums x · dy in sixteen lanes of a
// row, added pairwise at the end: the same order for every vector length. dy is read where it stands.
#pragma once
#include "conv_weight.h"

namespace gp::GP_ISA {
namespace {

constexpr int kRowLanes = 16;
constexpr int64_t kLaneSums = 2048, kLaneColumns = 12;  // sums of a group at most, columns at least

// Vectors of sums in registers; a tile has `filters` x 3 of them, or one filter and four taps.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kLaneVectors = 24;
#else
constexpr int kLaneVectors = 12;
#endif
constexpr int kTapBlock = 3, kLoneTapBlock = 4;

// By the shape alone: the two ways add in different orders.
GP_INLINE bool runs_along_rows(const WeightGradient &c) {
  return c.filters == 1 || (c.filters * c.rows() <= kLaneSums && c.frame.x.out >= kLaneColumns);
}

struct LanesPlan {
  int64_t parts, frame;        // frame: elements of one image's channels of a group, lanes of its sums behind them
  size_t offsets, sums, slot;  // bytes
  size_t size(int threads) const { return offsets + sums + slot * static_cast<size_t>(threads); }
};

GP_INLINE LanesPlan lanes_plan(const WeightGradient &c, int64_t sum_size) {
  LanesPlan p;
  p.parts = max64(1, min64(kParts, c.batch));
  p.frame = c.channels * c.frame.channel() + kFrameSlack;
  p.offsets = aligned(c.frame.taps() * 8);
  p.sums = aligned(p.parts * c.groups * c.filters * c.rows() * sum_size);
  p.slot = aligned((p.frame + c.filters * c.rows() * kRowLanes) * sum_size);
  return p;
}

// Keeps what was loaded in its register; the compiler would rather load it again with every multiplication.
template <class V>
GP_INLINE void keep(V &v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#else
  asm("" : "+w"(v));
#endif
}

// sums[f * rows + r][lane] += x · dy over one image, for `F` filters (dy `positions` apart) and `R` taps whose first
// elements are x[0 .. R).
template <int R, int F, class T, class Sum>
__attribute__((noinline)) void add_taps(const Frame &f, const Sum *const *x, const T *dy, int64_t positions, Sum *sums,
                                        int64_t rows) {
  using V = typename Vec<Sum>::V;
  constexpr int N = Vec<Sum>::N, L = kRowLanes / N;
  V acc[F][R][L];
#pragma GCC unroll 8
  for (int i = 0; i < F; i++) {
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
      for (int l = 0; l < L; l++) acc[i][r][l] = load(sums + (i * rows + r) * kRowLanes + l * N);
    }
  }
  const Sum *from[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) from[r] = x[r];
  auto add = [&](int l, const T *p, int lanes) __attribute__((always_inline)) {
    V v[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) v[r] = lanes == N ? load(from[r] + l * N) : loadn(from[r] + l * N, lanes);
#pragma GCC unroll 8
    for (int i = 0; i < F; i++) {
      V d = load_wide<Sum>(p + i * positions + l * N, lanes);
      keep(d);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) acc[i][r][l] = fma(v[r], d, acc[i][r][l]);
    }
  };
  const int64_t whole = f.x.out / kRowLanes, gap = f.pitch - whole * kRowLanes, rest = f.x.out % kRowLanes;
  for (int64_t row = 0; row < f.y.out; row++) {
    for (int64_t k = 0; k < whole; k++) {
#pragma GCC unroll 8
      for (int l = 0; l < L; l++) add(l, dy, N);
      dy += kRowLanes;
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) from[r] += kRowLanes;
    }
#pragma GCC unroll 8
    for (int l = 0; l < L; l++) {
      const int lanes = clamp_lanes(rest - l * N, N);
      if (lanes > 0) add(l, dy, lanes);
    }
    dy += rest;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) from[r] += gap;
  }
#pragma GCC unroll 8
  for (int i = 0; i < F; i++) {
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
      for (int l = 0; l < L; l++) store(sums + (i * rows + r) * kRowLanes + l * N, acc[i][r][l]);
    }
  }
}

// All taps of filters [filter, filters) of one image, `F` at a time, the rest with fewer.
template <int F, class T, class Sum>
void add_filters(const WeightGradient &c, const int64_t *offsets, const Sum *frame, const T *dy, int64_t filter,
                 Sum *lanes) {
  constexpr int R = F == 1 ? kLoneTapBlock : kTapBlock;
  const int64_t rows = c.rows(), taps = c.frame.taps();
  for (; filter + F <= c.filters; filter += F) {
    const T *from = dy + filter * c.positions;
    for (int64_t row = 0; row < rows;) {
      const Sum *at[R];
      const int64_t count = min64(R, rows - row);
      for (int64_t r = 0; r < count; r++)
        at[r] = frame + (row + r) / taps * c.frame.channel() + offsets[(row + r) % taps];
      Sum *const to = lanes + (filter * rows + row) * kRowLanes;
      if (count == R) {
        add_taps<R, F>(c.frame, at, from, c.positions, to, rows);
        row += R;
      } else {
        add_taps<1, F>(c.frame, at, from, c.positions, to, rows);
        row++;
      }
    }
  }
  if constexpr (F > 1) add_filters<F / 2>(c, offsets, frame, dy, filter, lanes);
}

template <class T>
void lanes_gradient(const WeightGradient &c, const T *x, const T *dy, T *dweight, char *workspace, size_t size) {
  using Sum = typename Wide<T>::type;
  constexpr int kFit = kLaneVectors / kTapBlock * Vec<Sum>::N / kRowLanes;
  constexpr int F = kFit >= 8 ? 8 : kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  const LanesPlan p = lanes_plan(c, sizeof(Sum));
  int64_t *const offsets = reinterpret_cast<int64_t *>(workspace);
  Sum *const sums = reinterpret_cast<Sum *>(workspace + p.offsets);
  const int64_t taps = c.frame.taps(), rows = c.rows(), plane = c.frame.y.size * c.frame.x.size;
  const int64_t group = c.filters * rows, all = c.groups * group;  // elements of dweight
  for (int64_t t = 0; t < taps; t++) offsets[t] = c.frame.offset(t);
  const int64_t task_macs = max64(1, ceil_div(c.batch, p.parts) * group * c.positions);
  const int64_t grain = max64(1, min64(kGradientMacs / 16 / task_macs, ceil_div(c.groups, 4)));
  const int64_t blocks = ceil_div(c.groups, grain);
  const bool alone = p.parts * c.groups * task_macs < kAloneMacs || p.size(thread_count()) > size;
  share(alone, p.parts * blocks, [&](int64_t task, int slot) {
    const int64_t part = task / blocks, g0 = task % blocks * grain;
    Sum *const frame = reinterpret_cast<Sum *>(workspace + p.offsets + p.sums + p.slot * static_cast<size_t>(slot));
    Sum *const lanes = frame + p.frame;
    for (int64_t g = g0; g < min64(c.groups, g0 + grain); g++) {
      memset(lanes, 0, static_cast<size_t>(group * kRowLanes) * sizeof(Sum));
      for (int64_t n = part * c.batch / p.parts; n < (part + 1) * c.batch / p.parts; n++) {
        for (int64_t channel = 0; channel < c.channels; channel++)
          fill_frame(c.frame, x + ((n * c.groups + g) * c.channels + channel) * plane,
                     frame + channel * c.frame.channel());
        add_filters<F>(c, offsets, frame, dy + (n * c.groups + g) * c.filters * c.positions, 0, lanes);
      }
      for (int64_t i = 0; i < group; i++) {
        Sum *l = lanes + i * kRowLanes;
        for (int half = kRowLanes / 2; half > 0; half /= 2)
          for (int j = 0; j < half; j++) l[j] += l[j + half];
        sums[part * all + g * group + i] = l[0];
      }
    }
  });
  for (int64_t i = 0; i < all; i++) {
    Sum sum = sums[i];
    for (int64_t part = 1; part < p.parts; part++) sum += sums[part * all + i];
    dweight[i] = narrow<T>(sum);
  }
}

}  // namespace
}  // namespace gp::GP_ISA
