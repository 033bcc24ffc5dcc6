// Softmax cross-entropy with class ids, fused: the forward pass keeps the maximum and the logarithm of the sum of each
// row (apart, because their sum would lose the small one), the backward pass writes dlogits in one go.
//
// logits [N, C, ...] are seen as [outer, C, inner]; a sample is (outer, inner). Its loss, with weights w and smoothing
// s:
//   (1 - s) w[t] (lse - x[t]) + s / C Σ_c w[c] (lse - x[c]), lse = log Σ_c exp x[c]
#include "rows.h"

namespace gp::GP_ISA {
namespace {

enum { kMean, kSum, kNone };

struct Problem {
  int64_t outer, classes, inner;
  int64_t ignore;
  int reduction;
  double smoothing;
};

Problem problem_of(const gp_call *call, const gp_view &logits) {
  Attrs attrs(call);
  Problem p;
  p.ignore = attrs.integer();
  p.reduction = attrs.choice();
  p.smoothing = attrs.number();
  const int axis = logits.ndim == 1 ? 0 : 1;
  p.outer = axis == 0 ? 1 : logits.shape[0];
  p.classes = logits.shape[axis];
  p.inner = 1;
  for (int i = axis + 1; i < logits.ndim; i++) p.inner *= logits.shape[i];
  return p;
}

template <class I>
bool targets_in_range(const gp_call *call, const gp_view &target, const Problem &p) {
  const I *t = data<I>(target);
  const int64_t n = p.outer * p.inner;
  for (int64_t i = 0; i < n; i++) {
    const int64_t id = static_cast<int64_t>(t[i]);
    if (id != p.ignore && (id < 0 || id >= p.classes)) {
      report(call, GP_INDEX_OUT_OF_RANGE, i, static_cast<double>(id));
      return false;
    }
  }
  return true;
}

int64_t target_at(const gp_view &target, int64_t i) {
  if (target.dtype == GP_I64) return data<int64_t>(target)[i];
  if (target.dtype == GP_I32) return data<int32_t>(target)[i];
  return data<uint8_t>(target)[i];
}

bool check_targets(const gp_call *call, const gp_view &target, const Problem &p) {
  if (target.dtype == GP_I64) return targets_in_range<int64_t>(call, target, p);
  if (target.dtype == GP_I32) return targets_in_range<int32_t>(call, target, p);
  return targets_in_range<uint8_t>(call, target, p);
}

// Maximum, logarithm of the sum, and (with smoothing) Σ w (max - x) of k neighbouring samples.
template <class V>
struct Stats {
  V max, log_sum, far;
};

// Of k rows of n elements.
template <class V, class T>
GP_FN Stats<V> row_stats(const T *x, const T *w, int64_t n, int64_t k, bool smooth) {
  V max(0), sum(1), far(0);
  for (int64_t r = 0; r < k; r++, x += n) {
    const V m(row_max<V>(x, n));
    max.v[r] = m.v[0];
    sum.v[r] = row_sum<V>(n, [&](int64_t i, int64_t lanes) { return exp_(get<V>(x + i, lanes) - m); });
    if (!smooth) continue;
    far.v[r] = row_sum<V>(n, [&](int64_t i, int64_t lanes) {
      V d = m - get<V>(x + i, lanes);
      return w == nullptr ? d : d * get<V>(w + i, lanes);
    });
  }
  return {max, log_(sum), far};
}

template <class V, class T>
GP_FN Stats<V> column_stats(const T *x, const T *w, int64_t n, int64_t step, int64_t k, bool smooth) {
  V m(-static_cast<typename V::Scalar>(__builtin_inff())), s(0), far(0);
  for (int64_t c = 0; c < n; c++) m = max_nan(m, get<V>(x + c * step, k));
  for (int64_t c = 0; c < n; c++) {
    V d = get<V>(x + c * step, k) - m;
    s = s + exp_(d);
    if (smooth) far = far - (w == nullptr ? d : d * V(static_cast<typename V::Scalar>(widen(w[c]))));
  }
  return {m, log_(s), far};
}

template <class T>
GP_FN WideOf<T> weight_sum(const T *w, int64_t n) {
  using V = Compute<T>;
  if (w == nullptr) return static_cast<WideOf<T>>(n);
  return row_sum<V>(n, [&](int64_t i, int64_t k) { return get<V>(w + i, k); });
}

size_t forward_workspace(const gp_call *call) { return static_cast<size_t>(numel(in(call, 1))) * 2 * sizeof(double); }

// Samples that are worked on together: neighbours along the inner axes, or short rows. A vector of `lanes` at most.
struct Neighbours {
  int64_t count, apart;  // of a run, and the elements from one to the next
  int64_t together;
};
Neighbours neighbours(const Problem &p, int64_t lanes) {
  constexpr int64_t kShortRow = 512;
  if (p.inner != 1) return {p.inner, 1, lanes};
  return {p.outer, p.classes, p.classes <= kShortRow ? lanes : 1};
}

// body(first element of logits, first sample, how many)
template <class F>
GP_FN void each_samples(const Problem &p, const Neighbours &near, const F &body) {
  const int64_t groups = (near.count + near.together - 1) / near.together, runs = p.inner != 1 ? p.outer : 1;
  ranges(runs * groups, rows_per_tile(p.classes * near.together), [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; g++) {
      const int64_t o = g / groups, j = g % groups * near.together;
      body(o * p.classes * p.inner + j * near.apart, o * near.count + j, least(near.together, near.count - j));
    }
  });
}

template <class T>
void run_forward(const gp_call *call, const Problem &p) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const gp_view &target = in(call, 1);
  const T *x = data<T>(in(call, 0)), *w = has(call, 2) ? data<T>(in(call, 2)) : nullptr;
  W *maxima = data<W>(out(call, 1)), *logs = data<W>(out(call, 2));
  const int64_t n = p.outer * p.inner;
  W *loss = static_cast<W *>(call->workspace), *share = loss + n;
  const W near = static_cast<W>(1.0 - p.smoothing), far = static_cast<W>(p.smoothing / static_cast<double>(p.classes));
  const W total = p.smoothing > 0 ? weight_sum(w, p.classes) : W(0);
  const Neighbours together = neighbours(p, V::lanes);
  each_samples(p, together, [&](int64_t at, int64_t sample, int64_t k) {
    const bool smooth = p.smoothing > 0;
    Stats<V> s = p.inner == 1 ? row_stats<V>(x + at, w, p.classes, k, smooth)
                              : column_stats<V>(x + at, w, p.classes, p.inner, k, smooth);
    for (int64_t i = 0; i < k; i++) {
      const int64_t id = target_at(target, sample + i);
      const W m = s.max.v[i], l = s.log_sum.v[i];
      maxima[sample + i] = m;
      logs[sample + i] = l;
      loss[sample + i] = share[sample + i] = 0;
      if (id == p.ignore) continue;
      const W weight = w == nullptr ? W(1) : static_cast<W>(widen(w[id]));
      share[sample + i] = weight;
      W value = weight * (l + (m - static_cast<W>(widen(x[at + i * together.apart + id * p.inner]))));
      if (smooth) value = near * value + far * (s.far.v[i] + total * l);
      loss[sample + i] = value;
    }
  });
  auto sum = [&](const W *v) { return row_sum<V>(n, [&](int64_t i, int64_t k) { return get<V>(v + i, k); }); };
  const W weights = sum(share);
  *data<W>(out(call, 3)) = weights;
  T *y = data<T>(out(call, 0));
  if (p.reduction == kNone) {
    each_vector<V>(n, [&](int64_t i, int64_t k) { put(y + i, get<V>(loss + i, k), k); });
  } else {
    const W s = sum(loss);
    *y = narrow<T>(p.reduction == kMean ? s / weights : s);
  }
}

int32_t cross_entropy(gp_context *, const gp_kernel *, const gp_call *call) {
  const Problem p = problem_of(call, in(call, 0));
  if (!check_targets(call, in(call, 1), p)) return GP_INDEX_OUT_OF_RANGE;
  GP_FLOATS(in(call, 0).dtype, T, run_forward<T>(call, p));
  return GP_OK;
}

// dx[c] = g ((1 - s) w[t] + s / C Σ w) p[c] - g s / C w[c] - [c = t] g (1 - s) w[t], g the gradient of the sample's
// loss
template <class T>
void run_backward(const gp_call *call, const Problem &p) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const gp_view &target = in(call, 2);
  const T *dy = data<T>(in(call, 0)), *x = data<T>(in(call, 1)), *w = has(call, 3) ? data<T>(in(call, 3)) : nullptr;
  const W *maxima = data<W>(in(call, 4)), *logs = data<W>(in(call, 5)), weights = *data<W>(in(call, 6));
  T *dx = data<T>(out(call, 0));
  const W near = static_cast<W>(1.0 - p.smoothing), far = static_cast<W>(p.smoothing / static_cast<double>(p.classes));
  const W total = p.smoothing > 0 ? weight_sum(w, p.classes) : W(0);
  const W common = p.reduction == kMean ? static_cast<W>(widen(*dy)) / weights : static_cast<W>(widen(*dy));
  const Neighbours together = neighbours(p, V::lanes);
  each_samples(p, together, [&](int64_t at, int64_t sample, int64_t k) {
    V all(0), even(0), hit(0);  // factors of p[c], of w[c], and what the target's element loses
    V logit(0);                 // the target's
    int64_t place[V::lanes];    // of the target's element; -1: the sample is ignored
    for (int64_t i = 0; i < k; i++) {
      const int64_t id = target_at(target, sample + i);
      place[i] = -1;
      if (id == p.ignore) continue;
      place[i] = at + i * together.apart + id * p.inner;
      logit.v[i] = static_cast<W>(widen(x[place[i]]));
      const W g = p.reduction == kNone ? static_cast<W>(widen(dy[sample + i])) : common;
      hit.v[i] = g * near * (w == nullptr ? W(1) : static_cast<W>(widen(w[id])));
      even.v[i] = g * far;
      all.v[i] = hit.v[i] + even.v[i] * total;
    }
    const V m = get<V>(maxima + sample, k), l = get<V>(logs + sample, k);
    // c: of its first element; an ignored sample has no gradient, whatever its logits
    auto write = [&](int64_t c, int64_t lanes, V top, V log, V a, V e, V wc) __attribute__((always_inline)) {
      const V q = exp_((get<V>(x + c, lanes) - top) - log);
      put(dx + c, select(a == V(0), V(0), a * q) - e * wc, lanes);
    };
    if (p.inner == 1) {
      for (int64_t i = 0; i < k; i++) {
        const V top(m.v[i]), log(l.v[i]), a(all.v[i]), e(even.v[i]);
        const int64_t row = at + i * p.classes;
        each_vector<V>(
            p.classes, [&](int64_t c, int64_t lanes) __attribute__((always_inline)) {
              write(row + c, lanes, top, log, a, e, w == nullptr ? V(1) : get<V>(w + c, lanes));
            });
      }
    } else {
      for (int64_t c = 0; c < p.classes; c++)
        write(at + c * p.inner, k, m, l, all, even, w == nullptr ? V(1) : V(static_cast<W>(widen(w[c]))));
    }
    // The target's element from unrounded numbers.
    const V q = exp_((logit - m) - l);
    for (int64_t i = 0; i < k; i++) {
      if (place[i] < 0) continue;
      const W wc = w == nullptr ? W(1) : static_cast<W>(widen(w[target_at(target, sample + i)]));
      dx[place[i]] = narrow<T>(all.v[i] * q.v[i] - even.v[i] * wc - hit.v[i]);
    }
  });
}

int32_t cross_entropy_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Problem p = problem_of(call, in(call, 1));
  GP_FLOATS(in(call, 1).dtype, T, run_backward<T>(call, p));
  return GP_OK;
}

}  // namespace

GP_ROWS(cross_entropy) = {
    {"cross_entropy", "logits target weight? -> y | max logsum weights ; ignoreIndex reduction labelSmoothing", kFloats,
     0, 0, forward_workspace, cross_entropy},
    {"cross_entropy_backward",
     "dy logits target weight? max logsum weights -> dlogits ; ignoreIndex reduction labelSmoothing", kFloats, 0, 0,
     nullptr, cross_entropy_backward},
    {},
};

}  // namespace gp::GP_ISA
