// sort along one axis, stable; NaN counts as the largest. Values and their former positions.
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

template <class T>
struct Item {
  T value;
  int64_t at;
};

template <class T>
GP_INLINE bool below(T a, T b) {
  return a < b || (b != b && a == a);
}
GP_INLINE bool below(f16 a, f16 b) { return below(widen(a), widen(b)); }
GP_INLINE bool below(bf16 a, bf16 b) { return below(widen(a), widen(b)); }

// Bottom-up merge sort between two buffers; returns the one that holds the result.
template <class T>
Item<T> *merge_sort(Item<T> *from, Item<T> *to, int64_t n, bool descending) {
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * width) {
      const int64_t middle = begin + width < n ? begin + width : n;
      const int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
      int64_t a = begin, b = middle;
      for (int64_t k = begin; k < end; k++) {
        // The right one only where it is strictly first: equal values keep their order.
        const bool right =
            a == middle ||
            (b < end && (descending ? below(from[a].value, from[b].value) : below(from[b].value, from[a].value)));
        to[k] = right ? from[b++] : from[a++];
      }
    }
    Item<T> *t = from;
    from = to;
    to = t;
  }
  return from;
}

int64_t line_length(const gp_call *call) {
  const gp_view &x = in(call, 0);
  return x.ndim == 0 ? 1 : x.shape[Attrs(call).integer()];
}

template <class T>
void sort_lines(const gp_call *call) {
  const gp_view &x = in(call, 0);
  Attrs attrs(call);
  const int dim = static_cast<int>(attrs.integer());
  const bool descending = attrs.flag();
  const int64_t n = line_length(call);
  if (n == 0) return;
  int64_t inner = 1;
  for (int i = dim + 1; i < x.ndim; i++) inner *= x.shape[i];
  const T *from = data<T>(x);
  T *values = data<T>(out(call, 0));
  int64_t *indices = data<int64_t>(out(call, 1));
  auto body = [&](int64_t line, int slot) {
    Item<T> *scratch = static_cast<Item<T> *>(call->workspace) + static_cast<int64_t>(slot) * 2 * n;
    const int64_t start = line / inner * n * inner + line % inner;
    for (int64_t k = 0; k < n; k++) scratch[k] = {from[start + k * inner], k};
    const Item<T> *sorted = merge_sort(scratch, scratch + n, n, descending);
    for (int64_t k = 0; k < n; k++) {
      values[start + k * inner] = sorted[k].value;
      indices[start + k * inner] = sorted[k].at;
    }
  };
  tiles(numel(x) / n, body);
}

size_t sort_workspace(const gp_call *call) {
  return static_cast<size_t>(thread_count()) * 2 * static_cast<size_t>(line_length(call)) * sizeof(Item<double>);
}

int32_t sort(gp_context *, const gp_kernel *, const gp_call *call) {
  const int32_t dtype = in(call, 0).dtype;
  if (dtype == GP_BOOL) {
    sort_lines<uint8_t>(call);
    return GP_OK;
  }
  if (dtype == GP_I64 || dtype == GP_I32 || dtype == GP_U8) {
    GP_INTEGERS(dtype, T, sort_lines<T>(call));
    return GP_OK;
  }
  GP_FLOATS(dtype, T, sort_lines<T>(call));
  return GP_OK;
}

}  // namespace

GP_ROWS(sort) = {
    {"sort", "x -> values indices ; dim descending", kAnyDtype, 0, 0, sort_workspace, sort},
    {},
};

}  // namespace gp::GP_ISA
