// Rows chosen by a list of ids along one axis: index_select, index_add, index_copy; and ravel_index, which turns one
// list per axis into positions in a flattened tensor, counts negative ids from the end and checks them all.
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

// x is [outer, size, inner]; the ids choose among `size`.
struct Rows {
  int64_t outer = 1, size = 1, inner = 1, count = 0;
};

Rows rows_of(const gp_view &x, const gp_view &index, int dim) {
  Rows r;
  for (int i = 0; i < dim; i++) r.outer *= x.shape[i];
  if (x.ndim > 0) r.size = x.shape[dim];
  for (int i = dim + 1; i < x.ndim; i++) r.inner *= x.shape[i];
  r.count = numel(index);
  return r;
}

// Reports the first id outside [0, size).
template <class I>
int32_t check_ids(const gp_call *call, const gp_view &index, int64_t size) {
  const I *ids = data<I>(index);
  const int64_t n = numel(index);
  for (int64_t i = 0; i < n; i++) {
    const int64_t id = static_cast<int64_t>(ids[i]);
    if (id < 0 || id >= size) return report(call, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id));
  }
  return GP_OK;
}

template <class U, class I>
void select_rows(const gp_call *call, const Rows &r) {
  const U *x = data<U>(in(call, 0));
  const I *ids = data<I>(in(call, 1));
  U *y = data<U>(out(call, 0));
  ranges(r.outer * r.count, 1 + 16384 / (r.inner + 1), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) {
      const int64_t from = i / r.count * r.size + static_cast<int64_t>(ids[i % r.count]);
      memcpy(y + i * r.inner, x + from * r.inner, static_cast<size_t>(r.inner) * sizeof(U));
    }
  });
}

template <class U>
int32_t select_typed(const gp_call *call) {
  const gp_view &index = in(call, 1);
  const Rows r = rows_of(in(call, 0), index, static_cast<int>(Attrs(call).integer()));
  GP_INTEGERS(index.dtype, I, {
    const int32_t code = check_ids<I>(call, index, r.size);
    if (code != GP_OK) return code;
    select_rows<U, I>(call, r);
  });
  return GP_OK;
}

int32_t index_select(gp_context *, const gp_kernel *, const gp_call *call) {
  switch (in(call, 0).dtype) {
    case GP_F64:
    case GP_I64:
      return select_typed<uint64_t>(call);
    case GP_F32:
    case GP_I32:
      return select_typed<uint32_t>(call);
    case GP_F16:
    case GP_BF16:
      return select_typed<uint16_t>(call);
    default:
      return select_typed<uint8_t>(call);
  }
}

// Writes or adds src's rows into y at the ids. A tile owns a range of columns of one outer block and walks all ids in
// order: no two tiles touch one element, and equal ids meet in list order.
template <class T, class A, class I, bool kAdd>
void put_rows(const gp_call *call, const Rows &r, A *y) {
  const I *ids = data<I>(in(call, 1));
  const T *src = data<T>(in(call, 2));
  constexpr int64_t kColumns = 64;
  const int64_t blocks = (r.inner + kColumns - 1) / kColumns;
  auto body = [&](int64_t tile, int) {
    const int64_t outer = tile / blocks, begin = tile % blocks * kColumns;
    const int64_t end = begin + kColumns < r.inner ? begin + kColumns : r.inner;
    for (int64_t i = 0; i < r.count; i++) {
      A *to = y + (outer * r.size + static_cast<int64_t>(ids[i])) * r.inner;
      const T *from = src + (outer * r.count + i) * r.inner;
      for (int64_t c = begin; c < end; c++) {
        if constexpr (!kAdd) {
          to[c] = from[c];
        } else if constexpr (sizeof(A) == sizeof(T)) {
          to[c] = static_cast<A>(to[c] + from[c]);
        } else {
          to[c] += widen(from[c]);
        }
      }
    }
  };
  tiles(r.outer * blocks, body);
}

template <class T, bool kAdd>
int32_t put_typed(const gp_call *call) {
  const gp_view &x = in(call, 0), &index = in(call, 1), &y = out(call, 0);
  const Rows r = rows_of(x, index, static_cast<int>(Attrs(call).integer()));
  const int64_t n = numel(y);
  const T *from = data<T>(x);
  T *to = data<T>(y);
  int32_t code = GP_OK;
  GP_INTEGERS(index.dtype, I, code = check_ids<I>(call, index, r.size));
  if (code != GP_OK) return code;
  if constexpr (kAdd && sizeof(T) == 2) {
    float *wide = static_cast<float *>(call->workspace);
    ranges(n, 16384, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) wide[i] = widen(from[i]);
    });
    GP_INTEGERS(index.dtype, I, (put_rows<T, float, I, true>(call, r, wide)));
    ranges(n, 16384, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) to[i] = narrow<T>(wide[i]);
    });
  } else {
    ranges(n, 16384, [&](int64_t b, int64_t e) { memcpy(to + b, from + b, static_cast<size_t>(e - b) * sizeof(T)); });
    GP_INTEGERS(index.dtype, I, (put_rows<T, T, I, kAdd>(call, r, to)));
  }
  return GP_OK;
}

size_t index_add_workspace(const gp_call *call) {
  const int32_t dtype = in(call, 0).dtype;
  return dtype == GP_F16 || dtype == GP_BF16 ? static_cast<size_t>(numel(out(call, 0))) * sizeof(float) : 0;
}

int32_t index_add(gp_context *, const gp_kernel *, const gp_call *call) {
  switch (in(call, 0).dtype) {
    case GP_F32:
      return put_typed<float, true>(call);
    case GP_F64:
      return put_typed<double, true>(call);
    case GP_F16:
      return put_typed<f16, true>(call);
    case GP_BF16:
      return put_typed<bf16, true>(call);
    case GP_I64:
      return put_typed<int64_t, true>(call);
    case GP_I32:
      return put_typed<int32_t, true>(call);
    default:
      return put_typed<uint8_t, true>(call);
  }
}

int32_t index_copy(gp_context *, const gp_kernel *, const gp_call *call) {
  switch (in(call, 0).dtype) {
    case GP_F64:
    case GP_I64:
      return put_typed<uint64_t, false>(call);
    case GP_F32:
    case GP_I32:
      return put_typed<uint32_t, false>(call);
    case GP_F16:
    case GP_BF16:
      return put_typed<uint16_t, false>(call);
    default:
      return put_typed<uint8_t, false>(call);
  }
}

template <class I>
int32_t ravel_axis(const gp_call *call, const gp_view &ids, int64_t size, bool first) {
  const I *from = data<I>(ids);
  int64_t *to = data<int64_t>(out(call, 0));
  const int64_t n = numel(ids);
  for (int64_t i = 0; i < n; i++) {
    const int64_t given = static_cast<int64_t>(from[i]), id = given < 0 ? given + size : given;
    if (id < 0 || id >= size) return report(call, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(given));
    to[i] = first ? id : to[i] * size + id;
  }
  return GP_OK;
}

int32_t ravel_index(gp_context *, const gp_kernel *, const gp_call *call) {
  int64_t sizes[GP_MAX_DIMS * 2];
  Attrs(call).list(sizes);
  for (int a = 0; a < call->input_count[0]; a++) {
    const gp_view &ids = in_list(call, 0, a);
    int32_t code = GP_OK;
    GP_INTEGERS(ids.dtype, I, code = ravel_axis<I>(call, ids, sizes[a], a == 0));
    if (code != GP_OK) return code;
  }
  return GP_OK;
}

}  // namespace

GP_ROWS(index) = {
    {"index_select", "x index -> y ; dim", kAnyDtype, 0, 0, nullptr, index_select},
    {"index_add", "x index src -> y ; dim", kFloats | kIntegers, 0, 0, index_add_workspace, index_add},
    {"index_copy", "x index src -> y ; dim", kAnyDtype, 0, 0, nullptr, index_copy},
    {"ravel_index", "indices[] -> y ; sizes", kIntegers, 0, 0, nullptr, ravel_index},
    {},
};

}  // namespace gp::GP_ISA
