// The gradient of a weight with one filter per group (depthwise convolution): there are no filters to run the vectors
// along, so each tap sums x · dy in sixteen lanes of a row, added pairwise at the end: the same order for every vector
// length.
#pragma once
#include "conv_weight.h"

namespace gp::GP_ISA {
namespace {

constexpr int kRowLanes = 16, kTapBlock = 4;

struct DepthwisePlan {
  int64_t parts, frame;        // frame: elements of one image's channels of a group, lanes of its sums behind them
  size_t offsets, sums, slot;  // bytes
};

GP_INLINE DepthwisePlan depthwise_plan(const WeightGradient &c, int64_t sum_size) {
  DepthwisePlan p;
  p.parts = max64(1, min64(kParts, c.batch));
  p.frame = c.channels * c.frame.channel() + kFrameSlack;
  p.offsets = aligned(c.frame.taps() * 8);
  p.sums = aligned(p.parts * c.groups * c.rows() * sum_size);
  p.slot = aligned((p.frame + c.rows() * kRowLanes) * sum_size);
  return p;
}

GP_INLINE size_t depthwise_size(const WeightGradient &c, int64_t sum_size) {
  const DepthwisePlan p = depthwise_plan(c, sum_size);
  return p.offsets + p.sums + p.slot * static_cast<size_t>(thread_count());
}

// sums[tap][lane] += x · dy over one image, for `R` taps whose first elements are x[0 .. R).
template <int R, class T, class Sum>
GP_INLINE void add_taps(const Frame &f, const Sum *const *x, const T *dy, Sum *sums) {
  using V = typename Vec<Sum>::V;
  constexpr int N = Vec<Sum>::N, L = kRowLanes / N;
  V acc[R][L];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
    for (int l = 0; l < L; l++) acc[r][l] = load(sums + r * kRowLanes + l * N);
  }
  for (int64_t row = 0; row < f.y.out; row++, dy += f.x.out) {
    for (int64_t column = 0; column < f.x.out; column += kRowLanes) {
      const int64_t at = row * f.pitch + column;
#pragma GCC unroll 8
      for (int l = 0; l < L; l++) {
        const int lanes = clamp_lanes(f.x.out - column - l * N, N);
        if (lanes == 0) break;
        const V d = load_wide<Sum>(dy + column + l * N, lanes);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) acc[r][l] = fma(loadn(x[r] + at + l * N, lanes), d, acc[r][l]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
    for (int l = 0; l < L; l++) store(sums + r * kRowLanes + l * N, acc[r][l]);
  }
}

template <class T>
void depthwise_gradient(const WeightGradient &c, const T *x, const T *dy, T *dweight, char *workspace, size_t size) {
  using Sum = typename Wide<T>::type;
  const DepthwisePlan p = depthwise_plan(c, sizeof(Sum));
  int64_t *const offsets = reinterpret_cast<int64_t *>(workspace);
  Sum *const sums = reinterpret_cast<Sum *>(workspace + p.offsets);
  const int64_t taps = c.frame.taps(), rows = c.rows(), plane = c.frame.y.size * c.frame.x.size;
  for (int64_t t = 0; t < taps; t++) offsets[t] = c.frame.offset(t);
  const int64_t task_macs = max64(1, ceil_div(c.batch, p.parts) * rows * c.positions);
  const int64_t grain = max64(1, min64(kGradientMacs / 16 / task_macs, ceil_div(c.groups, 4)));
  const int64_t blocks = ceil_div(c.groups, grain);
  const bool alone = p.parts * c.groups * task_macs < kAloneMacs || depthwise_size(c, sizeof(Sum)) > size;
  share(alone, p.parts * blocks, [&](int64_t task, int slot) {
    const int64_t part = task / blocks, g0 = task % blocks * grain;
    Sum *const frame = reinterpret_cast<Sum *>(workspace + p.offsets + p.sums + p.slot * static_cast<size_t>(slot));
    Sum *const lanes = frame + p.frame;
    for (int64_t g = g0; g < min64(c.groups, g0 + grain); g++) {
      memset(lanes, 0, static_cast<size_t>(rows * kRowLanes) * sizeof(Sum));
      for (int64_t n = part * c.batch / p.parts; n < (part + 1) * c.batch / p.parts; n++) {
        for (int64_t channel = 0; channel < c.channels; channel++)
          fill_frame(c.frame, x + ((n * c.groups + g) * c.channels + channel) * plane,
                     frame + channel * c.frame.channel());
        const T *from = dy + (n * c.groups + g) * c.positions;
        for (int64_t row = 0; row < rows; row += kTapBlock) {
          const Sum *at[kTapBlock];
          const int64_t count = min64(kTapBlock, rows - row);
          for (int64_t r = 0; r < count; r++)
            at[r] = frame + (row + r) / taps * c.frame.channel() + offsets[(row + r) % taps];
          if (count == kTapBlock) {
            add_taps<kTapBlock>(c.frame, at, from, lanes + row * kRowLanes);
          } else {
            for (int64_t r = 0; r < count; r++) add_taps<1>(c.frame, at + r, from, lanes + (row + r) * kRowLanes);
          }
        }
      }
      for (int64_t row = 0; row < rows; row++) {
        Sum *l = lanes + row * kRowLanes;
        for (int half = kRowLanes / 2; half > 0; half /= 2)
          for (int i = 0; i < half; i++) l[i] += l[i + half];
        sums[(part * c.groups + g) * rows + row] = l[0];
      }
    }
  });
  for (int64_t i = 0; i < c.groups * rows; i++) {
    Sum sum = sums[i];
    for (int64_t part = 1; part < p.parts; part++) sum += sums[part * c.groups * rows + i];
    dweight[i] = narrow<T>(sum);
  }
}

}  // namespace
}  // namespace gp::GP_ISA
