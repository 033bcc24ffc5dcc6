// Max and average pooling over the last two axes. Planes are independent; inside a plane everything is added in the
// order of the output positions, so the threads leave no trace. Half types are summed in f32.
#include <utility>

#include "../simd/vec.h"

namespace gp::GP_ISA {
namespace {

struct Pool {
  int64_t planes, height, width, out_h, out_w;
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  bool count_padding;
};

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

// Output columns [first, end) whose input column ox * stride + offset lies inside the image.
struct Run {
  int64_t first, end;
};
GP_INLINE Run inside(int64_t out, int64_t in, int64_t stride, int64_t offset) {
  const int64_t first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t end = in <= offset ? 0 : (in - offset + stride - 1) / stride;
  return Run{first, end < out ? end : out};
}

// The first element of a window that lies inside the image, along one axis.
GP_INLINE int64_t first_inside(int64_t begin, int64_t dilation) {
  return begin >= 0 ? 0 : (-begin + dilation - 1) / dilation * dilation;
}

template <class V>
GP_FN V up_to(const typename V::Scalar *p, int64_t n) {
  return n >= V::lanes ? load<V>(p) : n > 0 ? load_some<V>(p, n) : V(0);
}
template <class V, size_t... I>
GP_FN V even_lanes(V a, V b, std::index_sequence<I...>) {
  return V::of(__builtin_shufflevector(a.v, b.v, (2 * static_cast<int>(I))...));
}

// to[c] = from[c * stride]; may write up to a vector more than `count`.
template <class V, class T>
GP_FN void gather(typename V::Scalar *to, const T *from, int64_t stride, int64_t count) {
  if constexpr (sizeof(T) == sizeof(typename V::Scalar)) {
    if (stride == 1) {
      for (int64_t c = 0; c < count; c += V::lanes) store(to + c, up_to<V>(from + c, count - c));
      return;
    }
    if (stride == 2) {
      for (int64_t c = 0; c < count; c += V::lanes) {
        const int64_t left = 2 * (count - c) - 1;
        const V a = up_to<V>(from + 2 * c, left), b = up_to<V>(from + 2 * c + V::lanes, left - V::lanes);
        store(to + c, even_lanes(a, b, std::make_index_sequence<V::lanes>{}));
      }
      return;
    }
  }
  for (int64_t c = 0; c < count; c++) to[c] = widen(from[c * stride]);
}

// The windows of up to kRun outputs at a time: each element of the kernel is gathered for all of them, -infinity where
// there is none, and compared in whole vectors. The elements come in the window's order; the first of equals wins, a
// NaN wins over everything.
template <class T>
void max_plane(const Pool &p, const T *x, T *y, int64_t *indices) {
  using V = Compute<T>;
  using S = typename V::Scalar;
  using I = typename V::Int;
  constexpr int64_t kRun = 128;
  const S low = -static_cast<S>(__builtin_inff());
  S value[kRun + V::lanes] = {}, highest[kRun];
  typename I::Scalar best[kRun], corner[kRun];  // best: from the window's corner
  for (int64_t o0 = 0; o0 < p.out_h * p.out_w; o0 += kRun) {
    const int64_t total = p.out_h * p.out_w - o0 < kRun ? p.out_h * p.out_w - o0 : kRun;
    // body(k, count, top, left): outputs k to k + count of this run lie in one row; the first window's corner
    auto rows = [&](auto body) __attribute__((always_inline)) {
      int64_t oy = o0 / p.out_w, ox = o0 - oy * p.out_w;
      for (int64_t k = 0; k < total; oy++, ox = 0) {
        const int64_t count = p.out_w - ox < total - k ? p.out_w - ox : total - k;
        body(k, count, oy * p.stride[0] - p.padding[0], ox * p.stride[1] - p.padding[1]);
        k += count;
      }
    };
    rows([&](int64_t k, int64_t count, int64_t top, int64_t left) {
      const auto first = static_cast<typename I::Scalar>(top * p.width + left);
      for (int64_t c = 0; c < count; c++) {
        highest[k + c] = low;
        best[k + c] = 0;
        corner[k + c] = first + static_cast<typename I::Scalar>(c * p.stride[1]);
      }
      if (top >= 0 && left >= 0) return;
      for (int64_t c = 0; c < count; c++) {
        best[k + c] = static_cast<typename I::Scalar>(first_inside(top, p.dilation[0]) * p.width +
                                                      first_inside(left + c * p.stride[1], p.dilation[1]));
      }
    });
    for (int64_t i = 0; i < p.kernel[0] * p.dilation[0]; i += p.dilation[0]) {
      for (int64_t j = 0; j < p.kernel[1] * p.dilation[1]; j += p.dilation[1]) {
        rows([&](int64_t k, int64_t count, int64_t top, int64_t left) {
          Run run{0, count};
          if (left + j < 0 || left + j + (count - 1) * p.stride[1] >= p.width)
            run = inside(count, p.width, p.stride[1], left + j);
          if (top + i < 0 || top + i >= p.height || run.first > run.end) run = Run{count, count};
          const T *from = x + (top + i) * p.width + left + j;
          for (int64_t c = 0; c < run.first; c++) value[k + c] = low;
          gather<V>(value + k + run.first, from + run.first * p.stride[1], p.stride[1], run.end - run.first);
          for (int64_t c = run.end; c < count; c++) value[k + c] = low;
        });
        const I at(static_cast<typename I::Scalar>(i * p.width + j));
        for (int64_t k = 0; k < total; k += V::lanes) {
          const V v = load<V>(value + k), h = load<V>(highest + k);
          const auto take = (v > h) | (v != v);
          store(highest + k, select(take, v, h));
          store(best + k, select(typename I::M{take.v}, at, load<I>(best + k)));
        }
      }
    }
    for (int64_t k = 0; k < total; k++) {
      y[o0 + k] = narrow<T>(highest[k]);
      indices[o0 + k] = corner[k] + best[k];
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
        max_plane(p, data<T>(x) + i * p.height * p.width, data<T>(y) + o, data<int64_t>(indices) + o);
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

// body(plane, sums): adds to the zeroed plane `sums`
template <class T, class F>
GP_INLINE void sum_planes(const gp_call *call, const Pool &p, const F &body) {
  using Sum = typename Wide<T>::type;
  const int64_t size = p.height * p.width, step = grain(p);
  T *const dx = data<T>(out(call, 0));
  auto some = [&](int64_t task, int slot) {
    for (int64_t plane = task * step; plane < p.planes && plane < (task + 1) * step; plane++) {
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
    sum_planes<T>(call, p, [&](int64_t plane, typename Wide<T>::type *sums) {
      const T *from = data<T>(dy) + plane * count;
      const int64_t *to = data<int64_t>(indices) + plane * count;
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
    sum_planes<T>(call, p, [&](int64_t plane, Sum *sums) {
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
