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
  int64_t images;                        // framed at once
  size_t offsets, packed, frames, slot;  // bytes; slot: of a thread
  size_t size(int threads) const { return offsets + packed + frames + slot * static_cast<size_t>(threads); }
};

constexpr int kTilesAtOnce = 8;
constexpr int64_t kDepthAtOnce = 384, kGatheredStrips = 4, kStripsAtOnce = 12;

// Tiles of so many rows are gathered first (see Cut).
GP_INLINE bool is_gathered(const ConvStrips &strips) {
  return strips.strips >= kGatheredStrips && 2 * strips.tallest() > kConvRows;
}

GP_INLINE CorrelationPlan plan_of(const Correlation &c, int64_t taps, int64_t sum_size) {
  CorrelationPlan p;
  const int64_t image = max64(c.groups * c.channels * c.frame.channel(), 1);
  p.images = max64(1, min64(c.batch, kFrameElements / image));
  p.offsets = aligned(taps * 8);
  p.packed = aligned(c.groups * c.rows * c.channels * taps * sum_size);
  p.frames = aligned((p.images * image + kFrameSlack) * sum_size);
  const ConvStrips strips(c.rows);
  const int64_t lanes = max_vectors(strips.tallest()) * kVectorBytes / sum_size;
  const int64_t panel = max64(kDepthAtOnce, taps), sums = min64(strips.strips, kStripsAtOnce) * kConvRows;
  p.slot = is_gathered(strips) ? aligned(kTilesAtOnce * (panel + sums) * lanes * sum_size) : 0;
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

// How one correlation is cut: units are (group, strip block, image, tile). With many rows it pays to gather a tile's
// positions into a panel first: no lane is lost between the rows of an image, loads are aligned, and tiles run on
// through the images (units: group, strip block, tile).
struct Cut {
  ConvStrips strips;
  int64_t lanes, tiles, strips_each, strip_blocks, unit_macs;
  bool gathered;
  int64_t columns;  // gathered: positions of all images that are framed at once

  Cut(const Correlation &c, int64_t images, int vector_lanes) : strips(c.rows) {
    gathered = is_gathered(strips);
    columns = images * c.frame.y.out * c.frame.x.out;
    const int64_t strip = max64(1, strips.tallest() * c.depth());
    lanes = gathered ? max_vectors(strips.tallest()) * vector_lanes
                     : tile_lanes(max64(c.frame.last(), 1), strips.tallest(), vector_lanes);
    tiles = ceil_div(gathered ? columns : c.frame.last(), lanes);
    strips_each =
        gathered ? min64(strips.strips, kStripsAtOnce) : max64(1, min64(strips.strips, kStripElements / strip));
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

// A run of gathered positions inside one row of one image.
struct Piece {
  int64_t image, row, column;
  int at, count;  // lanes
};

// The pieces of columns [first, first + lanes): at most one per lane.
GP_INLINE int find_pieces(const Correlation &c, int64_t columns, int64_t first, int64_t lanes, Piece *to) {
  const int64_t height = c.frame.y.out, width = c.frame.x.out, end = min64(columns, first + lanes);
  int64_t image = first / (height * width), row = first / width % height, column = first % width;
  int count = 0;
  for (int64_t at = first; at < end;) {
    const int64_t run = min64(width - column, end - at);
    to[count++] = Piece{image, row, column, static_cast<int>(at - first), static_cast<int>(run)};
    at += run;
    column = 0;
    if (++row == height) {
      row = 0;
      image++;
    }
  }
  return count;
}

// The same for gathered tiles: units are tiles of positions that run on through the images.
template <class T, class Sum>
void run_gathered(const Correlation &c, const Cut &cut, const Side<T> &side, const int64_t *offsets, const Sum *packed,
                  const Sum *frames, int64_t n0, int64_t u0, int64_t u1, int64_t panel_depth, char *slot) {
  constexpr int N = Vec<Sum>::N;
  Piece pieces[kMostLanes];
  const Frame &f = c.frame;
  const int64_t group = u0 / cut.tiles, block = group % cut.strip_blocks, g = group / cut.strip_blocks, taps = f.taps();
  const int64_t s0 = block * cut.strips_each, s1 = min64(cut.strips.strips, s0 + cut.strips_each);
  const int64_t lanes = cut.lanes, tile_count = u1 - u0, at_once = max64(1, kDepthAtOnce / taps);
  const int64_t panel_size = panel_depth * lanes;
  Sum *const panels = reinterpret_cast<Sum *>(slot), *const sums = panels + kTilesAtOnce * panel_size;
  int64_t identity[1] = {0};
  CorrelateJob<Sum> job;
  job.offsets = identity;
  job.channel_stride = lanes;
  job.taps = 1;
  for (int64_t channel = 0; channel < c.channels; channel += at_once) {
    const int64_t channels = min64(at_once, c.channels - channel);
    for (int64_t i = 0; i < tile_count; i++) {
      const int count = find_pieces(c, cut.columns, (u0 + i) % cut.tiles * lanes, lanes, pieces);
      for (int p = 0; p < count; p++) {
        const Piece &piece = pieces[p];
        const Sum *from = frames + ((piece.image * c.groups + g) * c.channels + channel) * f.channel() +
                          piece.row * f.pitch + piece.column;
        Sum *to = panels + i * panel_size + piece.at;
        for (int64_t k = 0; k < channels; k++, from += f.channel())
          for (int64_t t = 0; t < taps; t++, to += lanes) copy_wide(to, from + offsets[t], piece.count);
      }
    }
    for (int64_t s = s0; s < s1; s++) {
      const int rows = cut.strips.rows(s);
      job.a = packed + (g * c.rows + cut.strips.begin(s)) * c.depth() + channel * taps * rows;
      job.channels = channels * taps;
      job.resume = channel > 0;
      for (int64_t i = 0; i < tile_count; i++) {
        job.image = panels + i * panel_size;
        job.out = sums + ((s - s0) * kTilesAtOnce + i) * kConvRows * lanes;
        correlate_tile<Sum>(rows, static_cast<int>(lanes / N))(&job);
      }
    }
  }
  for (int64_t i = 0; i < tile_count; i++) {
    const int count = find_pieces(c, cut.columns, (u0 + i) % cut.tiles * lanes, lanes, pieces);
    for (int64_t s = s0; s < s1; s++) {
      const int rows = cut.strips.rows(s);
      const int64_t row = g * c.rows + cut.strips.begin(s);
      for (int r = 0; r < rows; r++) {
        const Sum *from = sums + ((s - s0) * kTilesAtOnce + i) * kConvRows * lanes + r * lanes;
        const Sum add = side.bias == nullptr ? Sum{0} : static_cast<Sum>(widen(side.bias[row + r]));
        for (int p = 0; p < count; p++) {
          const Piece &piece = pieces[p];
          T *to = side.out + ((n0 + piece.image) * c.groups * c.rows + row + r) * c.out_plane;
          put_run(c.grid, piece.row, piece.column, piece.count, from + piece.at, add, to);
        }
      }
    }
  }
}

// part(i): the i-th of `parts` correlations; all share the frame, the channels and the rows of the first. Those without
// taps or positions are passed over.
template <class T, class Part>
void correlate_batch(int64_t parts, const Part &part, const Side<T> &side, char *workspace, size_t size) {
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
  char *const slots = workspace + plan.offsets + plan.packed + plan.frames;
  const bool alone = parts * shape.macs() < kAloneMacs || plan.size(thread_count()) > size;

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
      const Cut cut(c, images, N);
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
      const int64_t together = cut.gathered ? cut.tiles : cut.tiles * images;
      const int64_t units = c.groups * cut.strip_blocks * together;
      const int64_t least = cut.gathered ? min64(kTilesAtOnce, ceil_div(units, 8)) : 1;
      const int64_t grain = max64(least, min64(kTaskMacs / cut.unit_macs, ceil_div(units, 16)));
      const int64_t first = before;
      share(alone, ceil_div(units, grain), [&](int64_t task, int slot) {
        Lanes where;
        int64_t known = -1;
        const int64_t end = min64(units, (task + 1) * grain);
        for (int64_t u = task * grain; u < end;) {
          const int64_t stop = min64(min64(end, u + kTilesAtOnce), (u / together + 1) * together);
          if (cut.gathered) {
            run_gathered(c, cut, side, offsets + first, strips, frames, n0, u, stop, max64(kDepthAtOnce, all_taps),
                         slots + plan.slot * static_cast<size_t>(slot));
          } else {
            run_units(c, cut, side, offsets + first, strips, frames, n0, images, u, stop, &where, &known);
          }
          u = stop;
        }
      });
      before += taps;
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
