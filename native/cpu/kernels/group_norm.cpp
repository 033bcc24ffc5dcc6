// Group normalisation (Wu and He, 2018) of x [N, C, ...]: the channels of a sample in groups, each normalised over its
// channels and positions; weight and bias per channel.
//
// Backward: every (sample, channel) sums dy and dy · x̂ once; dx and the parameters' gradients are made of those sums,
// the latter in the order of the samples.
#include "rows.h"

namespace gp::GP_ISA {
namespace {

struct Groups {
  int64_t batch, channels, groups, size, each, count;  // size: of a plane; each: channels, count: elements of a group
};
Groups groups_of(const gp_view &x, int64_t groups) {
  Groups g{x.shape[0], x.shape[1], groups, 1, x.shape[1] / groups, 0};
  for (int i = 2; i < x.ndim; i++) g.size *= x.shape[i];
  g.count = g.each * g.size;
  return g;
}

template <class T>
void forward(const gp_call *call, const Groups &g, double eps) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const T *x = data<T>(in(call, 0));
  const T *weight = has(call, 1) ? data<T>(in(call, 1)) : nullptr,
          *bias = has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  T *y = data<T>(out(call, 0));
  W *means = data<W>(out(call, 1)), *rstds = data<W>(out(call, 2));
  ranges(g.batch * g.groups, rows_per_tile(g.count), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const T *from = x + r * g.count;
      const W count = static_cast<W>(g.count);
      const V mean(row_sum<V>(g.count, [&](int64_t i, int64_t k) { return get<V>(from + i, k); }) / count);
      const W square = row_sum<V>(g.count, [&](int64_t i, int64_t k) {
        const V d = get<V>(from + i, k) - mean;
        return d * d;
      });
      const V rstd = V(1) / sqrt_(V(square / count + static_cast<W>(eps)));
      means[r] = mean.v[0];
      rstds[r] = rstd.v[0];
      for (int64_t c = 0; c < g.each; c++) {
        const int64_t channel = r % g.groups * g.each + c;
        const V scale = weight == nullptr ? rstd : rstd * V(widen(weight[channel]));
        const V shift = bias == nullptr ? V(0) : V(widen(bias[channel]));
        const T *plane = from + c * g.size;
        T *to = y + r * g.count + c * g.size;
        each_vector<V>(
            g.size, [&](int64_t i, int64_t k) __attribute__((always_inline)) {
              put(to + i, fma_(get<V>(plane + i, k) - mean, scale, shift), k);
            });
      }
    }
  });
}

int32_t group_norm(gp_context *, const gp_kernel *, const gp_call *call) {
  Attrs attrs(call);
  const int64_t groups = attrs.integer();
  const double eps = attrs.number();
  GP_FLOATS(in(call, 0).dtype, T, { forward<T>(call, groups_of(in(call, 0), groups), eps); })
  return GP_OK;
}

// Σ dy and Σ dy · x̂ per (sample, channel)
size_t group_norm_backward_workspace(const gp_call *call) {
  const gp_view &x = in(call, 1);
  return static_cast<size_t>(2 * x.shape[0] * x.shape[1]) * (x.dtype == GP_F64 ? sizeof(double) : sizeof(float));
}

template <class T>
void backward(const gp_call *call, const Groups &g) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const T *dy = data<T>(in(call, 0)), *x = data<T>(in(call, 1));
  const T *weight = has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  const W *means = data<W>(in(call, 3)), *rstds = data<W>(in(call, 4));
  auto wanted = [&](int i) { return numel(out(call, i)) > 0 ? data<T>(out(call, i)) : nullptr; };
  T *dx = wanted(0), *dweight = wanted(1), *dbias = wanted(2);
  W *const plain = static_cast<W *>(call->workspace), *const along = plain + g.batch * g.channels;
  ranges(g.batch * g.groups, rows_per_tile(g.count), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const V mean(means[r]), rstd(rstds[r]);
      W a = 0, b = 0;  // Σ g and Σ g · x̂ of the group, g = dy · weight
      for (int64_t c = 0; c < g.each; c++) {
        const int64_t at = r * g.count + c * g.size, channel = r % g.groups * g.each + c;
        const int64_t sum = r / g.groups * g.channels + channel;
        plain[sum] = row_sum<V>(g.size, [&](int64_t i, int64_t k) { return get<V>(dy + at + i, k); });
        along[sum] = row_sum<V>(g.size, [&](int64_t i, int64_t k) {
          return get<V>(dy + at + i, k) * ((get<V>(x + at + i, k) - mean) * rstd);
        });
        const W w = weight == nullptr ? W(1) : widen(weight[channel]);
        a += plain[sum] * w;
        b += along[sum] * w;
      }
      if (dx == nullptr) continue;
      const V shift(a / static_cast<W>(g.count)), slope(b / static_cast<W>(g.count));
      for (int64_t c = 0; c < g.each; c++) {
        const int64_t at = r * g.count + c * g.size;
        const V w(weight == nullptr ? W(1) : widen(weight[r % g.groups * g.each + c]));
        each_vector<V>(
            g.size, [&](int64_t i, int64_t k) __attribute__((always_inline)) {
              const V hat = (get<V>(x + at + i, k) - mean) * rstd;
              put(dx + at + i, (get<V>(dy + at + i, k) * w - shift - hat * slope) * rstd, k);
            });
      }
    }
  });
  for (int64_t c = 0; c < g.channels; c++) {
    W sum = 0, product = 0;
    for (int64_t n = 0; n < g.batch; n++) {
      sum += plain[n * g.channels + c];
      product += along[n * g.channels + c];
    }
    if (dweight != nullptr) dweight[c] = narrow<T>(product);
    if (dbias != nullptr) dbias[c] = narrow<T>(sum);
  }
}

int32_t group_norm_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const int64_t groups = Attrs(call).integer();
  GP_FLOATS(in(call, 1).dtype, T, { backward<T>(call, groups_of(in(call, 1), groups)); })
  return GP_OK;
}

}  // namespace

GP_ROWS(group_norm) = {
    {"group_norm", "x weight? bias? -> y | mean rstd ; groups eps", kFloats, 0, 0, nullptr, group_norm},
    {"group_norm_backward", "dy x weight? mean rstd -> dx dweight dbias ; groups wants", kFloats, 0, 0,
     group_norm_backward_workspace, group_norm_backward},
    {},
};

}  // namespace gp::GP_ISA
