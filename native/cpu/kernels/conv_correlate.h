// Correlations of a batch (conv_frame.h): weights packed and images framed by all threads, then tiles of q. Several
// correlations may share the frames (the phases of an input gradient).
#pragma once
#include "../gemm/micro.h"
#include "conv_tile.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kFrameElements = 256 * 1024;  // framed at once, what the threads' L2 hold; but so many positions
constexpr int64_t kFramePositions = 2048;       // that weights are not fetched too often; or one image
constexpr int64_t kMostFrameElements = 2 * 1024 * 1024;
constexpr int64_t kStripElements = 64 * 1024;  // of packed weights that a task runs through for every tile
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
constexpr int64_t kDepthAtOnce = 384, kGatheredStrips = 4;
constexpr int64_t kSumRows = 2048;  // of all the tiles at once, together: their sums stay in L2

// Many strips share what is gathered; then fewer tiles go together.
GP_INLINE int64_t gathered_tiles(int64_t rows) { return max64(2, min64(kTilesAtOnce, kSumRows / max64(1, rows))); }
GP_INLINE int64_t gathered_strips(int64_t strips) { return min64(strips, kSumRows / 2 / kConvRows); }

// Tiles of so many rows are gathered first (see Cut).
GP_INLINE bool is_gathered(const ConvStrips &strips) {
  return strips.strips >= kGatheredStrips && 2 * strips.tallest() > kConvRows;
}

GP_INLINE CorrelationPlan plan_of(const Correlation &c, int64_t taps, int64_t sum_size) {
  CorrelationPlan p;
  const int64_t image = max64(c.groups * c.channels * c.frame.channel(), 1);
  const int64_t positions = max64(1, c.frame.y.out * c.frame.x.out);
  p.images = max64(kFrameElements / image, min64(ceil_div(kFramePositions, positions), kMostFrameElements / image));
  p.images = max64(1, min64(c.batch, p.images));
  p.offsets = aligned(taps * 8);
  p.packed = aligned(c.groups * c.rows * c.channels * taps * sum_size);
  p.frames = aligned((p.images * image + kFrameSlack) * sum_size);
  const ConvStrips strips(c.rows);
  const int64_t lanes = kTileVectors * kVectorBytes / sum_size;
  const int64_t panel = max64(kDepthAtOnce, taps), sums = gathered_strips(strips.strips) * kConvRows;
  p.slot = is_gathered(strips) ? aligned(gathered_tiles(c.rows) * (panel + sums) * lanes * sum_size) : 0;
  return p;
}

// With little to do the calling thread works alone.
template <class F>
GP_INLINE void share(bool alone, int64_t count, const F &body) {
  if (!alone) return tiles(count, body);
  for (int64_t i = 0; i < count; i++) body(i, 0);
}

// Depth runs along memory.
GP_INLINE bool is_whole(const Correlation &c) {
  const Axis &y = c.frame.y, &x = c.frame.x;
  return y.kernel_step == 1 && x.kernel_step == 1 && x.taps == c.kernel_w && c.weight_channel == c.frame.taps();
}
// Rows of the weight are read where they stand, not packed; those that lie a multiple of a page apart would evict each
// other.
template <class T>
GP_INLINE bool is_direct(const Correlation &c) {
  return sizeof(T) == sizeof(typename Wide<T>::type) && is_gathered(ConvStrips(c.rows)) && is_whole(c) &&
         c.weight_row * static_cast<int64_t>(sizeof(T)) % 4096 != 0;
}

// to[k * rows + i]: the strip of rows [row, row + rows) of group g, k = (channel, tap).
template <class T, class Sum>
void pack_weights(const Correlation &c, const T *weight, int64_t g, int64_t row, int rows, Sum *to) {
  const Axis &y = c.frame.y, &x = c.frame.x;
  const T *from = weight + g * c.weight_group + row * c.weight_row;
  const bool whole = is_whole(c);
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
    lanes =
        gathered ? kTileVectors * vector_lanes : tile_lanes(max64(c.frame.last(), 1), strips.tallest(), vector_lanes);
    tiles = ceil_div(gathered ? columns : c.frame.last(), lanes);
    strips_each = gathered ? gathered_strips(strips.strips) : max64(1, min64(strips.strips, kStripElements / strip));
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

// to[(channel, tap) * lanes + i] = from[channel * stride + offsets[tap] + i] for i < count.
template <class Sum>
GP_INLINE void gather(const Sum *from, int64_t stride, int64_t channels, const int64_t *offsets, int64_t taps, Sum *to,
                      int64_t lanes, int count) {
  constexpr int N = Vec<Sum>::N;
  auto all = [&](auto copy) __attribute__((always_inline)) {
    for (int64_t k = 0; k < channels; k++, from += stride)
      for (int64_t t = 0; t < taps; t++, to += lanes) copy(to, from + offsets[t]);
  };
  if (count == 2 * N) {
    all([](Sum * p, const Sum *q) __attribute__((always_inline)) {
      const auto a = load(q), b = load(q + N);
      store(p, a);
      store(p + N, b);
    });
  } else if (count == N) {
    all([](Sum * p, const Sum *q) __attribute__((always_inline)) { store(p, load(q)); });
  } else if (count < N) {
    all([count](Sum * p, const Sum *q) __attribute__((always_inline)) { storen(p, loadn(q, count), count); });
  } else {
    all([count](Sum * p, const Sum *q) __attribute__((always_inline)) { copy_wide(p, q, count); });
  }
}

// The weights of a gathered tile's rows from depth `from` on: packed strips, or where they stand if depth runs along
// memory and nothing is to be widened.
template <class Sum>
struct Rows {
  const Correlation &c;
  const Sum *packed, *direct;
  int64_t from;
  int reading;

  template <class T>
  Rows(const Correlation &correlation, const Sum *strips, const T *weight, int64_t g, int64_t depth)
      : c(correlation), packed(strips + g * c.rows * c.depth()), direct(nullptr), from(depth), reading(kColumnsOfA) {
    if constexpr (sizeof(T) == sizeof(Sum)) {
      if (is_direct<T>(c)) {
        direct = weight + g * c.weight_group;
        reading = kRowsOfA;
      }
    }
  }
  const Sum *at(int64_t row, int rows) const {
    return direct != nullptr ? direct + row * c.weight_row + from : packed + row * c.depth() + from * rows;
  }
  int64_t step(int rows) const { return direct != nullptr ? c.weight_row : rows; }
  // to[i] = the address of line `first` + i of a strip's `depth` weights per row
  void list(int64_t row, int rows, int64_t depth, int64_t first, int64_t count, const void **to) const {
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Sum));
    const Sum *const base = at(row, rows);
    if (direct == nullptr) {
      for (int64_t i = 0; i < count; i++) to[i] = base + (first + i) * kLine;
      return;
    }
    const int64_t each = ceil_div(depth, kLine);
    int64_t r = first / each, l = first % each;
    for (int64_t i = 0; i < count; i++) {
      to[i] = base + (r < rows ? r : rows - 1) * c.weight_row + l * kLine;
      if (++l == each) {
        l = 0;
        r++;
      }
    }
  }
};

// The same for gathered tiles: units are tiles of positions that run on through the images.
template <class T, class Sum>
void run_gathered(const Correlation &c, const Cut &cut, const Side<T> &side, const int64_t *offsets, const Sum *packed,
                  const Sum *frames, int64_t n0, int64_t u0, int64_t u1, int64_t panel_depth, char *slot) {
  constexpr int N = Vec<Sum>::N;
  static_assert(kConvRows == kTileRows, "the tiles of gemm/micro.h");
  Piece pieces[kMostLanes];
  constexpr int64_t kMicroDepth = 4 * kDepthAtOnce;  // of one register tile: more only where taps are more
  const void *fetch[kMicroDepth / kFetchSteps];
  const Frame &f = c.frame;
  const int64_t group = u0 / cut.tiles, block = group % cut.strip_blocks, g = group / cut.strip_blocks, taps = f.taps();
  const int64_t s0 = block * cut.strips_each, s1 = min64(cut.strips.strips, s0 + cut.strips_each);
  const int64_t lanes = cut.lanes, tile_count = u1 - u0, at_once = max64(1, kDepthAtOnce / taps);
  const int64_t panel_size = panel_depth * lanes, at_once_tiles = gathered_tiles(c.rows);
  Sum *const panels = reinterpret_cast<Sum *>(slot), *const sums = panels + at_once_tiles * panel_size;
  for (int64_t channel = 0; channel < c.channels; channel += at_once) {
    const int64_t channels = min64(at_once, c.channels - channel);
    for (int64_t i = 0; i < tile_count; i++) {
      const int count = find_pieces(c, cut.columns, (u0 + i) % cut.tiles * lanes, lanes, pieces);
      for (int p = 0; p < count; p++) {
        const Piece &piece = pieces[p];
        const Sum *from = frames + ((piece.image * c.groups + g) * c.channels + channel) * f.channel() +
                          piece.row * f.pitch + piece.column;
        Sum *to = panels + i * panel_size + piece.at;
        gather(from, f.channel(), channels, offsets, taps, to, lanes, static_cast<int>(piece.count));
      }
    }
    const int64_t depth = channels * taps, slots = min64(depth, kMicroDepth) / kFetchSteps;
    const Rows<Sum> weights(c, packed, side.weight, g, channel * taps);
    for (int64_t s = s0; s < s1; s++) {
      const int rows = cut.strips.rows(s);
      const Sum *a = weights.at(cut.strips.begin(s), rows);
      for (int64_t i = 0; i < tile_count; i++) {
        // the next strip's weights, a tile's share
        const int64_t next = s + 1 < s1 ? s + 1 : s0;
        weights.list(cut.strips.begin(next), cut.strips.rows(next), depth, i * slots, slots, fetch);
        Sum *const out = sums + ((s - s0) * at_once_tiles + i) * kConvRows * lanes;
        for (int64_t k = 0; k < depth; k += kMicroDepth) {
          const Sum *b = panels + i * panel_size + k * lanes, *in = channel + k > 0 ? out : nullptr;
          const MicroJob<Sum, Sum> job = {min64(depth - k, kMicroDepth),
                                          a + k * (weights.direct != nullptr ? 1 : rows),
                                          weights.step(rows),
                                          b,
                                          lanes,
                                          in,
                                          lanes,
                                          out,
                                          lanes,
                                          fetch,
                                          N,
                                          out,
                                          lanes * static_cast<int64_t>(sizeof(Sum)),
                                          lanes * static_cast<int64_t>(sizeof(Sum)) - 1};
          if constexpr (sizeof(Sum) == 4) {
            kMicroF32[weights.reading | kPackedB][kTileVectors][rows](&job);
          } else {
            kMicroF64[weights.reading | kPackedB][kTileVectors][rows](&job);
          }
        }
      }
    }
  }
  for (int64_t i = 0; i < tile_count; i++) {
    const int count = find_pieces(c, cut.columns, (u0 + i) % cut.tiles * lanes, lanes, pieces);
    for (int64_t s = s0; s < s1; s++) {
      const int rows = cut.strips.rows(s);
      const int64_t row = g * c.rows + cut.strips.begin(s);
      for (int r = 0; r < rows; r++) {
        const Sum *from = sums + ((s - s0) * at_once_tiles + i) * kConvRows * lanes + r * lanes;
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
        const int64_t pack_units = is_direct<T>(c) ? 0 : c.groups * cut.strips.strips;
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
      const int64_t most = cut.gathered ? gathered_tiles(c.rows) : kTilesAtOnce;
      const int64_t least = cut.gathered ? min64(most, ceil_div(units, 8)) : 1;
      const int64_t grain = max64(least, min64(kTaskMacs / cut.unit_macs, ceil_div(units, 16)));
      const int64_t first = before;
      share(alone, ceil_div(units, grain), [&](int64_t task, int slot) {
        Lanes where;
        int64_t known = -1;
        const int64_t end = min64(units, (task + 1) * grain);
        for (int64_t u = task * grain; u < end;) {
          const int64_t stop = min64(min64(end, u + most), (u / together + 1) * together);
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
