// 2-d convolution (cross-correlation), NCHW, with stride, padding, dilation and groups, as products of the weight with
// the image's patches (im2col). cols: [C/groups · KH · KW, positions], rows in the weight's order.
//
// Every sum has an order that does not depend on the threads: y and dcols are products (gemm/README.md, "Bits"); dx
// adds patches in the order (kh, kw, position); dweight adds images one after the other within at most kParts parts of
// the batch, then the parts.
#include "../gemm/gemm.h"
#include "../simd/vec.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kColsElements = 128 * 1024;  // of a patch block: it stays in L2
constexpr int64_t kParts = 8;
constexpr int64_t kPartElements = 64 * 1024;  // a larger dweight is summed in one part

GP_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
GP_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
GP_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
GP_INLINE size_t aligned(int64_t bytes) { return (static_cast<size_t>(bytes) + 63) / 64 * 64; }

struct Conv {
  int32_t dtype;
  int64_t size, sum_size;  // bytes of an element and of a sum
  int64_t batch, channels, height, width, filters, kernel_h, kernel_w, out_h, out_w;
  int64_t stride[2], padding[2], dilation[2], groups, want;
  int64_t group_channels, group_filters, taps, depth, positions;  // depth: group_channels * taps

  bool pointwise() const {  // the image is its own cols
    return taps == 1 && stride[0] == 1 && stride[1] == 1 && padding[0] == 0 && padding[1] == 0;
  }
};

Conv conv_of(const gp_call *call, const gp_view &x, const gp_view &weight, const gp_view &y) {
  Conv v;
  memset(&v, 0, sizeof v);
  Attrs attrs(call);
  attrs.list(v.stride);
  attrs.list(v.padding);
  attrs.list(v.dilation);
  v.groups = attrs.integer();
  v.dtype = x.dtype;
  v.size = x.dtype == GP_F64 ? 8 : x.dtype == GP_F32 ? 4 : 2;
  v.sum_size = x.dtype == GP_F64 ? 8 : 4;
  v.batch = x.shape[0];
  v.channels = x.shape[1];
  v.height = x.shape[2];
  v.width = x.shape[3];
  v.filters = weight.shape[0];
  v.kernel_h = weight.shape[2];
  v.kernel_w = weight.shape[3];
  v.out_h = y.shape[2];
  v.out_w = y.shape[3];
  v.group_channels = weight.shape[1];
  v.group_filters = v.filters / v.groups;
  v.taps = v.kernel_h * v.kernel_w;
  v.depth = v.group_channels * v.taps;
  v.positions = v.out_h * v.out_w;
  return v;
}

GP_INLINE char *at(const gp_view &view, int64_t element, int64_t size) {
  return static_cast<char *>(view.data) + element * size;
}

// Output columns [first, end) whose input column ox * stride - padding + tap * dilation lies inside the image.
struct Run {
  int64_t first, end;
};
GP_INLINE Run inside(int64_t out, int64_t in, int64_t stride, int64_t offset) {  // offset: tap * dilation - padding
  const int64_t first = offset >= 0 ? 0 : ceil_div(-offset, stride);
  const int64_t end = in - offset <= 0 ? 0 : ceil_div(in - offset, stride);
  return Run{min64(first, out), max64(min64(first, out), min64(end, out))};
}

// Scratch for the padded rows that `positions` positions of `channels` channels read.
size_t padded_size(const Conv &v, int64_t channels, int64_t positions) {
  const int64_t out_rows = min64(v.out_h, positions / max64(v.out_w, 1) + 2);
  const int64_t rows = (out_rows - 1) * v.stride[0] + (v.kernel_h - 1) * v.dilation[0] + 1;
  return aligned(channels * rows * (v.width + 2 * v.padding[1]) * v.size + 64);
}

// cols[r, p - p0] of channels [c0, c1) of an image, U: an unsigned type of the element's size. The rows are first
// copied with their padding, so that every run of a patch is one copy in whole blocks: what it writes too much, the
// next run overwrites, and behind the last both buffers have room for a block.
template <class U>
void im2col(const Conv &v, const U *image, int64_t c0, int64_t c1, int64_t p0, int64_t p1, U *cols, U *padded) {
  typedef uint8_t Block __attribute__((vector_size(64), aligned(1), may_alias));
  constexpr int64_t kBlock = 64 / sizeof(U);
  const int64_t count = p1 - p0;
  if (count <= 0) return;
  const int64_t oy0 = p0 / v.out_w, oy1 = (p1 - 1) / v.out_w, width = v.width + 2 * v.padding[1];
  const int64_t top = oy0 * v.stride[0] - v.padding[0];
  const int64_t rows = (oy1 - oy0) * v.stride[0] + (v.kernel_h - 1) * v.dilation[0] + 1;
  for (int64_t c = c0; c < c1; c++) {
    for (int64_t row = 0; row < rows; row++) {
      U *to = padded + ((c - c0) * rows + row) * width;
      const int64_t iy = top + row;
      const bool exists = iy >= 0 && iy < v.height;
      memset(to, 0, static_cast<size_t>(exists ? v.padding[1] : width) * sizeof(U));
      if (!exists) continue;
      memcpy(to + v.padding[1], image + (c * v.height + iy) * v.width, static_cast<size_t>(v.width) * sizeof(U));
      memset(to + v.padding[1] + v.width, 0, static_cast<size_t>(v.padding[1]) * sizeof(U));
    }
  }
  for (int64_t c = 0; c < c1 - c0; c++) {
    for (int64_t tap = 0; tap < v.taps; tap++, cols += count) {
      const U *corner =
          padded + (c * rows + tap / v.kernel_w * v.dilation[0]) * width + tap % v.kernel_w * v.dilation[1];
      U *to = cols;
      for (int64_t oy = oy0, ox = p0 - oy0 * v.out_w; oy <= oy1; oy++, ox = 0) {
        const int64_t run = min64(v.out_w - ox, cols + count - to);
        const U *from = corner + (oy - oy0) * v.stride[0] * width + ox * v.stride[1];
        if (v.stride[1] == 1) {
          for (int64_t i = 0; i < run; i += kBlock)
            *reinterpret_cast<Block *>(to + i) = *reinterpret_cast<const Block *>(from + i);
        } else {
          for (int64_t i = 0; i < run; i++) to[i] = from[i * v.stride[1]];
        }
        to += run;
      }
    }
  }
}

void patches(const Conv &v, const void *image, int64_t c0, int64_t c1, int64_t p0, int64_t p1, void *cols,
             void *padded) {
  auto typed = [&](auto unit) {
    using U = decltype(unit);
    im2col(v, static_cast<const U *>(image), c0, c1, p0, p1, static_cast<U *>(cols), static_cast<U *>(padded));
  };
  if (v.size == 2) return typed(uint16_t{});
  if (v.size == 4) return typed(uint32_t{});
  typed(uint64_t{});
}

// Scratch for one thread's product over a whole block of `total`, or over the last, shorter one: either may need more.
template <class F>
size_t scratch_of(int64_t block, int64_t total, const F &product) {
  const size_t whole = gemm_workspace(product(block), 1);
  const size_t rest = total % block == 0 ? 0 : gemm_workspace(product(total % block), 1);
  return aligned(static_cast<int64_t>(whole > rest ? whole : rest));
}

// ---- forward
// ----------------------------------------------------------------------------------------------------------

struct Forward {
  int64_t block, blocks;      // positions per task, tasks per image and group
  size_t cols, padded, slot;  // bytes per thread: cols, padded rows, the product's scratch
};

// y[filters, positions] = weight[filters, depth] · cols[depth, positions] + bias, of one group
GemmArgs forward_product(const Conv &v, int64_t positions, int64_t cols_row) {
  GemmArgs g = gemm_args(v.dtype, v.group_filters, positions, v.depth);
  g.a = gemm_matrix(nullptr, v.depth, 1);
  g.b = gemm_matrix(nullptr, cols_row, 1);
  g.c = gemm_matrix(nullptr, v.positions, 1);
  return g;
}

Forward forward_plan(const Conv &v) {
  Forward f;
  int64_t block = max64(64, kColsElements / max64(v.depth, 1) / 32 * 32);
  const int64_t tasks = max64(v.batch * v.groups, 1);
  if (tasks < kParts) block = min64(block, max64(64, ceil_div(ceil_div(v.positions * tasks, kParts), 32) * 32));
  f.block = min64(block, max64(v.positions, 1));
  f.blocks = ceil_div(v.positions, f.block);
  f.cols = aligned(v.depth * f.block * v.size + 64);
  f.padded = padded_size(v, v.group_channels, f.block);
  f.slot = f.cols + f.padded + scratch_of(f.block, v.positions, [&](int64_t positions) {
             GemmArgs g = forward_product(v, positions, positions);
             g.bias = gemm_matrix(&f, 1, 0);  // present: the scratch differs
             return g;
           });
  return f;
}

// A product of all images at once, straight from x.
GemmArgs pointwise_product(const gp_call *call, const Conv &v) {
  GemmArgs g = forward_product(v, v.positions, v.positions);
  g.batch_ndim = 2;
  g.batch_shape[0] = v.batch;
  g.batch_shape[1] = v.groups;
  g.a.data = in(call, 1).data;
  g.a.batch[1] = v.group_filters * v.depth;
  g.b.data = in(call, 0).data;
  g.b.batch[0] = v.channels * v.positions;
  g.b.batch[1] = v.group_channels * v.positions;
  g.c.data = out(call, 0).data;
  g.c.batch[0] = v.filters * v.positions;
  g.c.batch[1] = v.group_filters * v.positions;
  if (has(call, 2)) {
    g.bias = gemm_matrix(in(call, 2).data, 1, 0);
    g.bias.batch[1] = v.group_filters;
  }
  return g;
}

size_t conv2d_workspace(const gp_call *call) {
  const Conv v = conv_of(call, in(call, 0), in(call, 1), out(call, 0));
  if (v.pointwise()) return gemm_workspace(pointwise_product(call, v));
  return forward_plan(v).slot * static_cast<size_t>(thread_count());
}

// The slots that fit: with fewer than the present threads need, the calling thread works alone.
template <class F>
GP_INLINE void run(const gp_call *call, size_t before, size_t slot, int64_t count, const F &body) {
  if (before + slot * static_cast<size_t>(thread_count()) <= call->workspace_size) return tiles(count, body);
  for (int64_t i = 0; i < count; i++) body(i, 0);
}

int32_t conv2d(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &x = in(call, 0), &weight = in(call, 1), &y = out(call, 0);
  const Conv v = conv_of(call, x, weight, y);
  if (v.pointwise()) {
    return gemm(pointwise_product(call, v), call->workspace, call->workspace_size);
  }
  const Forward f = forward_plan(v);
  run(call, 0, f.slot, v.batch * v.groups * f.blocks, [&](int64_t task, int slot) {
    const int64_t p0 = task % f.blocks * f.block, p1 = min64(v.positions, p0 + f.block);
    const int64_t group = task / f.blocks % v.groups, image = task / f.blocks / v.groups;
    char *cols = static_cast<char *>(call->workspace) + f.slot * static_cast<size_t>(slot);
    const int64_t channel = image * v.channels + group * v.group_channels;
    patches(v, at(x, channel * v.height * v.width, v.size), 0, v.group_channels, p0, p1, cols, cols + f.cols);
    GemmArgs g = forward_product(v, p1 - p0, p1 - p0);
    g.a.data = at(weight, group * v.group_filters * v.depth, v.size);
    g.b.data = cols;
    g.c.data = at(y, (image * v.filters + group * v.group_filters) * v.positions + p0, v.size);
    if (has(call, 2)) g.bias = gemm_matrix(at(in(call, 2), group * v.group_filters, v.size), 1, 0);
    gemm(g, cols + f.cols + f.padded, f.slot - f.cols - f.padded);
  });
  return GP_OK;
}

// ---- backward
// ---------------------------------------------------------------------------------------------------------

struct Backward {
  // dx: tasks of `dx_channels` channels of an image; per thread dcols, sums of the half types, the product's scratch
  int64_t dx_channels, dx_blocks;
  size_t dcols, dx_sums, dx_slot;
  // dweight: tasks of `dw_channels` channels of a part of the batch; per thread cols, padded rows, the product's
  // scratch
  int64_t parts, part_images, dw_channels, dw_blocks;
  size_t partials, cols, padded, dw_slot;
};

// dcols[rows, positions] = weight[filters, rows]ᵀ · dy[filters, positions]
GemmArgs dcols_product(const Conv &v, int64_t channels) {
  GemmArgs g = gemm_args(v.dtype, channels * v.taps, v.positions, v.group_filters);
  g.wide_c = true;
  g.a = gemm_matrix(nullptr, 1, v.depth);
  g.b = gemm_matrix(nullptr, v.positions, 1);
  g.c = gemm_matrix(nullptr, v.positions, 1);
  return g;
}

// dweightᵀ[rows, filters] += cols[rows, positions] · dy[filters, positions]ᵀ: turned, because dy is the smaller operand
// and the second one must be transposed.
GemmArgs dweight_product(const Conv &v, int64_t channels) {
  GemmArgs g = gemm_args(v.dtype, channels * v.taps, v.group_filters, v.positions);
  g.wide_c = true;
  g.accumulate = true;
  g.a = gemm_matrix(nullptr, v.positions, 1);
  g.b = gemm_matrix(nullptr, 1, v.positions);
  g.c = gemm_matrix(nullptr, v.group_filters, 1);
  return g;
}

Backward backward_plan(const Conv &v) {
  Backward b;
  memset(&b, 0, sizeof b);
  const int64_t per_channel = max64(v.taps * v.positions, 1);
  b.dx_channels = min64(max64(v.group_channels, 1), max64(1, 2 * kColsElements / per_channel));
  b.dx_blocks = ceil_div(v.group_channels, b.dx_channels);
  b.dcols = aligned(b.dx_channels * per_channel * v.sum_size);
  b.dx_sums = v.size == 2 ? aligned(b.dx_channels * v.height * v.width * v.sum_size) : 0;
  b.dx_slot = b.dcols + b.dx_sums +
              scratch_of(b.dx_channels, v.group_channels, [&](int64_t channels) { return dcols_product(v, channels); });
  b.part_images = v.filters * v.depth <= kPartElements ? max64(1, ceil_div(v.batch, kParts)) : max64(1, v.batch);
  b.parts = max64(1, ceil_div(v.batch, b.part_images));
  b.dw_channels = b.dx_channels;
  // With the batch in one part, the channels must feed the threads.
  if (b.parts == 1) b.dw_channels = min64(b.dw_channels, max64(1, ceil_div(v.group_channels, kParts)));
  b.dw_blocks = ceil_div(v.group_channels, b.dw_channels);
  b.partials = aligned(b.parts * v.filters * v.depth * v.sum_size);
  b.cols = aligned(b.dw_channels * per_channel * v.size + 64);
  b.padded = padded_size(v, b.dw_channels, v.positions);
  b.dw_slot = b.cols + b.padded + scratch_of(b.dw_channels, v.group_channels, [&](int64_t channels) {
                return dweight_product(v, channels);
              });
  return b;
}

size_t conv2d_backward_workspace(const gp_call *call) {
  const Backward b = backward_plan(conv_of(call, in(call, 1), in(call, 2), in(call, 0)));
  const size_t threads = static_cast<size_t>(thread_count());
  const size_t dx = b.dx_slot * threads, dw = b.partials + b.dw_slot * threads;
  return dx > dw ? dx : dw;
}

// Adds the patches of `channels` channels back onto their image.
template <class Sum>
void col2im(const Conv &v, const Sum *cols, int64_t channels, Sum *image) {
  using V = Compute<Sum>;
  for (int64_t c = 0; c < channels; c++, image += v.height * v.width) {
    for (int64_t tap = 0; tap < v.taps; tap++, cols += v.positions) {
      const int64_t dy = tap / v.kernel_w * v.dilation[0] - v.padding[0];
      const int64_t dx = tap % v.kernel_w * v.dilation[1] - v.padding[1];
      const Run rows = inside(v.out_h, v.height, v.stride[0], dy), run = inside(v.out_w, v.width, v.stride[1], dx);
      for (int64_t oy = rows.first; oy < rows.end; oy++) {
        const Sum *from = cols + oy * v.out_w;
        Sum *to = image + (oy * v.stride[0] + dy) * v.width + dx;
        if (v.stride[1] == 1) {
          int64_t ox = run.first;
          for (; ox + V::lanes <= run.end; ox += V::lanes) store(to + ox, load<V>(to + ox) + load<V>(from + ox));
          const int64_t rest = run.end - ox;
          if (rest > 0) store_some(to + ox, load_some<V>(to + ox, rest) + load_some<V>(from + ox, rest), rest);
        } else {
          for (int64_t ox = run.first; ox < run.end; ox++) to[ox * v.stride[1]] += from[ox];
        }
      }
    }
  }
}

template <class T>
void input_gradient(const gp_call *call, const Conv &v, const Backward &b) {
  using Sum = typename Wide<T>::type;
  const gp_view &dy = in(call, 0), &weight = in(call, 2), &dx = out(call, 0);
  run(call, 0, b.dx_slot, v.batch * v.groups * b.dx_blocks, [&](int64_t task, int slot) {
    const int64_t c0 = task % b.dx_blocks * b.dx_channels, channels = min64(b.dx_channels, v.group_channels - c0);
    const int64_t group = task / b.dx_blocks % v.groups, image = task / b.dx_blocks / v.groups;
    char *dcols = static_cast<char *>(call->workspace) + b.dx_slot * static_cast<size_t>(slot);
    GemmArgs g = dcols_product(v, channels);
    g.a.data = at(weight, group * v.group_filters * v.depth + c0 * v.taps, v.size);
    g.b.data = at(dy, (image * v.filters + group * v.group_filters) * v.positions, v.size);
    g.c.data = dcols;
    gemm(g, dcols + b.dcols + b.dx_sums, b.dx_slot - b.dcols - b.dx_sums);
    const int64_t count = channels * v.height * v.width;
    T *to = data<T>(dx) + (image * v.channels + group * v.group_channels + c0) * v.height * v.width;
    Sum *sums;
    if constexpr (sizeof(T) == sizeof(Sum)) {
      sums = to;
    } else {
      sums = reinterpret_cast<Sum *>(dcols + b.dcols);
    }
    memset(sums, 0, static_cast<size_t>(count) * sizeof(Sum));
    col2im(v, reinterpret_cast<const Sum *>(dcols), channels, sums);
    if constexpr (sizeof(T) != sizeof(Sum)) {
      for (int64_t i = 0; i < count; i++) to[i] = narrow<T>(sums[i]);
    }
  });
}

template <class T>
void weight_gradient(const gp_call *call, const Conv &v, const Backward &b) {
  using Sum = typename Wide<T>::type;
  const gp_view &dy = in(call, 0), &x = in(call, 1), &dweight = out(call, 1);
  const int64_t elements = v.filters * v.depth;
  char *const workspace = static_cast<char *>(call->workspace);
  Sum *const partials = reinterpret_cast<Sum *>(workspace);
  memset(partials, 0, static_cast<size_t>(b.parts * elements) * sizeof(Sum));
  run(call, b.partials, b.dw_slot, b.parts * v.groups * b.dw_blocks, [&](int64_t task, int slot) {
    const int64_t c0 = task % b.dw_blocks * b.dw_channels, channels = min64(b.dw_channels, v.group_channels - c0);
    const int64_t group = task / b.dw_blocks % v.groups, part = task / b.dw_blocks / v.groups;
    char *cols = workspace + b.partials + b.dw_slot * static_cast<size_t>(slot);
    const int64_t end = min64(v.batch, (part + 1) * b.part_images);
    for (int64_t image = part * b.part_images; image < end; image++) {
      const int64_t channel = image * v.channels + group * v.group_channels;
      GemmArgs g = dweight_product(v, channels);
      g.a.data = cols;
      g.b.data = at(dy, (image * v.filters + group * v.group_filters) * v.positions, v.size);
      g.c.data = partials + part * elements + (group * v.depth + c0 * v.taps) * v.group_filters;
      patches(v, at(x, channel * v.height * v.width, v.size), c0, c0 + channels, 0, v.positions, cols, cols + b.cols);
      gemm(g, cols + b.cols + b.padded, b.dw_slot - b.cols - b.padded);
    }
  });
  T *const to = data<T>(dweight);
  ranges(v.filters, max64(1, 4096 / max64(v.depth, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t filter = begin; filter < end; filter++) {
      const int64_t group = filter / v.group_filters;
      const Sum *from = partials + group * v.depth * v.group_filters + filter % v.group_filters;
      for (int64_t row = 0; row < v.depth; row++) {
        Sum sum = from[row * v.group_filters];
        for (int64_t part = 1; part < b.parts; part++) sum += from[part * elements + row * v.group_filters];
        to[filter * v.depth + row] = narrow<T>(sum);
      }
    }
  });
}

// Sixteen running sums, added pairwise at the end: the same order for every vector length.
template <class T>
void bias_gradient(const gp_call *call, const Conv &v) {
  using Sum = typename Wide<T>::type;
  const T *const dy = data<T>(in(call, 0));
  T *const dbias = data<T>(out(call, 2));
  ranges(v.filters, 1, [&](int64_t filter, int64_t) {
    Sum sums[16] = {};
    for (int64_t image = 0; image < v.batch; image++) {
      const T *from = dy + (image * v.filters + filter) * v.positions;
      int64_t p = 0;
      for (; p + 16 <= v.positions; p += 16)
        for (int lane = 0; lane < 16; lane++) sums[lane] += widen(from[p + lane]);
      for (; p < v.positions; p++) sums[p % 16] += widen(from[p]);
    }
    for (int half = 8; half > 0; half /= 2)
      for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    dbias[filter] = narrow<T>(sums[0]);
  });
}

int32_t conv2d_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Conv v = conv_of(call, in(call, 1), in(call, 2), in(call, 0));
  const int64_t want = static_cast<int64_t>(call->attrs[call->n_attrs - 1]);
  const Backward b = backward_plan(v);
  GP_FLOATS(v.dtype, T, {
    if (want & 1) input_gradient<T>(call, v, b);
    if (want & 2) weight_gradient<T>(call, v, b);
    if (want & 4) bias_gradient<T>(call, v);
  })
  return GP_OK;
}

}  // namespace

GP_ROWS(conv2d) = {
    {"conv2d", "x weight bias? -> y ; stride padding dilation groups", kFloats, 0, 0, conv2d_workspace, conv2d},
    {"conv2d_backward", "dy x weight -> dx dweight dbias ; stride padding dilation groups want", kFloats, 0, 0,
     conv2d_backward_workspace, conv2d_backward},
    {},
};

}  // namespace gp::GP_ISA
