// Gradients of tables as the rows that were used (embedding_rows), and updates of those rows alone. An entry's row
// stands in `ids`: each row once, ascending, then -1. Cost follows the entries, not the table.
#include "optim_update.h"
#include "rows.h"

namespace gp::GP_ISA {
namespace {

// ---- from occurrences to rows ---------------------------------------------------------------------------------------

// [keys][keys of the other pass][starts of the rows]; a key is row << 32 | position
size_t rows_workspace(const gp_call *c) { return static_cast<size_t>(3 * numel(in(c, 1)) + 1) * sizeof(uint64_t); }

template <class I>
int64_t collect_keys(const I *id, int64_t n, int64_t padding, uint64_t *keys) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t row = static_cast<int64_t>(id[i]);
    if (row != padding) keys[count++] = static_cast<uint64_t>(row) << 32 | static_cast<uint64_t>(i);
  }
  return count;
}

// Stable by row, a byte per pass; answers where the sorted keys stand.
uint64_t *sort_keys(uint64_t *keys, uint64_t *other, int64_t n, int64_t rows) {
  for (int shift = 32; shift < 64 && static_cast<uint64_t>(rows - 1) >> (shift - 32) != 0; shift += 8) {
    int64_t start[257] = {};
    for (int64_t i = 0; i < n; i++) start[(keys[i] >> shift & 255u) + 1]++;
    for (int b = 0; b < 256; b++) start[b + 1] += start[b];
    for (int64_t i = 0; i < n; i++) other[start[keys[i] >> shift & 255u]++] = keys[i];
    uint64_t *swap = keys;
    keys = other;
    other = swap;
  }
  return keys;
}

template <class T>
void sum_entries(const T *dy, const uint64_t *keys, int64_t count, int64_t width, T *to) {
  using V = Compute<T>;
  auto row = [&](int64_t i) { return dy + static_cast<int64_t>(keys[i] & 0xffffffffu) * width; };
  if (count == 1) {
    memcpy(to, row(0), static_cast<size_t>(width) * sizeof(T));
    return;
  }
  each_vector<V>(width, [&](int64_t j, int64_t k) {
    V s = get<V>(row(0) + j, k);
    for (int64_t i = 1; i < count; i++) s = s + get<V>(row(i) + j, k);
    put(to + j, s, k);
  });
}

int32_t embedding_rows(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &dy = in(c, 0), &indices = in(c, 1), &values = out(c, 0), &ids = out(c, 1);
  const int64_t n = numel(indices), width = values.shape[1];
  Attrs attrs(c);
  const int64_t rows = attrs.integer();
  const double given = attrs.number();
  const int64_t padding = given == given ? static_cast<int64_t>(given) : -1;
  auto *keys = static_cast<uint64_t *>(c->workspace), *other = keys + n;
  auto *starts = reinterpret_cast<int64_t *>(other + n);
  int64_t count = 0;
  GP_INTEGERS(indices.dtype, I, {
    const I *id = data<I>(indices);
    for (int64_t i = 0; i < n; i++) {
      if (static_cast<int64_t>(id[i]) < 0 || static_cast<int64_t>(id[i]) >= rows)
        return report(c, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id[i]));
    }
    count = collect_keys(id, n, padding, keys);
  });
  const uint64_t *sorted = sort_keys(keys, other, count, rows);
  int64_t found = 0;
  int64_t *to = data<int64_t>(ids);
  for (int64_t i = 0; i < count; i++) {
    if (i > 0 && sorted[i] >> 32 == sorted[i - 1] >> 32) continue;
    to[found] = static_cast<int64_t>(sorted[i] >> 32);
    starts[found++] = i;
  }
  starts[found] = count;
  for (int64_t i = found; i < n; i++) to[i] = -1;
  GP_FLOATS(dy.dtype, T, {
    const T *from = data<T>(dy);
    T *row = data<T>(values);
    ranges(n, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) {
        if (r < found) {
          sum_entries(from, sorted + starts[r], starts[r + 1] - starts[r], width, row + r * width);
        } else {
          memset(row + r * width, 0, static_cast<size_t>(width) * sizeof(T));
        }
      }
    });
  });
  return GP_OK;
}

int32_t rows_to_dense(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &values = in(c, 0), &y = out(c, 0);
  const int64_t *ids = data<int64_t>(in(c, 1));
  const int64_t n = values.shape[0], width = values.shape[1], rows = y.shape[0];
  GP_FLOATS(values.dtype, T, {
    T *to = data<T>(y);
    const T *from = data<T>(values);
    ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      memset(to + begin * width, 0, static_cast<size_t>((end - begin) * width) * sizeof(T));
    });
    for (int64_t i = 0; i < n && ids[i] >= 0 && ids[i] < rows; i++)
      memcpy(to + ids[i] * width, from + i * width, static_cast<size_t>(width) * sizeof(T));
  });
  return GP_OK;
}

// ---- updates --------------------------------------------------------------------------------------------------------

enum { kValues = 1, kIds = 2, kFirstState = 3 };

// body(Type<T>, tensor, element of the table, element of the values, n) for every run of elements within one row.
template <class F>
GP_INLINE void over_rows(const gp_call *c, const F &body) {
  auto *first = static_cast<int64_t *>(c->workspace);
  over_list(c, kValues, first, index_tiles(c, kValues, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    const int64_t *ids = data<int64_t>(in_list(c, kIds, i));
    const int64_t width = in_list(c, kValues, i).shape[1], rows = in_list(c, 0, i).shape[0];
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      for (int64_t at = begin; at < end;) {
        const int64_t row = at / width, column = at - row * width;
        const int64_t n = width - column < end - at ? width - column : end - at, id = ids[row];
        if (id < 0 || id >= rows) break;
        body(type, i, id * width + column, at, n);
        at += n;
      }
    });
  });
}

size_t list_workspace(const gp_call *c) { return tile_index_bytes(c, kValues); }

template <class T, class W>
GP_INLINE void sgd_run(T *__restrict p, const T *__restrict grad, int64_t n, W scale, W lr) {
  for (int64_t i = 0; i < n; i++) p[i] = narrow<T>(widen(p[i]) - lr * (widen(grad[i]) * scale));
}

int32_t sgd_rows_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 0, 0)) return GP_UNSUPPORTED;
  const Step s = read_step(c, 4, Attrs(c).flag());
  if (s.skip) return GP_OK;
  for (int i = 0; i < c->input_count[0]; i++) ++step_of(c, 3, i);
  over_rows(c, [&](auto type, int i, int64_t at, int64_t from, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    sgd_run(list_data<T>(c, 0, i, at), list_data<T>(c, kValues, i, from), n, W(s.scale), W(s.lr));
  });
  return GP_OK;
}

template <class T, class W>
GP_INLINE void adagrad_run(T *__restrict p, const T *__restrict grad, W *__restrict sum, int64_t n, W scale, W rate,
                           W eps) {
  for (int64_t i = 0; i < n; i++) {
    const W g = widen(grad[i]) * scale, s = sum[i] + g * g;
    sum[i] = s;
    p[i] = narrow<T>(widen(p[i]) - (rate * g) / (root(s) + eps));
  }
}

GP_INLINE double step_count(const gp_call *c, int steps, int i) { return static_cast<double>(step_of(c, steps, i)); }

int32_t adagrad_rows_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, kFirstState, kFirstState + 1)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double lr_decay = attrs.number(), eps = attrs.number();
  const Step s = read_step(c, 5, attrs.flag());
  if (s.skip) return GP_OK;
  for (int i = 0; i < c->input_count[0]; i++) ++step_of(c, 4, i);
  over_rows(c, [&](auto type, int i, int64_t at, int64_t from, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    const double rate = s.lr / (1.0 + (step_count(c, 4, i) - 1.0) * lr_decay);
    adagrad_run(list_data<T>(c, 0, i, at), list_data<T>(c, kValues, i, from), list_data<W>(c, kFirstState, i, at), n,
                W(s.scale), W(rate), W(eps));
  });
  return GP_OK;
}

template <class W>
struct Adam {
  W scale, weight1, weight2, eps;
};

template <class T, class W>
GP_INLINE void adam_run(T *__restrict p, const T *__restrict grad, W *__restrict m, W *__restrict v, int64_t n,
                        const Adam<W> k, W rate) {
  for (int64_t i = 0; i < n; i++) {
    const W g = widen(grad[i]) * k.scale;
    const W mean = m[i] + k.weight1 * (g - m[i]), square = v[i] + k.weight2 * (g * g - v[i]);
    m[i] = mean;
    v[i] = square;
    p[i] = narrow<T>(widen(p[i]) - (rate * mean) / (root(square) + k.eps));
  }
}

size_t adam_workspace(const gp_call *c) {
  return list_workspace(c) + static_cast<size_t>(c->input_count[0]) * sizeof(double);
}

int32_t sparse_adam_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, kFirstState, kFirstState + 2)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double beta1 = attrs.number(), beta2 = attrs.number(), eps = attrs.number();
  const Step s = read_step(c, 6, attrs.flag());
  if (s.skip) return GP_OK;
  auto *rate = reinterpret_cast<double *>(static_cast<char *>(c->workspace) + list_workspace(c));
  for (int i = 0; i < c->input_count[0]; i++) {
    const double t = static_cast<double>(++step_of(c, 5, i));
    rate[i] = s.lr * sqrt(1.0 - pow(beta2, t)) / (1.0 - pow(beta1, t));
  }
  over_rows(c, [&](auto type, int i, int64_t at, int64_t from, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    const Adam<W> k{W(s.scale), W(1.0 - beta1), W(1.0 - beta2), W(eps)};
    adam_run(list_data<T>(c, 0, i, at), list_data<T>(c, kValues, i, from), list_data<W>(c, kFirstState, i, at),
             list_data<W>(c, kFirstState + 1, i, at), n, k, W(rate[i]));
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(embedding_rows) = {
    {"embedding_rows", "dy indices -> values ids ; rows paddingIdx", kFloats, 0, 0, rows_workspace, embedding_rows},
    {"rows_to_dense", "values ids -> y ; rows", kFloats, 0, 0, nullptr, rows_to_dense},
    {"sgd_rows_step", "params[] values[] ids[] steps[] lr scale? skip? -> ; maximize", kFloats, GP_KERNEL_MUTATES, 0,
     list_workspace, sgd_rows_step},
    {"adagrad_rows_step", "params[] values[] ids[] sums[] steps[] lr scale? skip? -> ; lrDecay eps maximize", kFloats,
     GP_KERNEL_MUTATES, 0, list_workspace, adagrad_rows_step},
    {"sparse_adam_step",
     "params[] values[] ids[] expAvgs[] expAvgSqs[] steps[] lr scale? skip? -> ; beta1 beta2 eps maximize", kFloats,
     GP_KERNEL_MUTATES, 0, adam_workspace, sparse_adam_step},
    {},
};

}  // namespace gp::GP_ISA
