// Rows of a table by id, and the gradient of the table: for every row the sum of dy over its occurrences in ascending
// order, so the bits depend on no thread count. Rows without an occurrence become zero: dweight is dense.
#include "table_rows.h"

namespace gp::GP_ISA {
namespace {

int32_t embedding(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &ids = in(call, 0), &weight = in(call, 1), &y = out(call, 0);
  const int64_t rows = weight.shape[0], width = weight.shape[1], n = numel(ids);
  const RowPlaces place(y);
  GP_INTEGERS(ids.dtype, I, {
    const I *id = data<I>(ids);
    if (const int64_t i = first_outside(id, n, rows); i >= 0)
      return report(call, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id[i]));
    GP_FLOATS(weight.dtype, T, {
      const T *w = data<T>(weight);
      T *to = data<T>(y);
      const int64_t bytes = width * static_cast<int64_t>(sizeof(T));
      const Fetched table[] = {{w, bytes, bytes}};
      auto row = [&](int64_t i) { return static_cast<int64_t>(id[i]); };
      ranges(n, rows_per_tile(width), [&](int64_t begin, int64_t end) {
        fetching(table, 1, begin, end, row,
                 [&](int64_t i) { copy_row(to + place.at(i), place.step, w + row(i) * width, 1, width); });
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

int32_t embedding_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &dy = in(call, 0), &ids = in(call, 1), &dweight = out(call, 0);
  const int64_t rows = dweight.shape[0], width = dweight.shape[1], n = numel(ids);
  Attrs attrs(call);
  attrs.integer();  // rows
  const double given = attrs.number();
  const int64_t padding = given == given ? static_cast<int64_t>(given) : -1;
  const RowPlaces place(dy);
  int64_t *start = static_cast<int64_t *>(call->workspace), *order = start + rows + 2;
  GP_INTEGERS(ids.dtype, I, {
    const I *id = data<I>(ids);
    if (const int64_t i = first_outside(id, n, rows); i >= 0)
      return report(call, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id[i]));
    sort_ids(id, n, rows, padding, start, order);
  });
  GP_FLOATS(dy.dtype, T, {
    const T *d = data<T>(dy);
    T *to = data<T>(dweight);
    ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) {
        const int64_t *occurrence = order + start[r], count = start[r + 1] - start[r];
        if (count == 0) {
          memset(to + r * width, 0, static_cast<size_t>(width) * sizeof(T));
        } else {
          sum_rows(
              d, place.step, count, width, [&](int64_t i) { return place.at(occurrence[i]); }, to + r * width);
        }
      }
    });
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(embedding) = {
    {"embedding", "indices weight -> y ; paddingIdx scaleGradByFreq sparse", kFloats, GP_KERNEL_STRIDED_OUTPUT, 0,
     nullptr, embedding},
    {"embedding_backward", "dy indices -> dweight ; rows paddingIdx", kFloats, 0, 1u << 0, backward_workspace,
     embedding_backward},
    {},
};

}  // namespace gp::GP_ISA
