// Correlations with many rows. A task has some tiles of positions, which run on through the images: channel by channel
// it frames the rows of the images that its tiles see, and gathers what every tap sees of them into the tiles' panels,
// all in L1; then it multiplies the weights by the panels. Correlations that share an image (the phases of an input
// gradient) follow one another in a task, so that what they write lies together.
#pragma once
#include "conv_problem.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kSumRows = 2048;  // of all the tiles at once, together: their sums stay in L2

// A run of gathered positions inside one row of one image.
struct Piece {
  int64_t image, row, column;
  int at, count;  // lanes
};

// The pieces of columns [first, first + lanes) of images of height * width: at most one per lane.
GP_INLINE int find_pieces(int64_t height, int64_t width, int64_t columns, int64_t first, int64_t lanes, Piece *to) {
  const int64_t end = min64(columns, first + lanes);
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

// to[tap * lanes + i] = from[offsets[tap] + i] for i < count: one channel.
template <class Sum>
GP_INLINE void gather(const Sum *from, const int64_t *offsets, int64_t taps, Sum *to, int64_t lanes, int count) {
  constexpr int N = Vec<Sum>::N;
  auto all = [&](auto copy) __attribute__((always_inline)) {
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

// How tiles and strips are cut; the same for all correlations that share a task, but for the tiles there are.
struct Gathered {
  ConvStrips strips;
  int64_t lanes;    // of a tile
  int64_t at_once;  // tiles that go together: fewer where many strips share what is gathered
  int64_t strips_each, strip_blocks;

  Gathered(const Correlation &c, int64_t sum_size)
      : strips(c.rows),
        lanes(kTileVectors * kVectorBytes / sum_size),
        at_once(max64(2, min64(kTilesAtOnce, kSumRows / max64(1, c.rows)))),
        strips_each(min64(strips.strips, kSumRows / 2 / kConvRows)),
        strip_blocks(ceil_div(strips.strips, max64(1, strips_each))) {}

  int64_t columns(const Correlation &c) const { return c.batch * c.frame.y.out * c.frame.x.out; }
  int64_t tiles(const Correlation &c) const { return ceil_div(columns(c), lanes); }
  // Elements of a thread's panels, sums and frame of one channel.
  int64_t panel(int64_t taps) const { return max64(kDepthAtOnce, taps) * lanes; }
  int64_t sums() const { return strips_each * kConvRows * lanes; }
  size_t slot_size(int64_t taps, int64_t channel, int64_t sum_size) const {
    return aligned((at_once * (panel(taps) + sums()) + channel + kFrameSlack) * sum_size);
  }
};

// Tiles [t0, t1) of one correlation, for one block of strips of group g; `panel`: elements between two tiles' panels.
template <class T, class Sum>
void run_gathered(const Correlation &c, const Gathered &cut, const Side<T> &side, const int64_t *offsets,
                  const Sum *packed, int64_t g, int64_t block, int64_t t0, int64_t t1, int64_t panel, char *slot) {
  constexpr int N = Vec<Sum>::N;
  static_assert(kConvRows == kTileRows, "the tiles of gemm/micro.h");
  Piece pieces[kTilesAtOnce * kTileVectors * N];
  int first[kTilesAtOnce + 1] = {};
  constexpr int64_t kMicroDepth = 4 * kDepthAtOnce;  // of one register tile: more only where taps are more
  const void *fetch[kMicroDepth / kFetchSteps];
  const Frame &f = c.frame;
  const int64_t taps = f.taps(), lanes = cut.lanes, tile_count = t1 - t0, at_once = max64(1, kDepthAtOnce / taps);
  const int64_t s0 = block * cut.strips_each, s1 = min64(cut.strips.strips, s0 + cut.strips_each);
  const int64_t columns = cut.columns(c), positions = f.y.out * f.x.out, plane = f.y.size * f.x.size;
  const int64_t wide = f.pitch == f.x.out ? positions : f.x.out;  // without gaps a frame is one row
  const int64_t begin = t0 * lanes, end = min64(columns, t1 * lanes);
  Sum *const panels = reinterpret_cast<Sum *>(slot), *const sums = panels + cut.at_once * panel;
  Sum *const frame = sums + cut.at_once * cut.sums();
  const int64_t image_step = c.groups * c.channels;  // planes
  for (int64_t i = 0; i < tile_count; i++)
    first[i + 1] = first[i] + find_pieces(positions / wide, wide, columns, (t0 + i) * lanes, lanes, pieces + first[i]);
  for (int64_t channel = 0; channel < c.channels; channel += at_once) {
    const int64_t channels = min64(at_once, c.channels - channel);
    for (int64_t k = 0; k < channels; k++) {
      int64_t framed = -1;
      const Sum *from = frame;
      for (int64_t i = 0; i < tile_count; i++) {
        Sum *const to = panels + i * panel + k * taps * lanes;
        for (int p = first[i]; p < first[i + 1]; p++) {
          const Piece &piece = pieces[p];
          if (piece.image != framed) {
            framed = piece.image;
            const int64_t row = framed == begin / positions ? begin % positions / f.x.out : 0;
            const int64_t rows = framed == (end - 1) / positions ? (end - 1) % positions / f.x.out + 1 : f.y.out;
            const int64_t top = row + f.y.low() - f.low, bottom = rows + f.y.high() - f.low;
            const T *image = side.image + ((framed * c.groups + g) * c.channels + channel + k) * plane;
            if constexpr (sizeof(T) == sizeof(Sum)) {
              if (f.is_image()) from = image;
            }
            if (from == frame) fill_frame(f, image, frame, top, bottom);
            const int64_t back = framed - begin / positions;  // the next channel begins with the first image again
            const int64_t next = framed == (end - 1) / positions ? 1 - back * image_step : image_step;
            prefetch_frame(f, image + next * plane, top, bottom);
          }
          gather(from + piece.row * f.pitch + piece.column, offsets, taps, to + piece.at, lanes, piece.count);
        }
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
        Sum *const out = sums + ((s - s0) * cut.at_once + i) * kConvRows * lanes;
        for (int64_t k = 0; k < depth; k += kMicroDepth) {
          const Sum *b = panels + i * panel + k * lanes, *in = channel + k > 0 ? out : nullptr;
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
  const int64_t row = c.grid.dense(f) ? positions : f.x.out;
  for (int64_t i = 0; i < tile_count; i++) {
    const int count = find_pieces(positions / row, row, columns, (t0 + i) * lanes, lanes, pieces);
    for (int64_t s = s0; s < s1; s++) {
      const int64_t r0 = g * c.rows + cut.strips.begin(s);
      const Sum *from = sums + ((s - s0) * cut.at_once + i) * kConvRows * lanes;
      for (int p = 0; p < count; p++) {
        const Piece &piece = pieces[p];
        T *to = side.out + (piece.image * c.groups * c.rows + r0) * c.out_plane;
        for (int r = 0; r < cut.strips.rows(s); r++, to += c.out_plane) {
          const Sum add = side.bias == nullptr ? Sum{0} : static_cast<Sum>(widen(side.bias[r0 + r]));
          put_run(c.grid, piece.row, piece.column, piece.count, from + r * lanes + piece.at, add, to);
        }
      }
    }
  }
}

// The correlations of correlate_batch (conv_correlate.h); `shape`: one of them.
template <class T, class Sum, class Part>
void correlate_gathered(int64_t parts, const Part &part, const Correlation &shape, int64_t all_taps,
                        const Side<T> &side, const int64_t *offsets, const Sum *packed, char *slots, size_t slot_size,
                        bool alone) {
  const Gathered cut(shape, sizeof(Sum));
  const int64_t weights = shape.groups * shape.rows * shape.channels;  // per tap
  int64_t most = 0;
  for (int64_t i = 0; i < parts; i++) most = max64(most, cut.tiles(part(i)));
  const int64_t blocks = shape.groups * cut.strip_blocks;
  const int64_t tile_macs = ceil_div(shape.rows, cut.strip_blocks) * shape.channels * all_taps * cut.lanes;
  const int64_t least = min64(cut.at_once, ceil_div(blocks * most, 8));
  const int64_t grain = max64(least, min64(kTaskMacs / tile_macs, ceil_div(blocks * most, 16)));
  const int64_t each = ceil_div(most, grain);
  share(alone, blocks * each, [&](int64_t task, int slot) {
    const int64_t block = task / each % cut.strip_blocks, g = task / each / cut.strip_blocks;
    for (int64_t t = task % each * grain; t < (task % each + 1) * grain; t += cut.at_once) {
      int64_t before = 0;
      for (int64_t i = 0; i < parts; i++) {
        const Correlation c = part(i);
        if (c.frame.taps() == 0 || c.frame.last() == 0) continue;
        const int64_t stop = min64(min64(t + cut.at_once, (task % each + 1) * grain), cut.tiles(c));
        if (t < stop)
          run_gathered(c, cut, side, offsets + before, packed + before * weights, g, block, t, stop,
                       cut.panel(all_taps), slots + slot_size * static_cast<size_t>(slot));
        before += c.frame.taps();
      }
    }
  });
}

}  // namespace
}  // namespace gp::GP_ISA
