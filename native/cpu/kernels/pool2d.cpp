// Max and average pooling over the last two axes. Planes are independent; inside a plane everything is added in the
// order of the output positions, so the threads leave no trace. Half types are summed in f32.
#include "pool_pairs.h"

namespace gp::GP_ISA {
namespace {

// image: the unpooled side; pooled: the other.
Pool pool_of(const gp_view &image, const gp_view &pooled) {
  Pool p;
  memset(&p, 0, sizeof p);
  p.height = image.shape[image.ndim - 2];
  p.width = image.shape[image.ndim - 1];
  p.out_h = pooled.shape[pooled.ndim - 2];
  p.out_w = pooled.shape[pooled.ndim - 1];
  p.planes = 1;
  for (int i = 0; i < image.ndim - 2; i++) p.planes *= image.shape[i];
  p.dilation[0] = p.dilation[1] = 1;
  return p;
}

// Planes per task, so that a task has some tens of thousands of elements.
GP_INLINE int64_t grain(const Pool &p) {
  const int64_t plane = p.height * p.width + p.out_h * p.out_w + 1;
  return plane >= 32768 ? 1 : 32768 / plane;
}

// A window's part inside the image along one axis.
struct Window {
  int64_t begin, end;  // of the image
  int64_t padded;      // length with padding, but not beyond the padded image
};
GP_INLINE Window window(int64_t out, int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  int64_t begin = out * stride - padding, end = begin + (kernel - 1) * dilation + 1;
  if (dilation == 1 && end > size + padding) end = size + padding;
  Window w;
  w.padded = end - begin;
  if (begin < 0) begin += (-begin + dilation - 1) / dilation * dilation;
  w.begin = begin;
  w.end = end < size ? end : size;
  return w;
}

// ---- max
// --------------------------------------------------------------------------------------------------------------

// The first element of a window that lies inside the image, along one axis.
GP_INLINE int64_t first_inside(int64_t begin, int64_t dilation) {
  return begin >= 0 ? 0 : (-begin + dilation - 1) / dilation * dilation;
}

// Windows [ox, ox + count) of row oy; `row`: of the plane. Stride: 1, 2 or 0 for any.
template <int Stride, class T>
GP_FN void max_windows(const Pool &p, const T *x, int64_t oy, int64_t ox, int64_t count, T *y, int32_t *indices) {
  using M = Maxima<T>;
  using V = typename M::V;
  using I = typename M::I;
  using S = typename M::S;
  using At = typename I::Scalar;
  constexpr int N = V::lanes;
  const S low = -static_cast<S>(__builtin_inff());
  const int64_t stride = Stride == 0 ? p.stride[1] : Stride;
  const int64_t top = oy * p.stride[0] - p.padding[0], left = ox * stride - p.padding[1];
  M m;
  m.highest = V(low);
  m.corner = I(static_cast<At>(top * p.width + left)) + counting<T>(typename M::Lanes{}) * I(static_cast<At>(stride));
  m.best = m.corner;
  if (top < 0 || left < 0) {
    At first[N];
    for (int64_t c = 0; c < N; c++)
      first[c] = static_cast<At>((top + first_inside(top, p.dilation[0])) * p.width + left + c * stride +
                                 first_inside(left + c * stride, p.dilation[1]));
    m.best = load<I>(first);
  }
  for (int64_t i = 0, dy = 0; i < p.kernel[0]; i++, dy += p.dilation[0]) {
    if (top + dy < 0 || top + dy >= p.height) continue;
    const T *row = x + (top + dy) * p.width;
    for (int64_t j = 0, dx = 0; j < p.kernel[1]; j++, dx += p.dilation[1]) {
      const int64_t from = left + dx, there = p.width - from;  // elements of the row from there on
      const bool inside = from >= 0 && (count - 1) * stride < there;
      if (Stride == 1 && inside) {
        m.take(up_to<V>(row + from, there), dy * p.width + dx);
      } else if (Stride == 2 && inside) {
        const V a = up_to<V>(row + from, there), b = up_to<V>(row + from + N, there - N);
        m.take(every_second<0>(a, b, typename M::Lanes{}), dy * p.width + dx);
        if (p.dilation[1] == 1 && j + 1 < p.kernel[1] &&
            (count - 1) * stride + 1 < there) {  // the neighbour is here too
          j++;
          dx++;
          m.take(every_second<1>(a, b, typename M::Lanes{}), dy * p.width + dx);
        }
      } else {
        S values[N];
        for (int64_t c = 0; c < N; c++) {
          const int64_t at = from + c * stride;
          values[c] = c < count && at >= 0 && at < p.width ? widen(row[at]) : low;
        }
        m.take(load<V>(values), dy * p.width + dx);
      }
    }
  }
  m.put(count, y, indices);
}

template <int Stride, class T>
void max_plane(const Pool &p, const T *x, T *y, int32_t *indices) {
  constexpr int64_t N = Compute<T>::lanes;
  for (int64_t oy = 0; oy < p.out_h; oy++) {
    for (int64_t ox = 0; ox < p.out_w; ox += N) {
      const int64_t count = p.out_w - ox < N ? p.out_w - ox : N, o = oy * p.out_w + ox;
      max_windows<Stride>(p, x, oy, ox, count, y + o, indices + o);
    }
  }
}

int32_t max_pool2d(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &x = in(call, 0), &y = out(call, 0), &indices = out(call, 1);
  Pool p = pool_of(x, y);
  Attrs attrs(call);
  attrs.list(p.kernel);
  attrs.list(p.stride);
  attrs.list(p.padding);
  attrs.list(p.dilation);
  GP_FLOATS(x.dtype, T, {
    ranges(p.planes, grain(p), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t o = i * p.out_h * p.out_w;
        const T *from = data<T>(x) + i * p.height * p.width;
        T *to = data<T>(y) + o;
        int32_t *at = data<int32_t>(indices) + o;
        if (p.pairs()) {
          max_pairs(p, from, to, at);
        } else if (p.stride[1] == 1) {
          max_plane<1>(p, from, to, at);
        } else if (p.stride[1] == 2) {
          max_plane<2>(p, from, to, at);
        } else {
          max_plane<0>(p, from, to, at);
        }
      }
    });
  })
  return GP_OK;
}

// ---- sums into a plane
// ------------------------------------------------------------------------------------------------

// Half types are summed in a plane of f32 per thread, the others in place.
size_t plane_workspace(const gp_call *call) {
  const gp_view &dx = out(call, 0);
  if (dx.dtype == GP_F32 || dx.dtype == GP_F64) return 0;
  const Pool p = pool_of(dx, dx);
  return (static_cast<size_t>(p.height * p.width) * sizeof(float) + 63) / 64 * 64 * static_cast<size_t>(thread_count());
}

// body(plane, sums): adds to the zeroed plane `sums`; not asked for planes that write(plane, dx) finishes.
template <class T, class W, class F>
GP_INLINE void sum_planes(const gp_call *call, const Pool &p, const W &write, const F &body) {
  using Sum = typename Wide<T>::type;
  const int64_t size = p.height * p.width, step = grain(p);
  T *const dx = data<T>(out(call, 0));
  auto some = [&](int64_t task, int slot) {
    for (int64_t plane = task * step; plane < p.planes && plane < (task + 1) * step; plane++) {
      if (write(plane, dx + plane * size)) continue;
      Sum *sums;
      if constexpr (sizeof(T) == sizeof(Sum)) {
        sums = dx + plane * size;
      } else {
        sums = reinterpret_cast<Sum *>(static_cast<char *>(call->workspace) +
                                       (static_cast<size_t>(size) * sizeof(float) + 63) / 64 * 64 *
                                           static_cast<size_t>(slot));
      }
      memset(sums, 0, static_cast<size_t>(size) * sizeof(Sum));
      body(plane, sums);
      if constexpr (sizeof(T) != sizeof(Sum)) {
        for (int64_t i = 0; i < size; i++) dx[plane * size + i] = narrow<T>(sums[i]);
      }
    }
  };
  const int64_t tasks = (p.planes + step - 1) / step;
  if (plane_workspace(call) <= call->workspace_size) return tiles(tasks, some);
  for (int64_t task = 0; task < tasks; task++) some(task, 0);
}

int32_t max_pool2d_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &dy = in(call, 0), &indices = in(call, 1), &dx = out(call, 0);
  const Pool p = pool_of(dx, dy);
  const int64_t size = p.height * p.width, count = p.out_h * p.out_w;
  GP_FLOATS(dy.dtype, T, {
    auto write = [&](int64_t plane, T *to) {
      return p.halves() &&
             max_pairs_backward(p, data<T>(dy) + plane * count, data<int32_t>(indices) + plane * count, to);
    };
    sum_planes<T>(call, p, write, [&](int64_t plane, typename Wide<T>::type *sums) {
      const T *from = data<T>(dy) + plane * count;
      const int32_t *to = data<int32_t>(indices) + plane * count;
      for (int64_t i = 0; i < count; i++) {
        if (to[i] < 0 || to[i] >= size) {
          report(call, GP_INDEX_OUT_OF_RANGE, plane * count + i, static_cast<double>(to[i]));
          continue;
        }
        sums[to[i]] += widen(from[i]);
      }
    });
  })
  return call->status->code == GP_INDEX_OUT_OF_RANGE && call->status->sequence == call->sequence ? call->status->code
                                                                                                 : GP_OK;
}

// ---- average
// ----------------------------------------------------------------------------------------------------------

GP_INLINE void average_attrs(Attrs &attrs, Pool &p) {
  attrs.list(p.kernel);
  attrs.list(p.stride);
  attrs.list(p.padding);
  attrs.flag();  // ceilMode: already in the shapes
  p.count_padding = attrs.flag();
}

// body(output position, rows, columns, number of elements to divide by)
template <class F>
GP_INLINE void windows(const Pool &p, const F &body) {
  for (int64_t oy = 0; oy < p.out_h; oy++) {
    const Window h = window(oy, p.height, p.kernel[0], p.stride[0], p.padding[0], 1);
    for (int64_t ox = 0; ox < p.out_w; ox++) {
      const Window w = window(ox, p.width, p.kernel[1], p.stride[1], p.padding[1], 1);
      const int64_t inside = h.end > h.begin && w.end > w.begin ? (h.end - h.begin) * (w.end - w.begin) : 0;
      body(oy * p.out_w + ox, h, w, inside == 0 ? 0 : p.count_padding ? h.padded * w.padded : inside);
    }
  }
}

int32_t avg_pool2d(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &x = in(call, 0), &y = out(call, 0);
  Pool p = pool_of(x, y);
  Attrs attrs(call);
  average_attrs(attrs, p);
  GP_FLOATS(x.dtype, T, {
    using Sum = typename Wide<T>::type;
    ranges(p.planes, grain(p), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; plane++) {
        const T *from = data<T>(x) + plane * p.height * p.width;
        T *to = data<T>(y) + plane * p.out_h * p.out_w;
        if (p.pairs()) {
          average_pairs(p, from, to);
          continue;
        }
        windows(p, [&](int64_t o, const Window &h, const Window &w, int64_t divisor) {
          Sum sum = 0;
          for (int64_t i = h.begin; i < h.end; i++)
            for (int64_t j = w.begin; j < w.end; j++) sum += widen(from[i * p.width + j]);
          to[o] = narrow<T>(divisor == 0 ? Sum{0} : sum / static_cast<Sum>(divisor));
        });
      }
    });
  })
  return GP_OK;
}

int32_t avg_pool2d_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &dy = in(call, 0), &dx = out(call, 0);
  Pool p = pool_of(dx, dy);
  Attrs attrs(call);
  int64_t shape[GP_MAX_DIMS * 2];
  attrs.list(shape);  // dx's own shape says the same
  average_attrs(attrs, p);
  GP_FLOATS(dy.dtype, T, {
    using Sum = typename Wide<T>::type;
    auto write = [&](int64_t plane, T *to) {
      if (p.pairs()) average_pairs_backward(p, data<T>(dy) + plane * p.out_h * p.out_w, to);
      return p.pairs();
    };
    sum_planes<T>(call, p, write, [&](int64_t plane, Sum *sums) {
      const T *from = data<T>(dy) + plane * p.out_h * p.out_w;
      windows(p, [&](int64_t o, const Window &h, const Window &w, int64_t divisor) {
        if (divisor == 0) return;
        const Sum share = widen(from[o]) / static_cast<Sum>(divisor);
        for (int64_t i = h.begin; i < h.end; i++)
          for (int64_t j = w.begin; j < w.end; j++) sums[i * p.width + j] += share;
      });
    });
  })
  return GP_OK;
}

}  // namespace

GP_ROWS(pool2d) = {
    {"max_pool2d", "x -> y | indices ; kernel stride padding dilation ceilMode", kFloats, 0, 0, nullptr, max_pool2d},
    {"max_pool2d_backward", "dy indices -> dx ; shape", kFloats, 0, 0, plane_workspace, max_pool2d_backward},
    {"avg_pool2d", "x -> y ; kernel stride padding ceilMode countIncludePad", kFloats, 0, 0, nullptr, avg_pool2d},
    {"avg_pool2d_backward", "dy -> dx ; shape kernel stride padding ceilMode countIncludePad", kFloats, 0, 0,
     plane_workspace, avg_pool2d_backward},
    {},
};

}  // namespace gp::GP_ISA
