// The gradient of a convolution's weight: for every row (channel, tap) and filter the sum over images and positions of
// x · dy, straight from framed images; dy is turned so that filters run along the vectors. A batch is summed in at most
// kParts parts, image after image, and the parts are added in order.
#pragma once
#include "conv_correlate.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kParts = 8;
constexpr int64_t kPartElements = 64 * 1024;  // a larger gradient is summed in one part
constexpr int64_t kSlotElements = 96 * 1024;  // framed and turned per thread: it stays in L2
constexpr int64_t kSharedElements = 2 * 1024 * 1024;
constexpr int64_t kGradientMacs = 1024 * 1024;

struct WeightGradient {
  Frame frame;
  int64_t batch, groups, channels, filters, positions;  // channels and filters of a group

  int64_t rows() const { return channels * frame.taps(); }
};

struct WeightPlan {
  int64_t width, strips, last_width;  // filters per strip, as padded; of the last one
  int64_t parts, images;              // images: framed at once
  bool apart;                         // every thread frames for itself
  int64_t group_sums, group_dy;       // elements of sums, and of dy of one image, of a group
  size_t offsets, sums, slot;         // bytes
  size_t size(int threads) const { return offsets + sums + slot * static_cast<size_t>(apart ? threads : 1); }
};

template <class Sum>
WeightPlan plan_of(const WeightGradient &c) {
  constexpr int64_t N = Vec<Sum>::N;
  WeightPlan p;
  p.width = min64(2 * N, max64(1, ceil_div(c.filters, N)) * N);
  p.strips = ceil_div(c.filters, p.width);
  p.last_width = ceil_div(c.filters - (p.strips - 1) * p.width, N) * N;
  const int64_t padded = p.strips == 0 ? 0 : (p.strips - 1) * p.width + p.last_width;
  p.group_sums = c.rows() * padded;
  p.group_dy = padded * c.positions;
  p.apart = c.groups * c.filters * c.rows() <= kPartElements || c.groups >= kParts;
  p.parts = c.groups * c.filters * c.rows() <= kPartElements ? max64(1, min64(kParts, c.batch)) : 1;
  const int64_t per_image = max64(1, c.channels * c.frame.channel() + p.group_dy);
  const int64_t room = p.apart ? kSlotElements / per_image : kSharedElements / (per_image * max64(1, c.groups));
  p.images = max64(1, min64(p.apart ? ceil_div(c.batch, p.parts) : c.batch, room));
  p.offsets = aligned(c.frame.taps() * 8);
  p.sums = aligned(p.parts * c.groups * p.group_sums * static_cast<int64_t>(sizeof(Sum)));
  const int64_t framed = p.images * (p.apart ? 1 : c.groups);
  p.slot = aligned((framed * per_image + kFrameSlack) * static_cast<int64_t>(sizeof(Sum)));
  return p;
}

// to[image][position][lane] of one strip, image by image: dy of `count` filters turned, zero behind them.
template <class T, class Sum>
GP_INLINE void turn(const T *dy, int64_t positions, int width, int count, Sum *to) {
  pack_strip<Sum>(to, width, dy, positions, 1, positions, count);
}

// Adds `images` framed images to rows [row0, row1) of one strip's sums.
template <class Sum>
void add_rows(const WeightGradient &c, const int64_t *offsets, const Sum *frames, int64_t image_stride, const Sum *dy,
              int64_t images, int64_t row0, int64_t row1, int width, Sum *sums) {
  const int64_t taps = c.frame.taps();
  GradientJob<Sum> job;
  job.dy = dy;
  job.images = images;
  job.image_stride = image_stride;
  job.out_rows = c.frame.y.out;
  job.out_columns = c.frame.x.out;
  job.pitch = c.frame.pitch;
  const ConvStrips blocks(row1 - row0);
  for (int64_t b = 0; b < blocks.strips; b++) {
    const int64_t first = row0 + blocks.begin(b);
    const int rows = blocks.rows(b);
    for (int i = 0; i < rows; i++)
      job.x[i] = frames + (first + i) / taps * c.frame.channel() + offsets[(first + i) % taps];
    job.sums = sums + first * width;
    gradient_tile<Sum>(rows, width / Vec<Sum>::N)(&job);
  }
}

template <class T>
void weight_gradient(const WeightGradient &c, const T *x, const T *dy, T *dweight, char *workspace, size_t size) {
  using Sum = typename Wide<T>::type;
  const WeightPlan p = plan_of<Sum>(c);
  int64_t *const offsets = reinterpret_cast<int64_t *>(workspace);
  Sum *const sums = reinterpret_cast<Sum *>(workspace + p.offsets);
  char *const slots = workspace + p.offsets + p.sums;
  const int64_t taps = c.frame.taps(), rows = c.rows(), plane = c.frame.y.size * c.frame.x.size;
  const int64_t all_channels = c.groups * c.channels, all_filters = c.groups * c.filters;
  for (int64_t t = 0; t < taps; t++) offsets[t] = c.frame.offset(t);
  memset(sums, 0, p.sums);
  const bool alone = c.batch * all_filters * rows * c.positions < kAloneMacs || p.size(thread_count()) > size;
  auto strip_width = [&](int64_t s) { return static_cast<int>(s == p.strips - 1 ? p.last_width : p.width); };
  auto strip_count = [&](int64_t s) { return static_cast<int>(min64(p.width, c.filters - s * p.width)); };
  // dy of `images` images from n on, filters of one strip: [image][position][lane]
  auto turn_strip = [&](int64_t n, int64_t images, int64_t g, int64_t s, Sum *to) {
    for (int64_t i = 0; i < images; i++)
      turn(dy + ((n + i) * all_filters + g * c.filters + s * p.width) * c.positions, c.positions, strip_width(s),
           strip_count(s), to + i * c.positions * strip_width(s));
  };

  if (c.positions == 0 || rows == 0 || c.filters == 0) {
  } else if (p.apart) {
    share(alone, p.parts * c.groups, [&](int64_t task, int slot) {
      const int64_t part = task / c.groups, g = task % c.groups;
      const int64_t begin = part * c.batch / p.parts, end = (part + 1) * c.batch / p.parts;
      Sum *const frames = reinterpret_cast<Sum *>(slots + p.slot * static_cast<size_t>(slot));
      const int64_t image_stride = c.channels * c.frame.channel();
      for (int64_t n = begin; n < end; n += p.images) {
        const int64_t images = min64(p.images, end - n);
        for (int64_t i = 0; i < images; i++) {
          for (int64_t channel = 0; channel < c.channels; channel++)
            fill_frame(c.frame, x + ((n + i) * all_channels + g * c.channels + channel) * plane,
                       frames + i * image_stride + channel * c.frame.channel());
        }
        Sum *turned = frames + p.images * image_stride;
        Sum *to = sums + (part * c.groups + g) * p.group_sums;
        for (int64_t s = 0; s < p.strips; s++) {
          turn_strip(n, images, g, s, turned);
          add_rows(c, offsets, frames, image_stride, turned, images, 0, rows, strip_width(s), to);
          turned += images * c.positions * strip_width(s);
          to += rows * strip_width(s);
        }
      }
    });
  } else {
    Sum *const frames = reinterpret_cast<Sum *>(slots);
    const int64_t image_stride = all_channels * c.frame.channel();
    Sum *const turned = frames + p.images * image_stride;
    const int64_t frame_grain = max64(1, 16384 / max64(1, c.frame.channel()));
    for (int64_t n = 0; n < c.batch; n += p.images) {
      const int64_t images = min64(p.images, c.batch - n), units = images * all_channels;
      const int64_t turns = c.groups * p.strips;
      auto dy_of = [&](int64_t g, int64_t s) {
        return turned + p.images * (g * p.group_dy + s * p.width * c.positions);
      };
      share(alone, turns + ceil_div(units, frame_grain), [&](int64_t task, int) {
        if (task < turns)
          return turn_strip(n, images, task / p.strips, task % p.strips, dy_of(task / p.strips, task % p.strips));
        task -= turns;
        for (int64_t u = task * frame_grain; u < min64(units, (task + 1) * frame_grain); u++) {
          prefetch_frame(c.frame, x + (n * all_channels + u + 1) * plane, 0, c.frame.rows);
          fill_frame(c.frame, x + (n * all_channels + u) * plane, frames + u * c.frame.channel());
        }
      });
      const int64_t row_grain =
          max64(kConvRows, min64(ceil_div(rows, 4), kGradientMacs / max64(1, images * c.positions * p.width)) /
                               kConvRows * kConvRows);
      const int64_t blocks = ceil_div(rows, row_grain);
      share(alone, turns * blocks, [&](int64_t task, int) {
        const int64_t row0 = task % blocks * row_grain, s = task / blocks % p.strips, g = task / blocks / p.strips;
        add_rows(c, offsets, frames + g * c.channels * c.frame.channel(), image_stride, dy_of(g, s), images, row0,
                 min64(rows, row0 + row_grain), strip_width(s), sums + g * p.group_sums + s * rows * p.width);
      });
    }
  }

  // dweight[filter][row] = the parts' sums, added in order
  ranges(all_filters, max64(1, 4096 / max64(rows, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t filter = begin; filter < end; filter++) {
      const int64_t g = filter / c.filters, s = filter % c.filters / p.width, width = strip_width(s);
      const Sum *from = sums + g * p.group_sums + s * rows * p.width + filter % c.filters % p.width;
      for (int64_t row = 0; row < rows; row++) {
        Sum sum = from[row * width];
        for (int64_t part = 1; part < p.parts; part++) sum += from[part * c.groups * p.group_sums + row * width];
        dweight[filter * rows + row] = narrow<T>(sum);
      }
    }
  });
}

}  // namespace
}  // namespace gp::GP_ISA
