// Correlations of a batch (conv_frame.h): weights packed and images framed by all threads, then tiles of q. Several
// correlations may share the frames (the phases of an input gradient).
#pragma once
#include "conv_tile.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kFrameElements = 2 * 1024 * 1024;  // framed at once, or one image
constexpr int64_t kStripElements = 64 * 1024;        // of packed weights that a task runs through for every tile
constexpr int64_t kTaskMacs = 1024 * 1024, kAloneMacs = 128 * 1024;

struct Correlation {
  Frame frame;
  Grid grid;
  int64_t batch, groups, channels, rows;  // channels and rows of a group
  // weight of row r, channel c, tap (ky, kx) of group g stands at g * weight_group + r * weight_row + c *
  // weight_channel
  // + ky * kernel_w + kx
  int64_t weight_group, weight_row, weight_channel, kernel_w;
  int64_t out_plane;  // elements

  int64_t depth() const { return channels * frame.taps(); }
  int64_t macs() const { return batch * groups * rows * depth() * max64(frame.y.out * frame.x.out, 1); }
};

// `taps`: of all correlations that share the frames of `c`.
struct CorrelationPlan {
  int64_t images;                  // framed at once
  size_t offsets, packed, frames;  // bytes
  size_t size() const { return offsets + packed + frames; }
};

GP_INLINE CorrelationPlan plan_of(const Correlation &c, int64_t taps, int64_t sum_size) {
  CorrelationPlan p;
  const int64_t image = max64(c.groups * c.channels * c.frame.channel(), 1);
  p.images = max64(1, min64(c.batch, kFrameElements / image));
  p.offsets = aligned(taps * 8);
  p.packed = aligned(c.groups * c.rows * c.channels * taps * sum_size);
  p.frames = aligned((p.images * image + kFrameSlack) * sum_size);
  return p;
}

// With little to do the calling thread works alone.
template <class F>
GP_INLINE void share(bool alone, int64_t count, const F &body) {
  if (!alone) return tiles(count, body);
  for (int64_t i = 0; i < count; i++) body(i, 0);
}

// to[k * rows + i]: the strip of rows [row, row + rows) of group g, k = (channel, tap).
template <class T, class Sum>
void pack_weights(const Correlation &c, const T *weight, int64_t g, int64_t row, int rows, Sum *to) {
  const Axis &y = c.frame.y, &x = c.frame.x;
  const T *from = weight + g * c.weight_group + row * c.weight_row;
  const bool whole = y.kernel_step == 1 && x.kernel_step == 1 && x.taps == c.kernel_w &&
                     c.weight_channel == c.frame.taps();  // depth runs along memory
  if (whole && rows == 1) return copy_wide(to, from, c.depth());
  if (whole) return pack_strip<Sum>(to, rows, from, c.weight_row, 1, c.depth(), rows);
  for (int64_t channel = 0; channel < c.channels; channel++) {
    for (int64_t ty = 0; ty < y.taps; ty++) {
      for (int64_t tx = 0; tx < x.taps; tx++, to += rows) {
        const T *p = from + channel * c.weight_channel + (y.kernel_first + ty * y.kernel_step) * c.kernel_w +
                     x.kernel_first + tx * x.kernel_step;
        for (int i = 0; i < rows; i++) to[i] = widen(p[i * c.weight_row]);
      }
    }
  }
}

// Vectors per tile of an image with `last` positions: as many as the registers hold, spread evenly.
GP_INLINE int64_t tile_lanes(int64_t last, int rows, int lanes) {
  const int64_t vectors = ceil_div(last, lanes), most = max_vectors(rows);
  return ceil_div(vectors, ceil_div(vectors, most)) * lanes;
}

// How one correlation is cut: units are (group, strip block, image, tile).
struct Cut {
  ConvStrips strips;
  int64_t lanes, tiles, strips_each, strip_blocks, unit_macs;

  Cut(const Correlation &c, int vector_lanes) : strips(c.rows) {
    const int64_t strip = max64(1, strips.tallest() * c.depth());
    lanes = tile_lanes(max64(c.frame.last(), 1), strips.tallest(), vector_lanes);
    tiles = ceil_div(c.frame.last(), lanes);
    strips_each = max64(1, min64(strips.strips, kStripElements / strip));
    strip_blocks = ceil_div(strips.strips, strips_each);
    unit_macs = max64(1, min64(c.rows * c.depth(), strips_each * strip) * lanes);
  }
};

template <class T>
struct Side {
  const T *image, *weight, *bias;
  T *out;
};

// Units [u0, u1) of `images` framed images, the first of which is image n0; at most kTilesAtOnce, of one group and
// strip block. A strip's weights of some channels stay in L1 while all tiles pass over them.
constexpr int kTilesAtOnce = 8;
constexpr int64_t kDepthAtOnce = 384;

struct Places {
  int64_t q, n;
  int vectors;
};

template <class T, class Sum>
void run_units(const Correlation &c, const Cut &cut, const Side<T> &side, const int64_t *offsets, const Sum *packed,
               const Sum *frames, int64_t n0, int64_t images, int64_t u0, int64_t u1, Lanes *where, int64_t *known) {
  constexpr int N = Vec<Sum>::N;
  alignas(64) Sum sums[kTilesAtOnce][24 * N];
  Places at[kTilesAtOnce];
  const Frame &f = c.frame;
  const int64_t group = u0 / cut.tiles / images, block = group % cut.strip_blocks, g = group / cut.strip_blocks;
  for (int64_t u = u0; u < u1; u++) {
    const int64_t q = u % cut.tiles * cut.lanes;
    at[u - u0] = Places{q, u / cut.tiles % images, static_cast<int>(ceil_div(min64(cut.lanes, f.last() - q), N))};
  }
  const int64_t end = min64(cut.strips.strips, (block + 1) * cut.strips_each);
  const int64_t channels_at_once = max64(1, kDepthAtOnce / f.taps());
  CorrelateJob<Sum> job;
  job.offsets = offsets;
  job.channel_stride = f.channel();
  job.taps = f.taps();
  for (int64_t s = block * cut.strips_each; s < end; s++) {
    const int64_t row = g * c.rows + cut.strips.begin(s);
    const int rows = cut.strips.rows(s);
    for (int64_t channel = 0; channel < c.channels; channel += channels_at_once) {
      job.channels = min64(channels_at_once, c.channels - channel);
      job.a = packed + row * c.depth() + channel * f.taps() * rows;
      job.resume = channel > 0;
      for (int64_t i = 0; i < u1 - u0; i++) {
        job.image = frames + ((at[i].n * c.groups + g) * c.channels + channel) * f.channel() + at[i].q;
        job.out = sums[i];
        correlate_tile<Sum>(rows, at[i].vectors)(&job);
      }
    }
    for (int64_t i = 0; i < u1 - u0; i++) {
      const int width = at[i].vectors * N;
      if (at[i].q != *known) find_lanes(f, at[i].q, width, where);
      *known = at[i].q;
      if (where->runs == 0) continue;
      T *to = side.out + ((n0 + at[i].n) * c.groups * c.rows + row) * c.out_plane;
      for (int r = 0; r < rows; r++) {
        const Sum add = side.bias == nullptr ? Sum{0} : static_cast<Sum>(widen(side.bias[row + r]));
        put_row(f, c.grid, *where, sums[i] + r * width, width, add, to + r * c.out_plane);
      }
    }
  }
}

// part(i): the i-th of `parts` correlations; all share the frame, the channels and the rows of the first. Those without
// taps or positions are passed over.
template <class T, class Part>
void correlate_batch(int64_t parts, const Part &part, const Side<T> &side, char *workspace) {
  using Sum = typename Wide<T>::type;
  constexpr int N = Vec<Sum>::N;
  int64_t all_taps = 0, some = -1;
  for (int64_t i = 0; i < parts; i++) {
    const int64_t taps = part(i).frame.taps();
    if (taps > 0 && some < 0) some = i;
    all_taps += taps;
  }
  if (some < 0) return;
  const Correlation shape = part(some);
  const Frame frame = shape.frame;
  const CorrelationPlan plan = plan_of(shape, all_taps, sizeof(Sum));
  int64_t *const offsets = reinterpret_cast<int64_t *>(workspace);
  Sum *const packed = reinterpret_cast<Sum *>(workspace + plan.offsets);
  Sum *const frames = reinterpret_cast<Sum *>(workspace + plan.offsets + plan.packed);
  const int64_t all = shape.groups * shape.channels, plane = frame.y.size * frame.x.size;
  const int64_t weights = shape.groups * shape.rows * shape.channels;  // per tap
  const bool alone = parts * shape.macs() < kAloneMacs;

  for (int64_t n0 = 0; n0 < shape.batch; n0 += plan.images) {
    const int64_t images = min64(plan.images, shape.batch - n0), frame_units = images * all;
    const int64_t frame_grain = max64(1, 16384 / max64(1, frame.channel()));
    share(alone, ceil_div(frame_units, frame_grain), [&](int64_t task, int) {
      for (int64_t u = task * frame_grain; u < min64(frame_units, (task + 1) * frame_grain); u++)
        fill_frame(frame, side.image + (n0 * all + u) * plane, frames + u * frame.channel());
    });
    int64_t before = 0;  // taps of the parts before
    for (int64_t i = 0; i < parts; i++) {
      const Correlation c = part(i);
      const int64_t taps = c.frame.taps();
      if (taps == 0 || c.frame.last() == 0) continue;
      const Cut cut(c, N);
      Sum *const strips = packed + before * weights;
      if (n0 == 0) {
        for (int64_t t = 0; t < taps; t++) offsets[before + t] = c.frame.offset(t);
        const int64_t pack_units = c.groups * cut.strips.strips;
        const int64_t grain = max64(1, 16384 / max64(1, cut.strips.tallest() * c.depth()));
        share(alone || weights * taps < 16384, ceil_div(pack_units, grain), [&](int64_t task, int) {
          for (int64_t u = task * grain; u < min64(pack_units, (task + 1) * grain); u++) {
            const int64_t g = u / cut.strips.strips, s = u % cut.strips.strips, row = cut.strips.begin(s);
            pack_weights(c, side.weight, g, row, cut.strips.rows(s), strips + (g * c.rows + row) * c.depth());
          }
        });
      }
      const int64_t units = c.groups * cut.strip_blocks * images * cut.tiles;
      const int64_t grain = max64(1, min64(kTaskMacs / cut.unit_macs, ceil_div(units, 16)));
      const int64_t first = before;
      share(alone, ceil_div(units, grain), [&](int64_t task, int) {
        Lanes where;
        int64_t known = -1;
        const int64_t end = min64(units, (task + 1) * grain), together = cut.tiles * images;
        for (int64_t u = task * grain; u < end;) {
          const int64_t stop = min64(min64(end, u + kTilesAtOnce), (u / together + 1) * together);
          run_units(c, cut, side, offsets + first, strips, frames, n0, images, u, stop, &where, &known);
          u = stop;
        }
      });
      before += taps;
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
