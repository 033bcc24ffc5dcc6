// Gradients of tables as the rows that were used (embedding_rows), and updates of those rows alone. An entry's row
// stands in `ids`: each row once, ascending, then -1. Cost follows the entries, not the table.
#include "optim_update.h"
#include "table_rows.h"

namespace gp::GP_ISA {
namespace {

// ---- from occurrences to rows ---------------------------------------------------------------------------------------

// [keys][keys of the other pass][starts of the rows]; a key is row << 32 | position
size_t rows_workspace(const gp_call *c) { return static_cast<size_t>(3 * numel(in(c, 1)) + 1) * sizeof(uint64_t); }

// Counts of the keys' digits, and the keys of the rows that are not padding. Few keys are sorted by small digits: there
// the counters would cost more than the keys.
struct Digits {
  static constexpr int kMost = 11;
  int bits, passes = 0;
  int32_t count[4][1 << kMost];

  Digits(int64_t n, int64_t rows) {
    const int most = n < 1024 ? 8 : kMost, width = rows > 1 ? 64 - __builtin_clzll(static_cast<uint64_t>(rows - 1)) : 0;
    passes = (width + most - 1) / most;
    bits = passes == 0 ? 0 : (width + passes - 1) / passes;
    for (int p = 0; p < passes; p++) memset(count[p], 0, sizeof(int32_t) << bits);
  }
  GP_INLINE uint64_t of(uint64_t key, int pass) const {
    return key >> (32 + pass * bits) & ((uint64_t{1} << bits) - 1);
  }
};

template <class I>
int64_t collect_keys(const I *id, int64_t n, int64_t padding, uint64_t *keys, Digits *digits) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t row = static_cast<int64_t>(id[i]);
    const uint64_t key = static_cast<uint64_t>(row) << 32 | static_cast<uint64_t>(i);
    keys[count] = key;
    if (row == padding) continue;
    count++;
    for (int p = 0; p < digits->passes; p++) digits->count[p][digits->of(key, p)]++;
  }
  return count;
}

// Stable by row, a digit per pass; answers where the sorted keys stand. A digit that all keys share needs no pass.
uint64_t *sort_keys(uint64_t *keys, uint64_t *other, int64_t n, Digits *digits) {
  for (int p = 0; n > 0 && p < digits->passes; p++) {
    int32_t *start = digits->count[p];
    if (start[digits->of(keys[0], p)] == n) continue;
    int32_t sum = 0;
    for (int b = 0; b < 1 << digits->bits; b++) {
      const int32_t here = start[b];
      start[b] = sum;
      sum += here;
    }
    for (int64_t i = 0; i < n; i++) other[start[digits->of(keys[i], p)]++] = keys[i];
    uint64_t *swap = keys;
    keys = other;
    other = swap;
  }
  return keys;
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
  Digits digits(n, rows);
  GP_INTEGERS(indices.dtype, I, {
    const I *id = data<I>(indices);
    if (const int64_t i = first_outside(id, n, rows); i >= 0)
      return report(c, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id[i]));
    count = collect_keys(id, n, padding, keys, &digits);
  });
  const uint64_t *sorted = sort_keys(keys, other, count, &digits);
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
    const RowPlaces place(dy);
    const int64_t bytes = width * static_cast<int64_t>(sizeof(T));
    const Fetched rows_of_dy[] = {{from, static_cast<int64_t>(sizeof(T)), bytes}};
    auto at = [&](int64_t i) { return place.at(static_cast<int64_t>(sorted[i] & 0xffffffffu)); };
    ranges(n, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      const int64_t used = end < found ? end : found;
      fetching(
          rows_of_dy, 1, begin, used, [&](int64_t r) { return at(starts[r]); },
          [&](int64_t r) {
            auto occurrence = [&](int64_t i) { return at(starts[r] + i); };
            sum_rows(from, place.step, starts[r + 1] - starts[r], width, occurrence, row + r * width);
          });
      const int64_t rest = used > begin ? used : begin;
      memset(row + rest * width, 0, static_cast<size_t>((end - rest) * bytes));
    });
  });
  return GP_OK;
}

// How many entries stand before the first -1; -1 after a report. That ids ascend is what lets threads share the work.
int64_t count_entries(const gp_call *c, const gp_view &entries, int64_t rows) {
  const int64_t *ids = data<int64_t>(entries);
  int64_t count = 0;
  for (; count < entries.shape[0] && ids[count] >= 0; count++) {
    const bool ascends = count == 0 || ids[count] > ids[count - 1];
    if (ids[count] < rows && ascends) continue;
    report(c, ascends ? GP_INDEX_OUT_OF_RANGE : GP_BAD_VALUE, count, static_cast<double>(ids[count]));
    return -1;
  }
  return count;
}

// The first entry of row `row` or a later one.
int64_t first_from(const int64_t *ids, int64_t count, int64_t row) {
  int64_t low = 0;
  for (int64_t high = count; low < high;) {
    const int64_t middle = low + (high - low) / 2;
    if (ids[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

int32_t rows_to_dense(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &values = in(c, 0), &y = out(c, 0);
  const int64_t *ids = data<int64_t>(in(c, 1));
  const int64_t width = values.shape[1], rows = y.shape[0], count = count_entries(c, in(c, 1), rows);
  if (count < 0) return c->status->code;
  GP_FLOATS(values.dtype, T, {
    T *to = data<T>(y);
    const T *from = data<T>(values);
    ranges(rows, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      memset(to + begin * width, 0, static_cast<size_t>((end - begin) * width) * sizeof(T));
      for (int64_t i = first_from(ids, count, begin); i < count && ids[i] < end; i++)
        memcpy(to + ids[i] * width, from + i * width, static_cast<size_t>(width) * sizeof(T));
    });
  });
  return GP_OK;
}

int32_t add_rows(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &y = in(c, 0), &values = in(c, 1);
  const int64_t *ids = data<int64_t>(in(c, 2));
  const int64_t width = values.shape[1], count = count_entries(c, in(c, 2), y.shape[0]);
  if (count < 0) return c->status->code;
  GP_FLOATS(y.dtype, T, {
    using V = Compute<T>;
    T *to = data<T>(y);
    const T *from = data<T>(values);
    ranges(count, rows_per_tile(width), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        T *sum = to + ids[i] * width;
        const T *row = from + i * width;
        each_vector<V>(width, [&](int64_t j, int64_t k) { put(sum + j, get<V>(sum + j, k) + get<V>(row + j, k), k); });
      }
    });
  });
  return GP_OK;
}

// ---- updates --------------------------------------------------------------------------------------------------------

enum { kValues = 1, kIds = 2, kFirstState = 3, kMostStates = 2 };

// update(Type<T>, tensor) answers body(element of the table, element of the values, n), which is called for every run
// of elements within one row; the row and those of the `states` lists of state are fetched ahead.
template <class F>
GP_INLINE void over_rows(const gp_call *c, int states, const F &update) {
  auto *first = static_cast<int64_t *>(c->workspace);
  over_list(c, kValues, first, index_tiles(c, kValues, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    const int64_t *ids = data<int64_t>(in_list(c, kIds, i));
    const int64_t width = in_list(c, kValues, i).shape[1], rows = in_list(c, 0, i).shape[0];
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      using W = typename Wide<T>::type;
      const auto body = update(type, i);
      Fetched lists[kMostStates + 1];
      for (int k = 0; k <= states; k++) {
        const int64_t bytes = width * static_cast<int64_t>(k == 0 ? sizeof(T) : sizeof(W));
        lists[k] = {in_list(c, k == 0 ? 0 : kFirstState + k - 1, i).data, bytes, bytes};
      }
      auto used = [&](int64_t row) { return ids[row] < 0 || ids[row] >= rows ? 0 : ids[row]; };
      fetching(lists, states + 1, begin / width, (end + width - 1) / width, used, [&](int64_t row) {
        const int64_t id = ids[row];
        if (id < 0 || id >= rows) return;
        const int64_t from = row * width > begin ? row * width : begin;
        const int64_t to = (row + 1) * width < end ? (row + 1) * width : end;
        body(id * width + from - row * width, from, to - from);
      });
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
  over_rows(c, 0, [&](auto type, int i) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    T *p = list_data<T>(c, 0, i, 0), *g = list_data<T>(c, kValues, i, 0);
    const W scale = W(s.scale), lr = W(s.lr);
    return [=](int64_t at, int64_t from, int64_t n) { sgd_run(p + at, g + from, n, scale, lr); };
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
  over_rows(c, 1, [&](auto type, int i) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    T *p = list_data<T>(c, 0, i, 0), *g = list_data<T>(c, kValues, i, 0);
    W *sum = list_data<W>(c, kFirstState, i, 0);
    const W scale = W(s.scale), rate = W(s.lr / (1.0 + (step_count(c, 4, i) - 1.0) * lr_decay)), tiny = W(eps);
    return [=](int64_t at, int64_t from, int64_t n) { adagrad_run(p + at, g + from, sum + at, n, scale, rate, tiny); };
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
  over_rows(c, 2, [&](auto type, int i) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    T *p = list_data<T>(c, 0, i, 0), *g = list_data<T>(c, kValues, i, 0);
    W *m = list_data<W>(c, kFirstState, i, 0), *v = list_data<W>(c, kFirstState + 1, i, 0);
    const Adam<W> k{W(s.scale), W(1.0 - beta1), W(1.0 - beta2), W(eps)};
    const W r = W(rate[i]);
    return [=](int64_t at, int64_t from, int64_t n) { adam_run(p + at, g + from, m + at, v + at, n, k, r); };
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(embedding_rows) = {
    {"embedding_rows", "dy indices -> values ids ; rows paddingIdx", kFloats, 0, 1u << 0, rows_workspace,
     embedding_rows},
    {"rows_to_dense", "values ids -> y ; rows", kFloats, 0, 0, nullptr, rows_to_dense},
    {"add_rows_", "y values ids ->", kFloats, GP_KERNEL_MUTATES, 0, nullptr, add_rows},
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
