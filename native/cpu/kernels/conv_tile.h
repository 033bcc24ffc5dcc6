// The register tiles of the correlations (conv_frame.h). Every element is one chain of fused multiply-adds: over
// (channel, tap) in a correlation, over (image, row, column) in a weight's gradient. So tiles and threads leave no
// trace.
#pragma once
#include "conv_frame.h"

namespace gp::GP_ISA {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kConvRows = 12;  // 12 x 2 accumulators of 32 registers
constexpr int max_vectors(int rows) { return rows <= 2 ? 8 : rows <= 4 ? 6 : rows <= 6 ? 4 : rows <= 8 ? 3 : 2; }
#else
constexpr int kConvRows = 6;  // of 16
constexpr int max_vectors(int rows) { return rows == 1 ? 6 : rows == 2 ? 4 : rows == 3 ? 3 : 2; }
#endif

template <class Sum>
struct CorrelateJob {
  const Sum *a;      // [channels, taps, rows]
  const Sum *image;  // at the tile's first position
  const int64_t *offsets;
  int64_t channels, channel_stride, taps;
  Sum *out;     // [rows, vectors * lanes], aligned
  bool resume;  // goes on from what `out` holds
};

template <class Sum, int MR, int NV>
__attribute__((noinline)) void correlate(const CorrelateJob<Sum> *job) {
  using V = typename Vec<Sum>::V;
  constexpr int N = Vec<Sum>::N;
  V acc[MR][NV];
  Sum *const out = job->out;
  if (job->resume) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; j++) acc[i][j] = load(out + (i * NV + j) * N);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; j++) acc[i][j] = V{};
    }
  }
  const Sum *a = job->a, *image = job->image;
  const int64_t taps = job->taps;
  const int64_t *const offsets = job->offsets;
  for (int64_t c = job->channels; c > 0; c--, image += job->channel_stride) {
    for (int64_t t = 0; t < taps; t++, a += MR) {
      const Sum *b = image + offsets[t];
      V bv[NV];
#pragma GCC unroll 8
      for (int j = 0; j < NV; j++) bv[j] = load(b + j * N);
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) {
        const V av = broadcast(a + i);
#pragma GCC unroll 8
        for (int j = 0; j < NV; j++) acc[i][j] = fma(av, bv[j], acc[i][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) store(out + (i * NV + j) * N, acc[i][j]);
  }
}

template <class Sum>
struct GradientJob {
  const Sum *x[kConvRows];  // each row's place in the first frame
  const Sum *dy;            // [images, out rows, out columns, vectors * lanes]
  Sum *sums;                // [rows, vectors * lanes]: added to
  int64_t images, image_stride, out_rows, pitch, out_columns;
};

template <class Sum, int MR, int NV>
__attribute__((noinline)) void gradient(const GradientJob<Sum> *job) {
  using V = typename Vec<Sum>::V;
  constexpr int N = Vec<Sum>::N;
  V acc[MR][NV];
  const Sum *x[MR];
  Sum *sums = job->sums;
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    x[i] = job->x[i];
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) acc[i][j] = load(sums + (i * NV + j) * N);
  }
  const Sum *dy = job->dy;
  for (int64_t image = 0; image < job->images; image++) {
    for (int64_t row = 0; row < job->out_rows; row++) {
      const int64_t begin = image * job->image_stride + row * job->pitch, end = begin + job->out_columns;
      for (int64_t q = begin; q < end; q++, dy += NV * N) {
        V bv[NV];
#pragma GCC unroll 8
        for (int j = 0; j < NV; j++) bv[j] = load(dy + j * N);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) {
          const V av = broadcast(x[i] + q);
#pragma GCC unroll 8
          for (int j = 0; j < NV; j++) acc[i][j] = fma(av, bv[j], acc[i][j]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; j++) store(sums + (i * NV + j) * N, acc[i][j]);
  }
}

// ---- the tile for so many rows and vectors --------------------------------------------------------------------------

template <class Sum>
using CorrelateFn = void (*)(const CorrelateJob<Sum> *);
template <class Sum>
using GradientFn = void (*)(const GradientJob<Sum> *);

template <class Sum, int MR, int... J>
GP_INLINE CorrelateFn<Sum> correlate_row(int vectors, std::integer_sequence<int, J...>) {
  static constexpr CorrelateFn<Sum> table[] = {correlate<Sum, MR, J + 1>...};
  return table[vectors - 1];
}
template <class Sum, int... I>
CorrelateFn<Sum> correlate_of(int rows, int vectors, std::integer_sequence<int, I...>) {
  CorrelateFn<Sum> found = nullptr;
  ((rows == I + 1
        ? (void)(found = correlate_row<Sum, I + 1>(vectors, std::make_integer_sequence<int, max_vectors(I + 1)>{}))
        : (void)0),
   ...);
  return found;
}
template <class Sum>
CorrelateFn<Sum> correlate_tile(int rows, int vectors) {
  return correlate_of<Sum>(rows, vectors, std::make_integer_sequence<int, kConvRows>{});
}

template <class Sum, int... I>
GP_INLINE GradientFn<Sum> gradient_of(int rows, int vectors, std::integer_sequence<int, I...>) {
  static constexpr GradientFn<Sum> table[2][sizeof...(I)] = {{gradient<Sum, I + 1, 1>...},
                                                             {gradient<Sum, I + 1, 2>...}};
  return table[vectors - 1][rows - 1];
}
template <class Sum>
GradientFn<Sum> gradient_tile(int rows, int vectors) {
  return gradient_of<Sum>(rows, vectors, std::make_integer_sequence<int, kConvRows>{});
}

// Rows [0, count) in strips of nearly equal height, never more than kConvRows.
struct ConvStrips {
  int64_t count, strips;
  explicit ConvStrips(int64_t n) : count(n), strips(ceil_div(n, kConvRows)) {}
  int64_t begin(int64_t strip) const { return strip * count / strips; }
  int rows(int64_t strip) const { return static_cast<int>(begin(strip + 1) - begin(strip)); }
  int tallest() const { return strips == 0 ? 1 : static_cast<int>(ceil_div(count, strips)); }
};

// ---- storing --------------------------------------------------------------------------------------------------------

// Where a tile's lanes belong: the positions that exist come in runs.
constexpr int kMostLanes = 8 * 16;
struct Lanes {
  struct Run {
    int32_t at, count;  // lanes
    int64_t row, column;
  };
  int runs;
  Run run[kMostLanes];
#if defined(__AVX512F__)
  uint64_t mask[2];  // a bit per lane
#endif
};

GP_INLINE void find_lanes(const Frame &f, int64_t q, int64_t lanes, Lanes *to) {
  const int64_t end = min64(f.last(), q + lanes);
  int64_t row = q / f.pitch, column = q - row * f.pitch, at = q;
  to->runs = 0;
#if defined(__AVX512F__)
  to->mask[0] = to->mask[1] = 0;
#endif
  while (at < end) {
    if (column < f.x.out) {
      const int64_t count = min64(f.x.out - column, end - at);
      to->run[to->runs++] = Lanes::Run{static_cast<int32_t>(at - q), static_cast<int32_t>(count), row, column};
#if defined(__AVX512F__)
      const unsigned __int128 bits = ((static_cast<unsigned __int128>(1) << count) - 1) << (at - q);
      to->mask[0] |= static_cast<uint64_t>(bits);
      to->mask[1] |= static_cast<uint64_t>(bits >> 64);
#endif
    }
    at += f.pitch - column;
    column = 0;
    row++;
  }
}

// The lattice inside an output plane of `width` columns.
struct Grid {
  int64_t width, step[2], first[2];
  bool dense(const Frame &f) const { return step[0] == 1 && step[1] == 1 && width == f.x.out; }
};

// `count` neighbouring positions of a row.
template <class T, class Sum>
GP_INLINE void put_run(const Grid &grid, int64_t row, int64_t column, int64_t count, const Sum *from, Sum bias, T *to) {
  constexpr int N = Vec<Sum>::N;
  T *p = to + (row * grid.step[0] + grid.first[0]) * grid.width + column * grid.step[1] + grid.first[1];
  if constexpr (sizeof(T) == sizeof(Sum)) {
    if (grid.step[1] == 1) {
      int64_t i = 0;
      for (; i + N <= count; i += N) store(p + i, load(from + i) + bias);
      const int rest = static_cast<int>(count - i);
      if (rest > 0) storen(p + i, loadn(from + i, rest) + bias, rest);
      return;
    }
  }
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4 && sizeof(Sum) == 4) {
    if (grid.step[1] == 2) {
      for (int64_t i = 0; i < count; i += N) {
        const __m512 v = (__m512)(loadn(from + i, clamp_lanes(count - i, N)) + bias);
        const uint32_t m = 0x55555555u >> 2 * (N - clamp_lanes(count - i, N));
        const __m512i first = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        const __m512i second = _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
        _mm512_mask_storeu_ps(p + 2 * i, static_cast<__mmask16>(m), _mm512_maskz_permutexvar_ps(0xffff, first, v));
        if (m >> N == 0) continue;
        _mm512_mask_storeu_ps(p + 2 * i + N, static_cast<__mmask16>(m >> N),
                              _mm512_maskz_permutexvar_ps(0xffff, second, v));
      }
      return;
    }
  }
#endif
  for (int64_t i = 0; i < count; i++) p[i * grid.step[1]] = narrow<T>(from[i] + bias);
}

// `rows` rows of a tile, to planes `plane` apart; bias: one per row, or null.
template <class T, class Sum>
GP_INLINE void put_rows(const Frame &f, const Grid &grid, const Lanes &lanes, const Sum *from, int width, int rows,
                        const T *bias, T *to, int64_t plane) {
  // Asked row by row: a vector of an absent bias is a masked load of null, which takes a fault to suppress.
  auto added = [&](int r) { return bias == nullptr ? Sum{0} : static_cast<Sum>(widen(bias[r])); };
#if defined(__AVX512F__)
  // Without the gaps the lanes are neighbours in memory too.
  if constexpr (sizeof(T) == sizeof(Sum)) {
    if (grid.dense(f)) {
      constexpr int N = Vec<Sum>::N;
      constexpr unsigned kAll = (1u << N) - 1u;
      const uint64_t mask[2] = {lanes.mask[0], lanes.mask[1]};
      T *row = to + lanes.run[0].row * f.x.out + lanes.run[0].column;
      for (int r = 0; r < rows; r++, row += plane) {
        const Sum add = added(r);
        T *p = row;
        for (int j = 0; j < width; j += N) {
          const unsigned m = static_cast<unsigned>(mask[j / 64] >> j % 64) & kAll;
          const auto v = load(from + r * width + j) + add;
          if (m == kAll) {
            store(p, v);
            p += N;
          } else if (m != 0) {
            const int count = __builtin_popcount(m);
            if constexpr (sizeof(T) == 4) {
              storen(p, (VF)_mm512_maskz_compress_ps(static_cast<__mmask16>(m), (__m512)v), count);
            } else {
              storen(p, (VD)_mm512_maskz_compress_pd(static_cast<__mmask8>(m), (__m512d)v), count);
            }
            p += count;
          }
        }
      }
      return;
    }
  }
#endif
  (void)f;
  for (int r = 0; r < rows; r++) {
    const Sum add = added(r);
    for (int i = 0; i < lanes.runs; i++) {
      const Lanes::Run &run = lanes.run[i];
      put_run(grid, run.row, run.column, run.count, from + r * width + run.at, add, to + r * plane);
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
