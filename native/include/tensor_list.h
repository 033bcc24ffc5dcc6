// Kernels that go over a whole list of tensors (optimizers, clipping): one flat space of tiles over all of them. Tiles
// depend on the shapes alone, so results have the same bits for every number of threads. For kernel files only.
#pragma once
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kListGrain =
    16384;  // elements per tile: its slices of parameter, gradient and state fit the L2 cache

GP_INLINE size_t tile_index_bytes(const gp_call *c, int list) {
  return (static_cast<size_t>(c->input_count[list]) + 1) * sizeof(int64_t);
}

// Writes the first tile of every tensor; returns the number of tiles. `first` has one entry more than the list.
GP_INLINE int64_t index_tiles(const gp_call *c, int list, int64_t *first) {
  const int n = c->input_count[list];
  int64_t total = 0;
  for (int i = 0; i < n; i++) {
    first[i] = total;
    total += (numel(in_list(c, list, i)) + kListGrain - 1) / kListGrain;
  }
  first[n] = total;
  return total;
}

// Calls body(tensor, begin, end, tile) for every tile.
template <class F>
GP_INLINE void over_list(const gp_call *c, int list, const int64_t *first, int64_t total, const F &body) {
  const int n = c->input_count[list];
  auto run = [&](int64_t tile, int) {
    int low = 0, high = n;  // the last tensor whose first tile is <= tile: empty tensors have no tile of their own
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (first[middle] <= tile) {
        low = middle;
      } else {
        high = middle;
      }
    }
    const int64_t count = numel(in_list(c, list, low)), begin = (tile - first[low]) * kListGrain;
    body(low, begin, begin + kListGrain < count ? begin + kListGrain : count, tile);
  };
  tiles(total, run);
}

GP_INLINE bool list_is_contiguous(const gp_call *c, int list) {
  for (int i = 0; i < c->input_count[list]; i++)
    if (!is_contiguous(in_list(c, list, i))) return false;
  return true;
}

// A 0-d tensor of any dtype that a scalar may have.
GP_INLINE double scalar_of(const gp_view &v) {
  switch (v.dtype) {
    case GP_F32:
      return *data<float>(v);
    case GP_F64:
      return *data<double>(v);
    case GP_F16:
      return widen(*data<f16>(v));
    case GP_BF16:
      return widen(*data<bf16>(v));
    case GP_I64:
      return static_cast<double>(*data<int64_t>(v));
    case GP_I32:
      return *data<int32_t>(v);
    default:
      return *data<uint8_t>(v);
  }
}

// The start of element `begin` of the list's i-th tensor; NULL for an empty list.
template <class T>
GP_INLINE T *list_data(const gp_call *c, int list, int i, int64_t begin) {
  return c->input_count[list] == 0 ? nullptr : data<T>(in_list(c, list, i)) + begin;
}

template <class T>
struct Type {
  using type = T;
};

// Calls body(Type<T>()) for the C++ type of a floating dtype; the caller's row admits no other.
template <class F>
GP_INLINE void with_float(int32_t dtype, const F &body) {
  switch (dtype) {
    case GP_F64:
      return body(Type<double>());
    case GP_F16:
      return body(Type<f16>());
    case GP_BF16:
      return body(Type<bf16>());
    default:
      return body(Type<float>());
  }
}

GP_INLINE float root(float x) { return __builtin_sqrtf(x); }
GP_INLINE double root(double x) { return __builtin_sqrt(x); }

}  // namespace
}  // namespace gp::GP_ISA
