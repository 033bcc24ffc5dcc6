// Correlations of a batch (conv_frame.h). Few rows: images are framed by all threads, then tiles of q; several
// correlations may share the frames (the phases of an input gradient). Many rows: conv_gathered.h.
#pragma once
#include "conv_gathered.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kFrameElements = 256 * 1024;  // framed at once, what the threads' L2 hold; but so many positions
constexpr int64_t kFramePositions = 2048;       // that weights are not fetched too often; or one image
constexpr int64_t kMostFrameElements = 2 * 1024 * 1024;
constexpr int64_t kStripElements = 64 * 1024;  // of packed weights that a task runs through for every tile

GP_INLINE CorrelationPlan plan_of(const Correlation &c, int64_t taps, int64_t sum_size) {
  CorrelationPlan p;
  const int64_t image = max64(c.groups * c.channels * c.frame.channel(), 1);
  const int64_t positions = max64(1, c.frame.y.out * c.frame.x.out);
  p.images = max64(kFrameElements / image, min64(ceil_div(kFramePositions, positions), kMostFrameElements / image));
  p.images = max64(1, min64(c.batch, p.images));
  p.offsets = aligned(taps * 8);
  p.packed = aligned(c.groups * c.rows * c.channels * taps * sum_size);
  p.frames = aligned((p.images * image + kFrameSlack) * sum_size);
  p.slot = 0;
  if (is_gathered(ConvStrips(c.rows))) {
    p.images = c.batch;
    p.frames = 0;
    p.slot = Gathered(c, sum_size).slot_size(taps, c.frame.channel(), sum_size);
  }
  return p;
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

// Units [u0, u1) of `images` framed images, the first of which is image n0; at most kTilesAtOnce, of one group and
// strip block. A strip's weights of some channels stay in L1 while all tiles pass over them.
struct Places {
  int64_t q, n;
  int vectors;
  const Lanes *lanes;
};

template <class T, class Sum>
void run_units(const Correlation &c, const Cut &cut, const Side<T> &side, const int64_t *offsets, const Sum *packed,
               const Sum *frames, int64_t n0, int64_t images, int64_t u0, int64_t u1) {
  constexpr int N = Vec<Sum>::N;
  alignas(64) Sum sums[kTilesAtOnce][24 * N];
  Places at[kTilesAtOnce];
  Lanes lanes[kTilesAtOnce];
  const Frame &f = c.frame;
  const int64_t group = u0 / cut.tiles / images, block = group % cut.strip_blocks, g = group / cut.strip_blocks;
  for (int64_t u = u0; u < u1; u++) {
    const int64_t q = u % cut.tiles * cut.lanes;
    Places &place = at[u - u0];
    place = Places{q, u / cut.tiles % images, static_cast<int>(ceil_div(min64(cut.lanes, f.last() - q), N)), nullptr};
    const bool again = u > u0 && at[u - u0 - 1].q == q;
    place.lanes = again ? at[u - u0 - 1].lanes : lanes + (u - u0);
    if (!again) find_lanes(f, q, place.vectors * N, lanes + (u - u0));
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
      if (at[i].lanes->runs == 0) continue;
      T *to = side.out + ((n0 + at[i].n) * c.groups * c.rows + row) * c.out_plane;
      put_rows(f, c.grid, *at[i].lanes, sums[i], at[i].vectors * N, rows,
               side.bias == nullptr ? nullptr : side.bias + row, to, c.out_plane);
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
  const bool alone = parts * shape.macs() < kAloneMacs || plan.size(thread_count()) > size;

  int64_t before = 0;  // taps of the parts before
  for (int64_t i = 0; i < parts; i++) {
    const Correlation c = part(i);
    if (c.frame.taps() == 0 || c.frame.last() == 0) continue;
    for (int64_t t = 0; t < c.frame.taps(); t++) offsets[before + t] = c.frame.offset(t);
    if (!is_direct<T>(c)) pack_strips(c, side.weight, packed + before * weights, alone);
    before += c.frame.taps();
  }
  if (is_gathered(ConvStrips(shape.rows)))
    return correlate_gathered<T>(parts, part, shape, all_taps, side, offsets, packed, reinterpret_cast<char *>(frames),
                                 plan.slot, alone);

  for (int64_t n0 = 0; n0 < shape.batch; n0 += plan.images) {
    const int64_t images = min64(plan.images, shape.batch - n0), frame_units = images * all;
    const int64_t frame_grain = max64(1, 16384 / max64(1, frame.channel()));
    share(alone, ceil_div(frame_units, frame_grain), [&](int64_t task, int) {
      for (int64_t u = task * frame_grain; u < min64(frame_units, (task + 1) * frame_grain); u++)
        fill_frame(frame, side.image + (n0 * all + u) * plane, frames + u * frame.channel());
    });
    before = 0;
    for (int64_t i = 0; i < parts; i++) {
      const Correlation c = part(i);
      if (c.frame.taps() == 0 || c.frame.last() == 0) continue;
      const Cut cut(c, N);
      const int64_t together = cut.tiles * images, units = c.groups * cut.strip_blocks * together;
      const int64_t grain = max64(1, min64(kTaskMacs / cut.unit_macs, ceil_div(units, 16)));
      const int64_t first = before;
      share(alone, ceil_div(units, grain), [&](int64_t task, int) {
        const int64_t end = min64(units, (task + 1) * grain);
        for (int64_t u = task * grain; u < end;) {
          const int64_t stop = min64(min64(end, u + kTilesAtOnce), (u / together + 1) * together);
          run_units(c, cut, side, offsets + first, packed + first * weights, frames, n0, images, u, stop);
          u = stop;
        }
      });
      before += c.frame.taps();
    }
  }
}

}  // namespace
}  // namespace gp::GP_ISA
