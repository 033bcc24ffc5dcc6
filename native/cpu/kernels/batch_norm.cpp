// Batch normalisation (Ioffe and Szegedy, 2015) of x [N, C, ...]: every channel over its batch and positions, with the
// statistics of the batch or given ones; its gradients, and the running statistics.
//
// A channel's sums add its planes one after the other (each in the virtual lanes of rows.h); without positions, x [N,
// C], channels are the lanes and samples are added in order.
#include "rows.h"

namespace gp::GP_ISA {
namespace {

struct Planes {
  int64_t batch, channels, size;  // size: elements of a plane
};
Planes planes_of(const gp_view &x) {
  Planes p{x.shape[0], x.shape[1], 1};
  for (int i = 2; i < x.ndim; i++) p.size *= x.shape[i];
  return p;
}

// Channels per task, so that it has some eight thousand elements; whole vectors where channels are lanes.
GP_INLINE int64_t channel_grain(const Planes &p) {
  const int64_t each = p.batch * p.size + 1, grain = each >= 8192 ? 1 : 8192 / each;
  return p.size > 1 ? grain : (grain + 63) / 64 * 64;
}

// Σ f(offset of the vector in x, lanes) over a channel's elements
template <class V, class F>
GP_FN typename V::Scalar channel_sum(const Planes &p, int64_t c, F f) {
  typename V::Scalar sum = 0;
  for (int64_t n = 0; n < p.batch; n++) {
    const int64_t at = (n * p.channels + c) * p.size;
    sum += row_sum<V>(
        p.size, [&](int64_t i, int64_t k) __attribute__((always_inline)) { return f(at + i, k); });
  }
  return sum;
}
template <class V, class F>
GP_FN void each_of_channel(const Planes &p, int64_t c, F f) {
  for (int64_t n = 0; n < p.batch; n++) {
    const int64_t at = (n * p.channels + c) * p.size;
    each_vector<V>(
        p.size, [&](int64_t i, int64_t k) __attribute__((always_inline)) { f(at + i, k); });
  }
}

// What one step of the loops over channels works on: one channel (its values in every lane) or a vector of channels.
template <class V, bool Columns>
struct Channel {
  const Planes &p;
  int64_t c, lanes;

  template <class S>
  GP_FN V read(const S *from) const {
    if constexpr (Columns) return get<V>(from + c, lanes);
    return V(widen(from[c]));
  }
  template <class S>
  GP_FN void write(S *to, V v) const {
    if constexpr (Columns) {
      put(to + c, v, lanes);
    } else {
      to[c] = narrow<S>(v.v[0]);
    }
  }
  template <class F>
  GP_FN V sum(F f) const {
    if constexpr (Columns) {
      V total(0);
      for (int64_t n = 0; n < p.batch; n++) total = total + f(n * p.channels + c, lanes);
      return total;
    } else {
      return V(channel_sum<V>(p, c, f));
    }
  }
  template <class F>
  GP_FN void each(F f) const {
    if constexpr (Columns) {
      for (int64_t n = 0; n < p.batch; n++) f(n * p.channels + c, lanes);
    } else {
      each_of_channel<V>(p, c, f);
    }
  }
};

template <class V, bool Columns, class F>
GP_INLINE void channels_of(const Planes &p, const F &body) {
  ranges(p.channels, channel_grain(p), [&](int64_t begin, int64_t end) {
    const int64_t step = Columns ? V::lanes : 1;
    for (int64_t c = begin; c < end; c += step) body(Channel<V, Columns>{p, c, end - c < step ? end - c : step});
  });
}

template <class T, bool Columns>
void forward(const gp_call *call, const Planes &p, double eps) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const T *x = data<T>(in(call, 0));
  const T *weight = has(call, 1) ? data<T>(in(call, 1)) : nullptr,
          *bias = has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  const bool given = has(call, 3);
  const W *known_mean = given ? data<W>(in(call, 3)) : nullptr,
          *known_variance = given ? data<W>(in(call, 4)) : nullptr;
  T *y = data<T>(out(call, 0));
  W *means = data<W>(out(call, 1)), *variances = data<W>(out(call, 2)), *rstds = data<W>(out(call, 3));
  const V count(static_cast<W>(p.batch * p.size));
  channels_of<V, Columns>(p, [&](const Channel<V, Columns> &c) {
    V mean, variance;
    if (given) {
      mean = c.read(known_mean);
      variance = c.read(known_variance);
    } else {
      mean = c.sum([&](int64_t i, int64_t k) __attribute__((always_inline)) { return get<V>(x + i, k); }) / count;
      variance = c.sum([&](int64_t i, int64_t k) __attribute__((always_inline)) {
        const V d = get<V>(x + i, k) - mean;
        return d * d;
      }) / count;
    }
    const V rstd = V(1) / sqrt_(variance + V(static_cast<W>(eps)));
    c.write(means, mean);
    c.write(variances, variance);
    c.write(rstds, rstd);
    const V scale = weight == nullptr ? rstd : rstd * c.read(weight), shift = bias == nullptr ? V(0) : c.read(bias);
    c.each([&](int64_t i, int64_t k)
               __attribute__((always_inline)) { put(y + i, fma_(get<V>(x + i, k) - mean, scale, shift), k); });
  });
}

int32_t batch_norm(gp_context *, const gp_kernel *, const gp_call *call) {
  const Planes p = planes_of(in(call, 0));
  const double eps = Attrs(call).number();
  GP_FLOATS(in(call, 0).dtype, T, {
    if (p.size == 1) {
      forward<T, true>(call, p, eps);
    } else {
      forward<T, false>(call, p, eps);
    }
  })
  return GP_OK;
}

// With g = dy · weight · rstd: dx = g, less its mean and its part along x̂ where the statistics are the batch's.
template <class T, bool Columns>
void backward(const gp_call *call, const Planes &p, bool training) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const T *dy = data<T>(in(call, 0)), *x = data<T>(in(call, 1));
  const T *weight = has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  const W *means = data<W>(in(call, 3)), *rstds = data<W>(in(call, 4));
  auto wanted = [&](int i) { return numel(out(call, i)) > 0 ? data<T>(out(call, i)) : nullptr; };
  T *dx = wanted(0), *dweight = wanted(1), *dbias = wanted(2);
  const V count(static_cast<W>(p.batch * p.size));
  channels_of<V, Columns>(p, [&](const Channel<V, Columns> &c) {
    const V mean = c.read(means), rstd = c.read(rstds);
    V sum(0), along(0);
    if (dbias != nullptr || (dx != nullptr && training))
      sum = c.sum([&](int64_t i, int64_t k) __attribute__((always_inline)) { return get<V>(dy + i, k); });
    if (dweight != nullptr || (dx != nullptr && training))
      along = c.sum([&](int64_t i, int64_t k) __attribute__((always_inline)) {
        return get<V>(dy + i, k) * (get<V>(x + i, k) - mean);
      }) * rstd;
    if (dweight != nullptr) c.write(dweight, along);
    if (dbias != nullptr) c.write(dbias, sum);
    if (dx == nullptr) return;
    const V scale = weight == nullptr ? rstd : rstd * c.read(weight);
    const V shift = training ? sum / count : V(0), slope = training ? along / count * rstd : V(0);
    c.each([&](int64_t i, int64_t k) __attribute__((always_inline)) {
      put(dx + i, (get<V>(dy + i, k) - shift - (get<V>(x + i, k) - mean) * slope) * scale, k);
    });
  });
}

int32_t batch_norm_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Planes p = planes_of(in(call, 1));
  const bool training = Attrs(call).flag();
  GP_FLOATS(in(call, 1).dtype, T, {
    if (p.size == 1) {
      backward<T, true>(call, p, training);
    } else {
      backward<T, false>(call, p, training);
    }
  })
  return GP_OK;
}

// Inputs: running mean, running variance, batches seen so far, mean, variance. NaN as momentum: the mean over all
// batches.
template <class T>
void update(const gp_call *call, double momentum, double count) {
  using W = WideOf<T>;
  T *mean = data<T>(in(call, 0)), *variance = data<T>(in(call, 1));
  int64_t *tracked = data<int64_t>(in(call, 2));
  const W *new_mean = data<W>(in(call, 3)), *new_variance = data<W>(in(call, 4));
  tracked[0]++;
  const W share = static_cast<W>(momentum == momentum ? momentum : 1.0 / static_cast<double>(tracked[0]));
  const W unbiased = static_cast<W>(count / (count - 1));
  for (int64_t c = 0; c < numel(in(call, 0)); c++) {
    mean[c] = narrow<T>((W(1) - share) * widen(mean[c]) + share * new_mean[c]);
    variance[c] = narrow<T>((W(1) - share) * widen(variance[c]) + share * (new_variance[c] * unbiased));
  }
}

int32_t batch_norm_update(gp_context *, const gp_kernel *, const gp_call *call) {
  Attrs attrs(call);
  const double momentum = attrs.number(), count = attrs.number();
  GP_FLOATS(in(call, 0).dtype, T, { update<T>(call, momentum, count); })
  return GP_OK;
}

}  // namespace

GP_ROWS(batch_norm) = {
    {"batch_norm", "x weight? bias? mean? variance? -> y | batchMean batchVariance rstd ; eps", kFloats, 0, 0, nullptr,
     batch_norm},
    {"batch_norm_backward", "dy x weight? mean rstd -> dx dweight dbias ; training wants", kFloats, 0, 0, nullptr,
     batch_norm_backward},
    {"batch_norm_update", "runningMean runningVar tracked mean variance -> ; momentum count", kFloats,
     GP_KERNEL_MUTATES, 0, nullptr, batch_norm_update},
    {},
};

}  // namespace gp::GP_ISA
