// What the kernels of tables share: ids, rows that stand anywhere, and fetching ahead. For kernel files only.
#pragma once
#include "rows.h"

namespace gp::GP_ISA {
namespace {

// The position of the first id that is no row of the table; -1 if all are. The first loop is the one that vectorises.
template <class I>
GP_FN int64_t first_outside(const I *id, int64_t n, int64_t rows) {
  uint64_t most = 0;
  for (int64_t i = 0; i < n; i++) most = static_cast<uint64_t>(id[i]) > most ? static_cast<uint64_t>(id[i]) : most;
  if (most < static_cast<uint64_t>(rows)) return -1;
  for (int64_t i = 0; i < n; i++)
    if (static_cast<uint64_t>(id[i]) >= static_cast<uint64_t>(rows)) return i;
  return -1;
}

// Where the rows of a view with any strides start; its last axis is a row, whose elements lie `step` apart.
struct RowPlaces {
  int axes = 0;
  int64_t size[GP_MAX_DIMS], stride[GP_MAX_DIMS], step;

  explicit RowPlaces(const gp_view &v) : step(v.shape[v.ndim - 1] == 1 ? 1 : v.stride[v.ndim - 1]) {
    for (int d = 0; d < v.ndim - 1; d++) {
      if (v.shape[d] == 1) continue;
      if (axes > 0 && stride[axes - 1] == v.stride[d] * v.shape[d]) {
        size[axes - 1] *= v.shape[d];
        stride[axes - 1] = v.stride[d];
      } else {
        size[axes] = v.shape[d];
        stride[axes++] = v.stride[d];
      }
    }
  }
  GP_INLINE int64_t at(int64_t row) const {
    if (axes == 1) return row * stride[0];
    int64_t place = 0;
    for (int d = axes - 1; d >= 0; d--) {
      place += row % size[d] * stride[d];
      row /= size[d];
    }
    return place;
  }
};

// A table's rows lie in memory at random, where no hardware fetches ahead: each is asked for this many rows before it
// is used. Of wide rows the first lines: then the hardware has seen where they go.
constexpr int64_t kRowsAhead = 32, kBytesAhead = 256, kLine = 64;

GP_INLINE void fetch_row(const void *row, int64_t bytes) {
  for (int64_t b = 0; b < bytes && b < kBytesAhead; b += kLine) __builtin_prefetch(static_cast<const char *>(row) + b);
}

// Rows of `bytes` that start at multiples of `pitch` bytes.
struct Fetched {
  const void *start;
  int64_t pitch, bytes;
};

// body(i) for [begin, end); row(i) of every list is fetched kRowsAhead rows before. `row` answers a number and not an
// address to fetch itself, because GCC 12 drops calls of a function that does nothing but prefetch.
template <int N, class Row, class Body>
GP_INLINE void fetching(const Fetched (&lists)[N], int count, int64_t begin, int64_t end, const Row &row,
                        const Body &body) {
  auto fetch = [&](int64_t i) __attribute__((always_inline)) {
    const int64_t at = row(i);
    for (int k = 0; k < count; k++)
      fetch_row(static_cast<const char *>(lists[k].start) + at * lists[k].pitch, lists[k].bytes);
  };
  for (int64_t i = begin; i < end && i < begin + kRowsAhead; i++) fetch(i);
  for (int64_t i = begin; i < end; i++) {
    if (i + kRowsAhead < end) fetch(i + kRowsAhead);
    body(i);
  }
}

// Elements to_step and from_step apart. Narrow rows are copied inline: a call costs as much as the row.
template <class T>
GP_INLINE void copy_row(T *to, int64_t to_step, const T *from, int64_t from_step, int64_t n) {
  if (to_step != 1 || from_step != 1) {
    for (int64_t j = 0; j < n; j++) to[j * to_step] = from[j * from_step];
    return;
  }
  constexpr int64_t kBlock = kLine / static_cast<int64_t>(sizeof(T));
  if (n > 8 * kBlock) {
    memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  int64_t j = 0;
  for (; j + kBlock <= n; j += kBlock) memcpy(to + j, from + j, kLine);
  if (j < n) memcpy(to + j, from + j, static_cast<size_t>(n - j) * sizeof(T));
}

// The sum of dy's rows at(0) … at(count - 1), added in this order in the working precision; count >= 1.
template <class T, class At>
GP_INLINE void sum_rows(const T *dy, int64_t step, int64_t count, int64_t width, const At &at, T *to) {
  using V = Compute<T>;
  if (count == 1) return copy_row(to, 1, dy + at(0), step, width);
  each_vector<V>(width, [&](int64_t j, int64_t k) {
    T gathered[V::lanes];
    auto part = [&](int64_t i) {
      const T *from = dy + at(i) + j * step;
      if (step == 1) return get<V>(from, k);
      copy_row(gathered, 1, from, step, k);
      return get<V>(static_cast<const T *>(gathered), k);
    };
    V s = part(0);
    for (int64_t i = 1; i < count; i++) s = s + part(i);
    put(to + j, s, k);
  });
}

}  // namespace
}  // namespace gp::GP_ISA
