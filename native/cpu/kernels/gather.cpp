// gather, scatter and scatter_add: one index per element, along one axis. Every line along the axis is walked by one
// thread in ascending order, so equal indices accumulate in the same order for every thread count, and the last wins.
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

// The geometry of lines along an axis: element (outer, k, inner) stands at outer_offset + k * step + inner part.
struct Lines {
  int64_t count;  // lines of the index tensor
  int64_t length, step;
  int64_t target_length, target_step;
  int ndim, dim;
  const int64_t *shape;                // of the index tensor
  int64_t target_stride[GP_MAX_DIMS];  // of the tensor that is indexed into, row-major
  int64_t source_stride[GP_MAX_DIMS];  // of the index tensor, row-major
  int64_t value_stride[GP_MAX_DIMS];   // of `src`, row-major (its shape may be larger than the index's)
};

void row_major(const gp_view &v, int64_t *stride) {
  int64_t step = 1;
  for (int i = v.ndim - 1; i >= 0; i--) {
    stride[i] = step;
    step *= v.shape[i];
  }
}

Lines lines_of(const gp_view &index, const gp_view &target, const gp_view &value, int dim) {
  Lines l{};
  l.ndim = index.ndim;
  l.dim = dim;
  l.shape = index.shape;
  row_major(index, l.source_stride);
  row_major(target, l.target_stride);
  row_major(value, l.value_stride);
  l.length = index.ndim == 0 ? 1 : index.shape[dim];
  l.step = index.ndim == 0 ? 1 : l.source_stride[dim];
  l.target_length = target.ndim == 0 ? 1 : target.shape[dim];
  l.target_step = target.ndim == 0 ? 1 : l.target_stride[dim];
  l.count = l.length == 0 ? 0 : numel(index) / l.length;
  return l;
}

struct Start {
  int64_t source = 0, target = 0, value = 0;
};

GP_INLINE Start start_of(const Lines &l, int64_t line) {
  Start s;
  for (int i = l.ndim - 1; i >= 0; i--) {
    if (i == l.dim) continue;
    const int64_t at = line % l.shape[i];
    line /= l.shape[i];
    s.source += at * l.source_stride[i];
    s.target += at * l.target_stride[i];
    s.value += at * l.value_stride[i];
  }
  return s;
}

int64_t grain_of(const Lines &l) { return 1 + 8192 / (l.length + 1); }

template <class U, class I>
void gather_lines(const gp_call *call, const Lines &l) {
  const U *x = data<U>(in(call, 0));
  const I *index = data<I>(in(call, 1));
  U *y = data<U>(out(call, 0));
  ranges(l.count, grain_of(l), [&](int64_t b, int64_t e) {
    for (int64_t line = b; line < e; line++) {
      const Start s = start_of(l, line);
      for (int64_t k = 0; k < l.length; k++) {
        const int64_t at = s.source + k * l.step;
        const int64_t id = static_cast<int64_t>(index[at]);
        if (id < 0 || id >= l.target_length) {
          report(call, GP_INDEX_OUT_OF_RANGE, at, static_cast<double>(id));
          return;
        }
        y[at] = x[s.target + id * l.target_step];
      }
    }
  });
}

template <class U>
int32_t gather_typed(const gp_call *call) {
  const gp_view &index = in(call, 1);
  const Lines l = lines_of(index, in(call, 0), index, static_cast<int>(Attrs(call).integer()));
  GP_INTEGERS(index.dtype, I, (gather_lines<U, I>(call, l)));
  return call->status->code;
}

int32_t gather(gp_context *, const gp_kernel *, const gp_call *call) {
  switch (in(call, 0).dtype) {
    case GP_F64:
    case GP_I64:
      return gather_typed<uint64_t>(call);
    case GP_F32:
    case GP_I32:
      return gather_typed<uint32_t>(call);
    case GP_F16:
    case GP_BF16:
      return gather_typed<uint16_t>(call);
    default:
      return gather_typed<uint8_t>(call);
  }
}

template <class T>
GP_INLINE T sum_of(T a, T b) {
  return static_cast<T>(a + b);
}
GP_INLINE f16 sum_of(f16 a, f16 b) { return narrow_f16(widen(a) + widen(b)); }
GP_INLINE bf16 sum_of(bf16 a, bf16 b) { return narrow_bf16(widen(a) + widen(b)); }

// Accumulates in A (float for half types, in the workspace), else in place.
template <class T, class A, class I, bool kAdd>
void scatter_lines(const gp_call *call, const Lines &l, A *y) {
  const I *index = data<I>(in(call, 1));
  const T *src = data<T>(in(call, 2));
  ranges(l.count, grain_of(l), [&](int64_t b, int64_t e) {
    for (int64_t line = b; line < e; line++) {
      const Start s = start_of(l, line);
      for (int64_t k = 0; k < l.length; k++) {
        const int64_t at = s.source + k * l.step;
        const int64_t id = static_cast<int64_t>(index[at]);
        if (id < 0 || id >= l.target_length) {
          report(call, GP_INDEX_OUT_OF_RANGE, at, static_cast<double>(id));
          return;
        }
        const T value = src[s.value + k * (l.ndim == 0 ? 1 : l.value_stride[l.dim])];
        A &to = y[s.target + id * l.target_step];
        if constexpr (!kAdd) {
          to = value;
        } else if constexpr (sizeof(A) == sizeof(T)) {
          to = sum_of(to, value);
        } else {
          to += widen(value);
        }
      }
    }
  });
}

template <class T, bool kAdd>
int32_t scatter_typed(const gp_call *call) {
  const gp_view &x = in(call, 0), &index = in(call, 1), &y = out(call, 0);
  const int64_t n = numel(y);
  const Lines l = lines_of(index, x, in(call, 2), static_cast<int>(Attrs(call).integer()));
  const T *from = data<T>(x);
  T *to = data<T>(y);
  if constexpr (kAdd && sizeof(T) == 2) {
    float *wide = static_cast<float *>(call->workspace);
    ranges(n, 16384, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) wide[i] = widen(from[i]);
    });
    GP_INTEGERS(index.dtype, I, (scatter_lines<T, float, I, true>(call, l, wide)));
    ranges(n, 16384, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) to[i] = narrow<T>(wide[i]);
    });
  } else {
    ranges(n, 16384, [&](int64_t b, int64_t e) { memcpy(to + b, from + b, static_cast<size_t>(e - b) * sizeof(T)); });
    GP_INTEGERS(index.dtype, I, (scatter_lines<T, T, I, kAdd>(call, l, to)));
  }
  return call->status->code;
}

size_t scatter_add_workspace(const gp_call *call) {
  const int32_t dtype = in(call, 0).dtype;
  return dtype == GP_F16 || dtype == GP_BF16 ? static_cast<size_t>(numel(out(call, 0))) * sizeof(float) : 0;
}

int32_t scatter_add(gp_context *, const gp_kernel *, const gp_call *call) {
  switch (in(call, 0).dtype) {
    case GP_F32:
      return scatter_typed<float, true>(call);
    case GP_F64:
      return scatter_typed<double, true>(call);
    case GP_F16:
      return scatter_typed<f16, true>(call);
    case GP_BF16:
      return scatter_typed<bf16, true>(call);
    case GP_I64:
      return scatter_typed<int64_t, true>(call);
    case GP_I32:
      return scatter_typed<int32_t, true>(call);
    default:
      return scatter_typed<uint8_t, true>(call);
  }
}

int32_t scatter(gp_context *, const gp_kernel *, const gp_call *call) {
  switch (in(call, 0).dtype) {
    case GP_F64:
    case GP_I64:
      return scatter_typed<uint64_t, false>(call);
    case GP_F32:
    case GP_I32:
      return scatter_typed<uint32_t, false>(call);
    case GP_F16:
    case GP_BF16:
      return scatter_typed<uint16_t, false>(call);
    default:
      return scatter_typed<uint8_t, false>(call);
  }
}

}  // namespace

GP_ROWS(gather) = {
    {"gather", "x index -> y ; dim", kAnyDtype, 0, 0, nullptr, gather},
    {"scatter_add", "x index src -> y ; dim", kFloats | kIntegers, 0, 0, scatter_add_workspace, scatter_add},
    {"scatter", "x index src -> y ; dim", kAnyDtype, 0, 0, nullptr, scatter},
    {},
};

}  // namespace gp::GP_ISA
