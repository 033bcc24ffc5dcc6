// The transforms of Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
// 2015): a tile of 2 x 2 outputs of a 3 x 3 correlation with stride 1 costs sixteen products of channels instead of 36.
//
//   y  = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A        d: the 4 x 4 pixels that the tile sees, g: the kernel
//   dg = Gᵀ [ (A dy Aᵀ) ⊙ (Bᵀ d B) ] G
//
// Sixteen *points* stand for a tile: matrices [tiles, channels], so the sums over channels (for dg: over tiles) are
// matrix products. Vectors run along channels: a block of N channels of some image rows is turned once so that channels
// stand side by side ([position][N]), and what is ready leaves the same way. So every tile fills its vectors, however
// small the image.
#pragma once
#include "../gemm/epilogue.h"
#include "conv_frame.h"

namespace gp::GP_ISA {
namespace {

constexpr int kPoints = 16;

// Point e of tile t, channel c stands at e * step + t * row + c. Neither is a power of two: the points of a tile, and
// the tiles of a point, would evict each other.
struct Points {
  int64_t row, step;
  Points(int64_t tiles, int64_t width)
      : row(width % 256 == 0 ? width + 16 : width), step(ceil_div(tiles * row, 1024) * 1024 + 16) {}
  int64_t size() const { return kPoints * step; }
};

// The matrices of the formulas above, times a column of vectors.
template <class V>
GP_INLINE void input_step(const V d[4], V to[4]) {  // Bᵀ
  to[0] = d[0] - d[2];
  to[1] = d[1] + d[2];
  to[2] = d[2] - d[1];
  to[3] = d[1] - d[3];
}
template <class V>
GP_INLINE void spread_step(const V d[2], V to[4]) {  // A
  to[0] = d[0];
  to[1] = d[0] + d[1];
  to[2] = d[0] - d[1];
  to[3] = -d[1];
}
template <class V>
GP_INLINE void output_step(const V m[4], V to[2]) {  // Aᵀ
  to[0] = m[0] + m[1] + m[2];
  to[1] = m[1] - m[2] - m[3];
}
template <class V>
GP_INLINE void kernel_step(const V g[3], V to[4]) {  // G
  const V outer = g[0] + g[2];
  to[0] = g[0];
  to[1] = 0.5f * (outer + g[1]);
  to[2] = 0.5f * (outer - g[1]);
  to[3] = g[2];
}
template <class V>
GP_INLINE void gradient_step(const V m[4], V to[3]) {  // Gᵀ
  const V sum = 0.5f * (m[1] + m[2]);
  to[0] = m[0] + sum;
  to[1] = 0.5f * (m[1] - m[2]);
  to[2] = sum + m[3];
}

// step on the columns of the In x In block `d`, then on the rows of what that gave: Out x Out.
template <int In, int Out, class V, class Step>
GP_INLINE void both_ways(const V d[In][In], V to[Out][Out], const Step &step) {
  V half[Out][In];
#pragma GCC unroll 4
  for (int j = 0; j < In; j++) {
    V column[In], out[Out];
#pragma GCC unroll 4
    for (int i = 0; i < In; i++) column[i] = d[i][j];
    step(column, out);
#pragma GCC unroll 4
    for (int i = 0; i < Out; i++) half[i][j] = out[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < Out; i++) step(half[i], to[i]);
}

// ---- planes to points -----------------------------------------------------------------------------------------------

// An image as the tiles see it: tile (y, x) begins at pixel (2 y + first_y, 2 x + first_x); zero outside.
struct Pixels {
  int64_t height, width, first_y, first_x;
};

// K x K pixels (4: Bᵀ d B, 2: A d Aᵀ) of the tile rows [y0, y1) of one image become the points of tiles `tile`,
// `tile` + 1, .... `block` holds (rows seen * width + 1) * N floats, `at` K * K places per tile.
template <int K, class T>
void to_points(const Pixels &p, const T *planes, int64_t channels, int64_t y0, int64_t y1, int64_t across, int64_t tile,
               float *block, int32_t *at, const Points &points, float *to) {
  constexpr int N = Vec<float>::N;
  const int64_t top = max64(0, min64(p.height, 2 * y0 + p.first_y));
  const int64_t bottom = max64(top, min64(p.height, 2 * (y1 - 1) + p.first_y + K));
  int32_t *place = at;
  for (int64_t y = y0; y < y1; y++) {
    for (int64_t x = 0; x < across; x++) {
      for (int64_t i = 2 * y + p.first_y; i < 2 * y + p.first_y + K; i++) {
        for (int64_t j = 2 * x + p.first_x; j < 2 * x + p.first_x + K; j++) {
          const bool inside = i >= top && i < bottom && j >= 0 && j < p.width;
          *place++ = inside ? static_cast<int32_t>(((i - top) * p.width + j + 1) * N) : 0;
        }
      }
    }
  }
  const int64_t tiles = (y1 - y0) * across, plane = p.height * p.width;
  store(block, Vec<float>::V{});  // what all places outside the image share
  for (int64_t c = 0; c < channels; c += N) {
    pack_strip<float>(block + N, N, planes + c * plane + top * p.width, plane, 1, (bottom - top) * p.width,
                      static_cast<int>(min64(N, channels - c)));
    for (int64_t t = 0; t < tiles; t++) {
      const int32_t *from = at + t * K * K;
      VF d[K][K], e[4][4];
#pragma GCC unroll 16
      for (int i = 0; i < K * K; i++) d[i / K][i % K] = load(block + from[i]);
      if constexpr (K == 4) {
        both_ways<4, 4>(d, e, input_step<VF>);
      } else {
        both_ways<2, 4>(d, e, spread_step<VF>);
      }
      float *out = to + (tile + t) * points.row + c;
#pragma GCC unroll 16
      for (int i = 0; i < kPoints; i++) store(out + i * points.step, e[i / 4][i % 4]);
    }
  }
}

// ---- points to planes -----------------------------------------------------------------------------------------------

// to[i * plane + position] = block[position][i] for i < count. `block` may be read up to N positions further.
template <class T>
void spread(const float *block, int64_t positions, int count, T *to, int64_t plane) {
  constexpr int N = Vec<float>::N;
  for (int64_t p = 0; p < positions; p += N) {
    VF r[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; i++) r[i] = load(block + (p + i) * N);
    transpose_lanes<N>(r);
    const int lanes = clamp_lanes(positions - p, N);
#pragma GCC unroll 16
    for (int i = 0; i < N; i++)
      if (i < count) store_narrow<T>(to + i * plane + p, r[i], lanes);
  }
}

// The outputs of the tile rows [y0, y1) of one image, whose points begin with tile `tile`. `block`: 2 (y1 - y0) rows of
// out_w positions, and N more.
template <class T>
void from_points(const Points &points, const float *from, int64_t tile, int64_t y0, int64_t y1, int64_t out_h,
                 int64_t out_w, int64_t channels, const T *bias, float *block, T *planes) {
  constexpr int N = Vec<float>::N;
  const int64_t across = ceil_div(out_w, 2);
  for (int64_t c = 0; c < channels; c += N) {
    const int count = clamp_lanes(channels - c, N);
    const VF add = bias == nullptr ? VF{} : load_wide<float>(bias + c, count);
    const float *at = from + tile * points.row + c;
    for (int64_t y = 0; y < y1 - y0; y++) {
      float *row = block + 2 * y * out_w * N;
      for (int64_t x = 0; x < across; x++, at += points.row) {
        VF m[4][4], out[2][2];
#pragma GCC unroll 16
        for (int i = 0; i < kPoints; i++) m[i / 4][i % 4] = load(at + i * points.step);
        both_ways<4, 2>(m, out, output_step<VF>);
        float *to = row + 2 * x * N;
        store(to, out[0][0] + add);
        store(to + out_w * N, out[1][0] + add);
        if (2 * x + 1 == out_w) continue;
        store(to + N, out[0][1] + add);
        store(to + (out_w + 1) * N, out[1][1] + add);
      }
    }
    spread(block, (min64(out_h, 2 * y1) - 2 * y0) * out_w, count, planes + c * out_h * out_w + 2 * y0 * out_w,
           out_h * out_w);
  }
}

// ---- kernels --------------------------------------------------------------------------------------------------------

constexpr int kTaps = 9;

// Points of the kernels of N rows (the first is `weight`'s) and channel c, in to[e * step], e < 16.
template <class T>
GP_INLINE void kernel_points(const T *weight, int64_t row_stride, int count, bool turned, float *to, int64_t step) {
  constexpr int N = Vec<float>::N;
  alignas(64) float taps[kTaps * N];
  pack_strip<float>(taps, N, weight, row_stride, 1, kTaps, count);
  VF g[3][3], e[4][4];
#pragma GCC unroll 16
  for (int i = 0; i < kTaps; i++) g[i / 3][i % 3] = load(taps + (turned ? kTaps - 1 - i : i) * N);
  both_ways<3, 4>(g, e, kernel_step<VF>);
#pragma GCC unroll 16
  for (int i = 0; i < kPoints; i++) store(to + i * step, e[i / 4][i % 4]);
}

// The nine taps of N filters' gradient from `parts` sums of points, `part` apart, added in order.
GP_INLINE void kernel_gradient(const float *sums, int64_t step, int64_t parts, int64_t part, float *taps) {
  constexpr int N = Vec<float>::N;
  VF m[4][4], g[3][3];
#pragma GCC unroll 16
  for (int i = 0; i < kPoints; i++) {
    VF sum = load(sums + i * step);
    for (int64_t p = 1; p < parts; p++) sum = sum + load(sums + p * part + i * step);
    m[i / 4][i % 4] = sum;
  }
  both_ways<4, 3>(m, g, gradient_step<VF>);
#pragma GCC unroll 16
  for (int i = 0; i < kTaps; i++) store(taps + i * N, g[i / 3][i % 3]);
}

}  // namespace
}  // namespace gp::GP_ISA
