// Rows of a table by id, and the gradient of the table: for every row the sum of dy over its occurrences in ascending
// order, so the bits depend on no thread count. Rows without an occurrence become zero: dweight is dense.
#include "rows.h"

namespace gp::GP_ISA {
namespace {

template <class I>
bool ids_in_range(const gp_call *call, const gp_view &ids, int64_t rows) {
  const I *id = data<I>(ids);
  const int64_t n = numel(ids);
  for (int64_t i = 0; i < n; i++) {
    if (static_cast<int64_t>(id[i]) < 0 || static_cast<int64_t>(id[i]) >= rows) {
      report(call, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id[i]));
      return false;
    }
  }
  return true;
}

int32_t embedding(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &ids = in(call, 0), &weight = in(call, 1), &y = out(call, 0);
  const int64_t rows = weight.shape[0], width = weight.shape[1], n = numel(ids);
  GP_INTEGERS(ids.dtype, I, {
    if (!ids_in_range<I>(call, ids, rows)) return GP_INDEX_OUT_OF_RANGE;
    const I *id = data<I>(ids);
    GP_FLOATS(weight.dtype, T, {
      const T *w = data<T>(weight);
      T *to = data<T>(y);
      ranges(n, rows_per_tile(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          memcpy(to + i * width, w + static_cast<int64_t>(id[i]) * width, static_cast<size_t>(width) * sizeof(T));
        }
      });
    });
  });
  return GP_OK;
}

// The ids sorted by row, stable: occurrences of row r are order[start[r]] … order[start[r + 1] - 1].
size_t backward_workspace(const gp_call *call) {
  return static_cast<size_t>(numel(in(call, 1)) + out(call, 0).shape[0] + 2) * sizeof(int64_t);
}

template <class I>
void sort_ids(const I *id, int64_t n, int64_t rows, int64_t padding, int64_t *start, int64_t *order) {
  memset(start, 0, static_cast<size_t>(rows + 2) * sizeof(int64_t));
  for (int64_t i = 0; i < n; i++) {
    if (static_cast<int64_t>(id[i]) != padding) start[static_cast<int64_t>(id[i]) + 2]++;
  }
  for (int64_t r = 2; r < rows + 2; r++) start[r] += start[r - 1];
  for (int64_t i = 0; i < n; i++) {
    if (static_cast<int64_t>(id[i]) != padding) order[start[static_cast<int64_t>(id[i]) + 1]++] = i;
  }
}

template <class T>
GP_FN void sum_occurrences(const T *dy, const int64_t *order, int64_t count, int64_t width, T *to) {
  using V = Compute<T>;
  if (count == 0) {
    memset(to, 0, static_cast<size_t>(width) * sizeof(T));
  } else if (count == 1) {
    memcpy(to, dy + order[0] * width, static_cast<size_t>(width) * sizeof(T));
  } else {
    each_vector<V>(width, [&](int64_t j, int64_t k) {
      V s = get<V>(dy + order[0] * width + j, k);
      for (int64_t c = 1; c < count; c++) s = s + get<V>(dy + order[c] * width + j, k);
      put(to + j, s, k);
    });
  }
}

int32_t embedding_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &dy = in(call, 0), &ids = in(call, 1), &dweight = out(call, 0);
  const int64_t rows = dweight.shape[0], width = dweight.shape[1], n = numel(ids);
  Attrs attrs(call);
  attrs.integer();  // rows
  const double given = attrs.number();
  const int64_t padding = given == given ? static_cast<int64_t>(given) : -1;
  int64_t *start = static_cast<int64_t *>(call->workspace), *order = start + rows + 2;
  GP_INTEGERS(ids.dtype, I, {
    if (!ids_in_range<I>(call, ids, rows)) return GP_INDEX_OUT_OF_RANGE;
    sort_ids(data<I>(ids), n, rows, padding, start, order);
  });
  GP_FLOATS(dy.dtype, T, {
    const T *d = data<T>(dy);
    T *to = data<T>(dweight);
    ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) {
        sum_occurrences(d, order + start[r], start[r + 1] - start[r], width, to + r * width);
      }
    });
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(embedding) = {
    {"embedding", "indices weight -> y ; paddingIdx scaleGradByFreq sparse", kFloats, 0, 0, nullptr, embedding},
    {"embedding_backward", "dy indices -> dweight ; rows paddingIdx", kFloats, 0, 0, backward_workspace,
     embedding_backward},
    {},
};

}  // namespace gp::GP_ISA
