// What the correlations of a batch have in common (conv_frame.h), and their weights packed.
#pragma once
#include "../gemm/micro.h"
#include "conv_tile.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kTaskMacs = 1024 * 1024, kAloneMacs = 128 * 1024;
constexpr int kTilesAtOnce = 8;
constexpr int64_t kDepthAtOnce = 384, kGatheredStrips = 4;

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

template <class T>
struct Side {
  const T *image, *weight, *bias;
  T *out;
};

// With little to do the calling thread works alone.
template <class F>
GP_INLINE void share(bool alone, int64_t count, const F &body) {
  if (!alone) return tiles(count, body);
  for (int64_t i = 0; i < count; i++) body(i, 0);
}

// With many rows it pays to gather a tile's positions into a panel first (conv_gathered.h): no lane is lost between the
// rows of an image, loads are aligned, and tiles run on through the images.
GP_INLINE bool is_gathered(const ConvStrips &strips) {
  return strips.strips >= kGatheredStrips && 2 * strips.tallest() > kConvRows;
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

// Channels [c0, c1) of all strips of a group, where depth runs across memory: to[row * depth + (channel, tap) * rows +
// i] for the strip of rows [row, row + rows).
template <class T, class Sum>
void pack_channels(const Correlation &c, const ConvStrips &strips, const T *weight, int64_t c0, int64_t c1, Sum *to) {
  const Axis &y = c.frame.y, &x = c.frame.x;
  const int64_t taps = c.frame.taps(), step = c.weight_row;
  for (int64_t s = 0; s < strips.strips; s++) {
    const int64_t row = strips.begin(s);
    const int rows = strips.rows(s);
    Sum *put = to + row * c.depth() + c0 * taps * rows;
    for (int64_t channel = c0; channel < c1; channel++) {
      const T *from = weight + row * step + channel * c.weight_channel;
      for (int64_t at = 0; at < rows * step; at += 64 / static_cast<int64_t>(sizeof(T)))
        __builtin_prefetch(from + 4 * c.weight_channel + at);
      for (int64_t ty = 0; ty < y.taps; ty++) {
        for (int64_t tx = 0; tx < x.taps; tx++, put += rows) {
          const T *p = from + (y.kernel_first + ty * y.kernel_step) * c.kernel_w + x.kernel_first + tx * x.kernel_step;
          for (int i = 0; i < rows; i++) put[i] = widen(p[i * step]);
        }
      }
    }
  }
}

// All strips of all groups: row r of group g from to[(g * rows + r) * depth] on, to[k * rows + i] in a strip with k =
// (channel, tap).
template <class T, class Sum>
void pack_strips(const Correlation &c, const T *weight, Sum *to, bool alone) {
  const ConvStrips strips(c.rows);
  const bool whole = is_whole(c);
  const int64_t count = whole ? strips.strips : c.channels;
  const int64_t grain = max64(whole ? 1 : 16, 16384 / max64(1, c.rows * c.depth() / max64(1, count)));
  const int64_t each = ceil_div(count, grain);
  share(alone || c.groups * c.rows * c.depth() < 16384, c.groups * each, [&](int64_t task, int) {
    const int64_t g = task / each, begin = task % each * grain, end = min64(count, begin + grain);
    const T *from = weight + g * c.weight_group;
    Sum *const put = to + g * c.rows * c.depth();
    if (!whole) return pack_channels(c, strips, from, begin, end, put);
    for (int64_t s = begin; s < end; s++) {
      const int64_t row = strips.begin(s);
      const int rows = strips.rows(s);
      if (rows == 1) {
        copy_wide(put + row * c.depth(), from + row * c.weight_row, c.depth());
      } else {
        pack_strip<Sum>(put + row * c.depth(), rows, from + row * c.weight_row, c.weight_row, 1, c.depth(), rows);
      }
    }
  });
}

}  // namespace
}  // namespace gp::GP_ISA
