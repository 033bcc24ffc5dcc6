// 2-d convolution (cross-correlation), NCHW, with stride, padding, dilation and groups. y and dx are correlations
// (conv_correlate.h), dweight is a product over positions (conv_weight.h, conv_lanes.h); a 1 x 1 kernel is a matrix
// product, and many channels under 3 x 3 with stride 1 are transformed (conv_winograd.h; not in f64, which is there for
// exactness).
//
// Every sum has an order that does not depend on the threads: y and dx are chains over (channel, tap) and (filter,
// tap); dweight is described in conv_weight.h and conv_lanes.h.
#include "../gemm/gemm.h"
#include "conv_lanes.h"
#include "conv_winograd.h"

namespace gp::GP_ISA {
namespace {

struct Conv {
  int32_t dtype;
  int64_t size, sum_size;  // bytes of an element and of a sum
  int64_t batch, channels, height, width, filters, kernel_h, kernel_w, out_h, out_w;
  int64_t stride[2], padding[2], dilation[2], groups;
  int64_t group_channels, group_filters, taps, depth, positions;  // depth: group_channels * taps

  bool pointwise() const {  // the image is its own matrix of patches
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

// ---- y --------------------------------------------------------------------------------------------------------------

Frame forward_frame(const Conv &v) {
  return frame_of(correlation_axis(v.out_h, v.height, v.kernel_h, v.stride[0], v.padding[0], v.dilation[0]),
                  correlation_axis(v.out_w, v.width, v.kernel_w, v.stride[1], v.padding[1], v.dilation[1]), kNoReach,
                  kNoReach);
}

// 3 x 3, every pixel, with channels enough on both sides.
bool is_winograd(const Conv &v, const Winograd &w) {
  return v.dtype != GP_F64 && v.kernel_h == 3 && v.kernel_w == 3 && v.stride[0] == 1 && v.stride[1] == 1 &&
         v.dilation[0] == 1 && v.dilation[1] == 1 && w.pays();
}

Winograd winograd_forward(const Conv &v) {
  return Winograd{v.batch,
                  v.groups,
                  v.group_channels,
                  v.group_filters,
                  Pixels{v.height, v.width, -v.padding[0], -v.padding[1]},
                  v.out_h,
                  v.out_w,
                  false,
                  v.group_filters * v.depth,
                  v.depth,
                  v.taps};
}

// dx from dy.
Winograd winograd_transposed(const Conv &v) {
  return Winograd{v.batch,
                  v.groups,
                  v.group_filters,
                  v.group_channels,
                  Pixels{v.out_h, v.out_w, v.padding[0] - 2, v.padding[1] - 2},
                  v.height,
                  v.width,
                  true,
                  v.group_filters * v.depth,
                  v.taps,
                  v.depth};
}

Correlation forward_of(const Conv &v) {
  Correlation c;
  c.frame = forward_frame(v);
  c.grid = Grid{v.out_w, {1, 1}, {0, 0}};
  c.batch = v.batch;
  c.groups = v.groups;
  c.channels = v.group_channels;
  c.rows = v.group_filters;
  c.weight_group = v.group_filters * v.depth;
  c.weight_row = v.depth;
  c.weight_channel = v.taps;
  c.kernel_w = v.kernel_w;
  c.out_plane = v.positions;
  return c;
}

// The 1 x 1 kernel: y = weight · x, or dx = weightᵀ · dy, for all images at once.
GemmArgs pointwise_product(const Conv &v, bool transposed, void *weight, void *from, void *to) {
  const int64_t rows = transposed ? v.group_channels : v.group_filters;
  const int64_t depth = transposed ? v.group_filters : v.group_channels;
  GemmArgs g = gemm_args(v.dtype, rows, v.positions, depth);
  g.a = transposed ? gemm_matrix(weight, 1, v.depth) : gemm_matrix(weight, v.depth, 1);
  g.b = gemm_matrix(from, v.positions, 1);
  g.c = gemm_matrix(to, v.positions, 1);
  g.batch_ndim = 2;
  g.batch_shape[0] = v.batch;
  g.batch_shape[1] = v.groups;
  g.a.batch[1] = v.group_filters * v.depth;
  g.b.batch[0] = v.groups * depth * v.positions;
  g.b.batch[1] = depth * v.positions;
  g.c.batch[0] = v.groups * rows * v.positions;
  g.c.batch[1] = rows * v.positions;
  return g;
}

GemmArgs pointwise_forward(const gp_call *call, const Conv &v) {
  GemmArgs g = pointwise_product(v, false, in(call, 1).data, in(call, 0).data, out(call, 0).data);
  if (has(call, 2)) {
    g.bias = gemm_matrix(in(call, 2).data, 1, 0);
    g.bias.batch[1] = v.group_filters;
  }
  return g;
}

size_t conv2d_workspace(const gp_call *call) {
  const Conv v = conv_of(call, in(call, 0), in(call, 1), out(call, 0));
  if (v.pointwise()) return gemm_workspace(pointwise_forward(call, v));
  if (const Winograd w = winograd_forward(v); is_winograd(v, w)) return WinogradPlan(w).size(thread_count());
  return plan_of(forward_of(v), v.taps, v.sum_size).size(thread_count());
}

int32_t conv2d(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &x = in(call, 0), &weight = in(call, 1), &y = out(call, 0);
  const Conv v = conv_of(call, x, weight, y);
  if (v.pointwise()) return gemm(pointwise_forward(call, v), call->workspace, call->workspace_size);
  GP_FLOATS(v.dtype, T, {
    const Side<T> side = {data<T>(x), data<T>(weight), has(call, 2) ? data<T>(in(call, 2)) : nullptr, data<T>(y)};
    char *const workspace = static_cast<char *>(call->workspace);
    if constexpr (sizeof(T) < 8) {
      if (const Winograd w = winograd_forward(v); is_winograd(v, w)) {
        winograd(w, side, workspace, call->workspace_size);
        return GP_OK;
      }
    }
    const Correlation c = forward_of(v);
    correlate_batch<T>(
        1, [&](int64_t) { return c; }, side, workspace, call->workspace_size);
  })
  return GP_OK;
}

// ---- dx -------------------------------------------------------------------------------------------------------------

// Along one axis, for every residue of dx by the stride.
GP_INLINE Axis transposed(const Conv &v, int axis, int64_t phase) {
  return axis == 0 ? transposed_axis(v.height, v.out_h, v.kernel_h, v.stride[0], v.padding[0], v.dilation[0], phase)
                   : transposed_axis(v.width, v.out_w, v.kernel_w, v.stride[1], v.padding[1], v.dilation[1], phase);
}
GP_INLINE Reach transposed_reach(const Conv &v, int axis) {
  Reach reach = kNoReach;
  for (int64_t phase = 0; phase < min64(v.stride[axis], axis == 0 ? v.height : v.width); phase++)
    reach.add(transposed(v, axis, phase));
  return reach;
}

// dx as correlations of dy: positions (phase_y, phase_x) + k · stride with the taps that reach them; some have none.
struct Transposed {
  const Conv &v;
  Reach reach[2];
  int64_t phases[2];

  explicit Transposed(const Conv &conv) : v(conv), reach{transposed_reach(conv, 0), transposed_reach(conv, 1)} {
    phases[0] = min64(v.stride[0], v.height);
    phases[1] = min64(v.stride[1], v.width);
  }
  int64_t parts() const { return phases[0] * phases[1]; }
  Correlation operator()(int64_t part) const {
    const int64_t y = part / phases[1], x = part % phases[1];
    Correlation c;
    c.frame = frame_of(transposed(v, 0, y), transposed(v, 1, x), reach[0], reach[1]);
    c.grid = Grid{v.width, {v.stride[0], v.stride[1]}, {y, x}};
    c.batch = v.batch;
    c.groups = v.groups;
    c.channels = v.group_filters;
    c.rows = v.group_channels;
    c.weight_group = v.group_filters * v.depth;
    c.weight_row = v.taps;
    c.weight_channel = v.depth;
    c.kernel_w = v.kernel_w;
    c.out_plane = v.height * v.width;
    return c;
  }
};

size_t transposed_size(const Conv &v) {
  if (v.pointwise()) return gemm_workspace(pointwise_product(v, true, nullptr, nullptr, nullptr));
  if (const Winograd w = winograd_transposed(v); is_winograd(v, w)) return WinogradPlan(w).size(thread_count());
  const Transposed phases(v);
  for (int64_t i = 0; i < phases.parts(); i++) {
    const Correlation c = phases(i);
    if (c.frame.taps() > 0) return plan_of(c, v.taps, v.sum_size).size(thread_count());  // the same frame for all
  }
  return 0;
}

// to = the gradient of a convolution's input for `from` as that of its output; plus a bias per channel of `to`.
template <class T>
int32_t transposed(const gp_call *call, const Conv &v, const gp_view &from, const gp_view &weight, const T *bias,
                   const gp_view &to) {
  if (v.pointwise()) {
    GemmArgs g = pointwise_product(v, true, weight.data, from.data, to.data);
    if (bias != nullptr) {
      g.bias = gemm_matrix(const_cast<T *>(bias), 1, 0);
      g.bias.batch[1] = v.group_channels;
    }
    return gemm(g, call->workspace, call->workspace_size);
  }
  const Side<T> side = {data<T>(from), data<T>(weight), bias, data<T>(to)};
  char *const workspace = static_cast<char *>(call->workspace);
  if constexpr (sizeof(T) < 8) {
    if (const Winograd w = winograd_transposed(v); is_winograd(v, w)) {
      winograd(w, side, workspace, call->workspace_size);
      return GP_OK;
    }
  }
  const Transposed phases(v);
  bool everywhere = v.positions > 0;
  for (int64_t i = 0; i < phases.parts(); i++) everywhere = everywhere && phases(i).frame.taps() > 0;
  if (!everywhere) {  // no tap reaches some elements
    const int64_t plane = v.height * v.width;
    ranges(v.batch * v.channels, max64(1, 16384 / max64(plane, 1)), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p++) {
        const T value = bias == nullptr ? narrow<T>(0) : bias[p % v.channels];
        for (int64_t i = 0; i < plane; i++) data<T>(to)[p * plane + i] = value;
      }
    });
  }
  if (v.positions > 0) correlate_batch<T>(phases.parts(), phases, side, workspace, call->workspace_size);
  return GP_OK;
}

size_t conv_transpose2d_workspace(const gp_call *call) {
  return transposed_size(conv_of(call, out(call, 0), in(call, 1), in(call, 0)));
}

int32_t conv_transpose2d(gp_context *, const gp_kernel *, const gp_call *call) {
  const Conv v = conv_of(call, out(call, 0), in(call, 1), in(call, 0));
  GP_FLOATS(v.dtype, T, {
    return transposed<T>(call, v, in(call, 0), in(call, 1), has(call, 2) ? data<T>(in(call, 2)) : nullptr,
                         out(call, 0));
  })
  return GP_OK;
}

// ---- dweight, dbias -------------------------------------------------------------------------------------------------

WeightGradient weight_of(const Conv &v) {
  WeightGradient c;
  c.frame = forward_frame(v);
  c.batch = v.batch;
  c.groups = v.groups;
  c.channels = v.group_channels;
  c.filters = v.group_filters;
  c.positions = v.positions;
  return c;
}

size_t weight_gradient_size(const Conv &v) {
  const WeightGradient c = weight_of(v);
  if (const Winograd w = winograd_forward(v); is_winograd(v, w)) return WinogradSums(w).size(thread_count());
  if (runs_along_rows(c)) return lanes_plan(c, v.sum_size).size(thread_count());
  return v.dtype == GP_F64 ? plan_of<double>(c).size(thread_count()) : plan_of<float>(c).size(thread_count());
}

template <class T>
void weight_gradient(const Conv &v, const T *x, const T *dy, T *dweight, const gp_call *call) {
  char *const workspace = static_cast<char *>(call->workspace);
  const size_t size = call->workspace_size;
  if constexpr (sizeof(T) < 8) {
    if (const Winograd w = winograd_forward(v); is_winograd(v, w))
      return winograd_gradient(w, x, dy, dweight, workspace, size);
  }
  const WeightGradient c = weight_of(v);
  if (runs_along_rows(c)) return lanes_gradient<T>(c, x, dy, dweight, workspace, size);
  weight_gradient<T>(c, x, dy, dweight, workspace, size);
}

// Sixteen running sums, added pairwise at the end: the same order for every vector length.
template <class T>
void bias_gradient(const Conv &v, const T *dy, T *dbias) {
  using Sum = typename Wide<T>::type;
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

int64_t wanted(const gp_call *call) { return static_cast<int64_t>(call->attrs[call->n_attrs - 1]); }

size_t conv2d_backward_workspace(const gp_call *call) {
  const Conv v = conv_of(call, in(call, 1), in(call, 2), in(call, 0));
  const size_t dx = (wanted(call) & 1) != 0 ? transposed_size(v) : 0;
  const size_t dw = (wanted(call) & 2) != 0 ? weight_gradient_size(v) : 0;
  return dx > dw ? dx : dw;
}

int32_t conv2d_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &dy = in(call, 0), &x = in(call, 1), &weight = in(call, 2);
  const Conv v = conv_of(call, x, weight, dy);
  const int64_t want = wanted(call);
  GP_FLOATS(v.dtype, T, {
    if (want & 1) {
      const int32_t code = transposed<T>(call, v, dy, weight, nullptr, out(call, 0));
      if (code != GP_OK) return code;
    }
    if (want & 2) weight_gradient<T>(v, data<T>(x), data<T>(dy), data<T>(out(call, 1)), call);
    if (want & 4) bias_gradient<T>(v, data<T>(dy), data<T>(out(call, 2)));
  })
  return GP_OK;
}

}  // namespace

GP_ROWS(conv2d) = {
    {"conv2d", "x weight bias? -> y ; stride padding dilation groups", kFloats, 0, 0, conv2d_workspace, conv2d},
    {"conv2d_backward", "dy x weight -> dx dweight dbias ; stride padding dilation groups want", kFloats, 0, 0,
     conv2d_backward_workspace, conv2d_backward},
    {"conv_transpose2d", "x weight bias? -> y ; stride padding dilation groups outputPadding", kFloats, 0, 0,
     conv_transpose2d_workspace, conv_transpose2d},
    {},
};

}  // namespace gp::GP_ISA
