// 3 x 3 correlations with stride 1 by Winograd's transforms (winograd_tile.h), and the gradient of their weight. Tiles
// are numbered along the rows of tiles, *lines*, image after image.
//
// Few weights: a task transforms the tiles of some lines, multiplies them by all weights and finishes them; everything
// but the weights is its own and stays in L2. Many weights: all threads transform many lines, share out the products so
// that each point's weights are read once, and finish. A weight's gradient is a sum over tiles: parts of the lines are
// summed apart where the sums are small, else all threads share one sum. Which of the two, and the order of every sum,
// follow from the shape.
#pragma once
#include "../gemm/panel.h"
#include "conv_correlate.h"
#include "winograd_tile.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kFewestTiles = 48, kFewestChannels = 16;  // below, the transforms cost more than they save
constexpr int64_t kMostAcross = 256;                        // tiles of a line: a task has whole lines
constexpr int64_t kFewestAtOnce = 24;                       // tiles of a task: two strips of AVX-512
constexpr int64_t kOwnBytes = 512 * 1024;                   // of a task's points
constexpr int64_t kOwnWeights = 2 * 1024 * 1024;            // bytes of weights that every task reads
constexpr int64_t kOwnSums = 512 * 1024;                    // bytes of a part's sums
constexpr int64_t kSharedBytes = 24 * 1024 * 1024;          // of the points of all threads
constexpr int64_t kSumParts = 8;
constexpr int64_t kStripsAtOnce = 4, kRowsAtOnce = 4 * kTileRows, kSumDepth = 256, kChannelsAtOnce = 32;

struct Winograd {
  int64_t batch, groups, channels, rows;  // channels of the image and of the result, of a group
  Pixels image;
  int64_t out_h, out_w;
  bool turned;                                       // tap t of the correlation stands at 8 - t in the weight
  int64_t weight_group, weight_row, weight_channel;  // as in Correlation

  int64_t across() const { return ceil_div(out_w, 2); }
  int64_t down() const { return ceil_div(out_h, 2); }
  int64_t lines() const { return batch * down(); }
  int64_t plane() const { return image.height * image.width; }
  // Independent of the instruction set.
  int64_t point_bytes() const { return 4 * kPoints * (ceil_div(channels, 16) + ceil_div(rows, 16)) * 16; }
  int64_t weight_bytes() const { return 4 * kPoints * channels * rows; }

  bool pays() const {
    return channels >= kFewestChannels && rows >= kFewestChannels && lines() * across() >= kFewestTiles &&
           across() <= kMostAcross && out_h > 1 && out_w > 1 && plane() > 1;
  }
};

GP_INLINE int64_t padded(int64_t channels) { return ceil_div(channels, Vec<float>::N) * Vec<float>::N; }
GP_INLINE size_t floats(int64_t count) { return aligned(count * 4); }

// Lines of a task whose points are `bytes` per tile: enough tiles for the products, not more than L2 holds, and tasks
// enough to share out.
GP_INLINE int64_t lines_per_task(int64_t lines, int64_t across, int64_t bytes) {
  const int64_t fewest = ceil_div(kFewestAtOnce, across);
  const int64_t most = max64(fewest, kOwnBytes / bytes / across);
  const int64_t each = max64(1, min64(most, max64(fewest, lines / 16)));
  return ceil_div(lines, ceil_div(lines, each));
}
// Lines whose points the threads share at a time.
GP_INLINE int64_t shared_lines(int64_t lines, int64_t across, int64_t bytes) {
  const int64_t most = max64(1, kSharedBytes / bytes / across);
  return ceil_div(lines, ceil_div(lines, most));
}

// What a thread needs to transform lines of either image.
struct Desk {
  size_t block, places;  // bytes
  Desk(int64_t lines, const Winograd &w)
      : block(floats(((2 * min64(lines, w.down()) + 2) * max64(w.image.width, w.out_w + 1) + Vec<float>::N + 1) *
                     Vec<float>::N)),
        places(aligned(min64(lines, w.down()) * w.across() * kPoints * 4)) {}
  size_t size() const { return block + places; }
  float *block_at(char *slot) const { return reinterpret_cast<float *>(slot); }
  int32_t *places_at(char *slot) const { return reinterpret_cast<int32_t *>(slot + block); }
};

// body(image, first row of tiles, end, tiles before) for the parts of the lines [begin, end) that share an image.
template <class F>
GP_INLINE void each_image(const Winograd &w, int64_t begin, int64_t end, const F &body) {
  for (int64_t line = begin; line < end;) {
    const int64_t image = line / w.down(), y0 = line % w.down(), y1 = min64(w.down(), y0 + end - line);
    body(image, y0, y1, (line - begin) * w.across());
    line += y1 - y0;
  }
}

// K = 4: `from` is the image, of w.channels per group; K = 2: a gradient of the outputs, of w.rows.
template <int K, class T>
void transform_lines(const Winograd &w, const T *from, int64_t g, int64_t begin, int64_t end, int64_t tile,
                     const Points &points, float *to, const Desk &desk, char *slot) {
  const Pixels pixels = K == 4 ? w.image : Pixels{w.out_h, w.out_w, 0, 0};
  const int64_t channels = K == 4 ? w.channels : w.rows, plane = pixels.height * pixels.width;
  each_image(w, begin, end, [&](int64_t image, int64_t y0, int64_t y1, int64_t before) {
    to_points<K>(pixels, from + (image * w.groups + g) * channels * plane, channels, y0, y1, w.across(), tile + before,
                 desk.block_at(slot), desk.places_at(slot), points, to);
  });
}

template <class T>
void finish_lines(const Winograd &w, const Points &points, const float *from, int64_t tile, const Side<T> &side,
                  int64_t g, int64_t begin, int64_t end, const Desk &desk, char *slot) {
  each_image(w, begin, end, [&](int64_t image, int64_t y0, int64_t y1, int64_t before) {
    from_points<T>(points, from, tile + before, y0, y1, w.out_h, w.out_w, w.rows,
                   side.bias == nullptr ? nullptr : side.bias + g * w.rows, desk.block_at(slot),
                   side.out + (image * w.groups + g) * w.rows * w.out_h * w.out_w);
  });
}

// ---- correlation ----------------------------------------------------------------------------------------------------

struct WinogradPlan {
  bool own;
  int64_t task, at_once;  // lines
  int64_t panel;          // floats of one point's weights
  Desk desk;
  Points image, result;
  size_t weights, shared, slot;  // bytes

  explicit WinogradPlan(const Winograd &w)
      : own(w.weight_bytes() <= kOwnWeights),
        task(own ? lines_per_task(w.lines(), w.across(), w.point_bytes()) : ceil_div(w.down(), 4)),
        at_once(own ? task : shared_lines(w.lines(), w.across(), w.point_bytes())),
        panel(panel_size(w.channels, w.rows, 4)),
        desk(task, w),
        image(at_once * w.across(), padded(w.channels)),
        result(at_once * w.across(), padded(w.rows)),
        weights(floats(w.groups * kPoints * panel)),
        shared(own ? 0 : points()),
        slot(desk.size() + (own ? points() : 0)) {}
  size_t points() const { return floats(image.size()) + floats(result.size()); }
  size_t size(int threads) const { return weights + shared + slot * static_cast<size_t>(threads); }
};

template <class T>
void winograd_weights(const Winograd &w, const T *weight, int64_t panel, float *to, bool alone) {
  constexpr int64_t N = Vec<float>::N, NR = N * kTileVectors;
  const int64_t blocks = ceil_div(w.rows, N), parts = ceil_div(w.channels, kChannelsAtOnce);
  share(alone, w.groups * blocks * parts, [&](int64_t task, int) {
    const int64_t part = task % parts, row = task / parts % blocks * N, g = task / parts / blocks;
    float *strip = to + g * kPoints * panel + row / NR * NR * w.channels + row % NR;
    for (int64_t c = part * kChannelsAtOnce; c < min64(w.channels, (part + 1) * kChannelsAtOnce); c++) {
      kernel_points(weight + g * w.weight_group + row * w.weight_row + c * w.weight_channel, w.weight_row,
                    clamp_lanes(w.rows - row, N), w.turned, strip + c * NR, panel);
    }
  });
}

template <class T>
void winograd(const Winograd &w, const Side<T> &side, char *workspace, size_t size) {
  constexpr int64_t NR = Vec<float>::N * kTileVectors;
  const WinogradPlan p(w);
  const bool alone = p.size(thread_count()) > size;
  float *const weights = reinterpret_cast<float *>(workspace);
  char *const shared = workspace + p.weights, *const slots = shared + p.shared;
  winograd_weights(w, side.weight, p.panel, weights, alone);
  // Rows of the points' products: `count` tiles, strips [s0, s1) of the results.
  auto multiply = [&](int64_t g, int e, const float *from, float *to, int64_t count, int64_t s0, int64_t s1) {
    multiply_panel(to + e * p.result.step + s0 * NR, p.result.row, from + e * p.image.step, p.image.row, count,
                   weights + (g * kPoints + e) * p.panel + s0 * NR * w.channels, w.channels,
                   min64(w.rows, s1 * NR) - s0 * NR);
  };
  const int64_t strips = panel_strips(w.rows, 4);
  if (p.own) {
    const int64_t tasks = ceil_div(w.lines(), p.task);
    share(alone, w.groups * tasks, [&](int64_t task, int slot) {
      const int64_t g = task / tasks, begin = task % tasks * p.task, end = min64(w.lines(), begin + p.task);
      char *const mine = slots + p.slot * static_cast<size_t>(slot);
      float *const from = reinterpret_cast<float *>(mine + p.desk.size()), *const to = from + p.image.size();
      transform_lines<4>(w, side.image, g, begin, end, 0, p.image, from, p.desk, mine);
      for (int e = 0; e < kPoints; e++) multiply(g, e, from, to, (end - begin) * w.across(), 0, strips);
      finish_lines(w, p.result, to, 0, side, g, begin, end, p.desk, mine);
    });
    return;
  }
  float *const from = reinterpret_cast<float *>(shared), *const to = from + p.image.size();
  const int64_t pieces = ceil_div(strips, kStripsAtOnce);
  for (int64_t g = 0; g < w.groups; g++) {
    for (int64_t first = 0; first < w.lines(); first += p.at_once) {
      const int64_t lines = min64(p.at_once, w.lines() - first), tasks = ceil_div(lines, p.task);
      auto each = [&](auto body) {
        share(alone, tasks, [&](int64_t task, int slot) {
          const int64_t begin = task * p.task, end = min64(lines, begin + p.task);
          body(first + begin, first + end, begin * w.across(), slots + p.slot * static_cast<size_t>(slot));
        });
      };
      each([&](int64_t begin, int64_t end, int64_t tile, char *mine) {
        transform_lines<4>(w, side.image, g, begin, end, tile, p.image, from, p.desk, mine);
      });
      share(alone, kPoints * pieces, [&](int64_t task, int) {
        const int64_t s0 = task % pieces * kStripsAtOnce;
        multiply(g, static_cast<int>(task / pieces), from, to, lines * w.across(), s0,
                 min64(strips, s0 + kStripsAtOnce));
      });
      each([&](int64_t begin, int64_t end, int64_t tile, char *mine) {
        finish_lines(w, p.result, to, tile, side, g, begin, end, p.desk, mine);
      });
    }
  }
}

// ---- the weight's gradient ------------------------------------------------------------------------------------------

struct WinogradSums {
  bool own;
  int64_t task, at_once, parts;
  Desk desk;
  Points image, dy;
  Points sums;                     // of a part: channels in place of tiles
  size_t sums_size, shared, slot;  // bytes

  explicit WinogradSums(const Winograd &w)
      : own(w.weight_bytes() <= kOwnSums),
        task(own ? lines_per_task(w.lines(), w.across(), w.point_bytes()) : ceil_div(w.down(), 4)),
        at_once(own ? task : shared_lines(w.lines(), w.across(), w.point_bytes())),
        parts(own ? min64(kSumParts, ceil_div(w.lines(), task)) : 1),
        desk(task, w),
        image(at_once * w.across(), padded(w.channels)),
        dy(at_once * w.across(), padded(w.rows)),
        sums(w.channels, padded(w.rows)),
        sums_size(floats(w.groups * parts * sums.size())),
        shared(own ? 0 : points()),
        slot(max64(desk.size() + (own ? points() : 0), floats(kTaps * (kChannelsAtOnce + 2) * Vec<float>::N))) {}
  size_t points() const { return floats(image.size()) + floats(dy.size()); }
  size_t size(int threads) const { return sums_size + shared + slot * static_cast<size_t>(threads); }
};

// sums[c][f] = or += Σ over tiles of image[tile][c] · dy[tile][f] for channels [c0, c1): one point.
GP_INLINE void add_products(const float *image, int64_t image_row, const float *dy, int64_t dy_row, int64_t tiles,
                            int64_t c0, int64_t c1, int64_t filters, float *sums, int64_t sums_row, bool opens) {
  constexpr int64_t N = Vec<float>::N, NR = N * kTileVectors;
  MicroJob<float, float> job{};
  const void *fetch[kSumDepth / kFetchSteps];
  for (const void *&line : fetch) line = &job;
  job.fetch = fetch;
  job.a_step = image_row;
  job.b_row = dy_row;
  job.cin_row = job.cout_row = sums_row;
  job.touch_row = sums_row * 4;
  const ConvStrips strips(c1 - c0);
  for (int64_t k = 0; k < tiles; k += kSumDepth) {
    job.k = min64(kSumDepth, tiles - k);
    for (int64_t f = 0; f < filters; f += NR) {
      const int64_t columns = min64(NR, filters - f), vectors = ceil_div(columns, N);
      job.b = dy + k * dy_row + f;
      job.last = static_cast<int>(columns - (vectors - 1) * N);
      job.touch_last = columns * 4 - 1;
      for (int64_t s = 0; s < strips.strips; s++) {
        const int64_t c = c0 + strips.begin(s);
        job.a = image + k * image_row + c;
        job.cout = sums + c * sums_row + f;
        job.cin = opens && k == 0 ? nullptr : job.cout;
        job.touch = job.cout;
        kMicroF32[kColumnsOfA | kStridedB][vectors][strips.rows(s)](&job);
      }
    }
  }
}

template <class T>
void winograd_gradient(const Winograd &w, const T *x, const T *dy, T *dweight, char *workspace, size_t size) {
  constexpr int64_t N = Vec<float>::N;
  const WinogradSums p(w);
  const bool alone = p.size(thread_count()) > size;
  float *const sums = reinterpret_cast<float *>(workspace);
  char *const shared = workspace + p.sums_size, *const slots = shared + p.shared;
  auto add = [&](int e, const float *from, const float *by, int64_t count, int64_t c0, int64_t c1, float *to,
                 bool opens) {
    add_products(from + e * p.image.step, p.image.row, by + e * p.dy.step, p.dy.row, count, c0, c1, w.rows,
                 to + e * p.sums.step, p.sums.row, opens);
  };
  if (p.own) {
    share(alone, w.groups * p.parts, [&](int64_t task, int slot) {
      const int64_t g = task / p.parts, part = task % p.parts;
      const int64_t first = part * w.lines() / p.parts, last = (part + 1) * w.lines() / p.parts;
      char *const mine = slots + p.slot * static_cast<size_t>(slot);
      float *const from = reinterpret_cast<float *>(mine + p.desk.size()), *const by = from + p.image.size();
      for (int64_t begin = first; begin < last; begin += p.task) {
        const int64_t end = min64(last, begin + p.task);
        transform_lines<4>(w, x, g, begin, end, 0, p.image, from, p.desk, mine);
        transform_lines<2>(w, dy, g, begin, end, 0, p.dy, by, p.desk, mine);
        for (int e = 0; e < kPoints; e++)
          add(e, from, by, (end - begin) * w.across(), 0, w.channels, sums + task * p.sums.size(), begin == first);
      }
    });
  } else {
    float *const from = reinterpret_cast<float *>(shared), *const by = from + p.image.size();
    const int64_t pieces = ceil_div(w.channels, kRowsAtOnce);
    for (int64_t g = 0; g < w.groups; g++) {
      for (int64_t first = 0; first < w.lines(); first += p.at_once) {
        const int64_t lines = min64(p.at_once, w.lines() - first), tasks = ceil_div(lines, p.task);
        share(alone, 2 * tasks, [&](int64_t task, int slot) {
          const int64_t begin = task / 2 * p.task, end = min64(lines, begin + p.task), tile = begin * w.across();
          char *const mine = slots + p.slot * static_cast<size_t>(slot);
          if (task % 2 == 0) {
            transform_lines<4>(w, x, g, first + begin, first + end, tile, p.image, from, p.desk, mine);
          } else {
            transform_lines<2>(w, dy, g, first + begin, first + end, tile, p.dy, by, p.desk, mine);
          }
        });
        share(alone, kPoints * pieces, [&](int64_t task, int) {
          const int64_t c0 = task % pieces * kRowsAtOnce;
          add(static_cast<int>(task / pieces), from, by, lines * w.across(), c0, min64(w.channels, c0 + kRowsAtOnce),
              sums + g * p.sums.size(), first == 0);
        });
      }
    }
  }
  const int64_t blocks = ceil_div(w.rows, N), pieces = ceil_div(w.channels, kChannelsAtOnce);
  share(alone, w.groups * blocks * pieces, [&](int64_t task, int slot) {
    const int64_t c0 = task % pieces * kChannelsAtOnce, c1 = min64(w.channels, c0 + kChannelsAtOnce);
    const int64_t f = task / pieces % blocks * N, g = task / pieces / blocks;
    float *const taps = reinterpret_cast<float *>(slots + p.slot * static_cast<size_t>(slot));
    for (int64_t c = c0; c < c1; c++)
      kernel_gradient(sums + g * p.parts * p.sums.size() + c * p.sums.row + f, p.sums.step, p.parts, p.sums.size(),
                      taps + (c - c0) * kTaps * N);
    spread(taps, (c1 - c0) * kTaps, clamp_lanes(w.rows - f, N),
           dweight + (g * w.rows + f) * w.channels * kTaps + c0 * kTaps, w.channels * kTaps);
  });
}

}  // namespace
}  // namespace gp::GP_ISA
