// The global norm of a list of gradients, and the writes that clip them. Sums are f64: 16 lanes per tile, combined as a
// fixed tree, tiles added in order, so the bits depend on the shapes alone.
#include "../../include/tensor_list.h"

namespace gp::GP_ISA {
namespace {

constexpr int kLanes = 16;

GP_INLINE double combine(double *lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

template <class T>
GP_INLINE double sum_of_squares(const T *__restrict g, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int j = 0; j < kLanes; j++) {
      const double x = widen(g[i + j]);
      lanes[j] += x * x;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    const double x = widen(g[i]);
    lanes[j] += x * x;
  }
  return combine(lanes);
}

template <class T>
GP_INLINE double sum_of_powers(const T *__restrict g, int64_t n, double power) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++) sum += pow(fabs(static_cast<double>(widen(g[i]))), power);
  return sum;
}

GP_INLINE double larger(double a, double b) { return b > a || b != b ? b : a; }  // NaN wins and stays

template <class T>
GP_INLINE double largest(const T *__restrict g, int64_t n) {
  double most = 0.0;
  for (int64_t i = 0; i < n; i++) most = larger(most, fabs(static_cast<double>(widen(g[i]))));
  return most;
}

size_t norm_workspace(const gp_call *c) {
  int64_t tiles = 0;
  for (int i = 0; i < c->input_count[0]; i++) tiles += (numel(in_list(c, 0, i)) + kListGrain - 1) / kListGrain;
  return tile_index_bytes(c, 0) + static_cast<size_t>(tiles) * sizeof(double);
}

GP_INLINE void store(const gp_view &v, double value) {
  if (v.dtype == GP_F64) {
    *data<double>(v) = value;
  } else {
    *data<float>(v) = static_cast<float>(value);
  }
}

int32_t grad_norm(gp_context *, const gp_kernel *, const gp_call *c) {
  Attrs attrs(c);
  const double max_norm = attrs.number(), power = attrs.number();
  auto *first = static_cast<int64_t *>(c->workspace);
  auto *partial = reinterpret_cast<double *>(first + c->input_count[0] + 1);
  const int64_t total = index_tiles(c, 0, first);
  over_list(c, 0, first, total, [&](int i, int64_t begin, int64_t end, int64_t tile) {
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      const T *g = list_data<T>(c, 0, i, begin);
      partial[tile] = power == 2.0   ? sum_of_squares(g, end - begin)
                      : isinf(power) ? largest(g, end - begin)
                                     : sum_of_powers(g, end - begin, power);
    });
  });
  double sum = 0.0;
  for (int64_t tile = 0; tile < total; tile++) sum = isinf(power) ? larger(sum, partial[tile]) : sum + partial[tile];
  const double norm = power == 2.0 ? sqrt(sum) : isinf(power) ? sum : pow(sum, 1.0 / power);
  const double coefficient = max_norm / (norm + 1e-6);
  store(out(c, 0), norm);
  store(out(c, 1), coefficient > 1.0 ? 1.0 : coefficient);
  return GP_OK;
}

int32_t scale_grads(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!list_is_contiguous(c, 0)) return GP_UNSUPPORTED;
  const double coefficient = scalar_of(in(c, 1));
  if (coefficient == 1.0) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  over_list(c, 0, first, index_tiles(c, 0, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      const auto factor = static_cast<typename Wide<T>::type>(coefficient);
      T *g = list_data<T>(c, 0, i, 0);
      for (int64_t j = begin; j < end; j++) g[j] = narrow<T>(widen(g[j]) * factor);
    });
  });
  return GP_OK;
}

int32_t clamp_grads(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!list_is_contiguous(c, 0)) return GP_UNSUPPORTED;
  const double limit = Attrs(c).number();
  auto *first = static_cast<int64_t *>(c->workspace);
  over_list(c, 0, first, index_tiles(c, 0, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      using W = typename Wide<T>::type;
      const W high = static_cast<W>(limit), low = -high;
      T *g = list_data<T>(c, 0, i, 0);
      for (int64_t j = begin; j < end; j++) {
        const W x = widen(g[j]);
        g[j] = narrow<T>(x > high ? high : x < low ? low : x);
      }
    });
  });
  return GP_OK;
}

size_t list_workspace(const gp_call *c) { return tile_index_bytes(c, 0); }

}  // namespace

GP_ROWS(clip) = {
    {"grad_norm", "grads[] -> norm coefficient ; maxNorm normType", kFloats, 0, 0, norm_workspace, grad_norm},
    {"scale_grads", "grads[] coefficient ->", kFloats, GP_KERNEL_MUTATES, 0, list_workspace, scale_grads},
    {"clamp_grads", "grads[] -> ; clipValue", kFloats, GP_KERNEL_MUTATES, 0, list_workspace, clamp_grads},
    {},
};

}  // namespace gp::GP_ISA
