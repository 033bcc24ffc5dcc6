// Optimizer updates beside SGD, Adam and RMSprop: Adagrad, Adadelta, Adamax, NAdam, RAdam, Lion. Conventions as in
// optim_step.cpp; the order of operations is PyTorch's.
#include "optim_update.h"

namespace gp::GP_ISA {
namespace {

size_t list_workspace(const gp_call *c) { return tile_index_bytes(c, 0); }

// What changes from tensor to tensor because their step counts do; computed once per tensor, ahead of the tiles.
struct PerTensor {
  double a, b, c;
};

size_t per_tensor_workspace(const gp_call *c) {
  return tile_index_bytes(c, 0) + static_cast<size_t>(c->input_count[0]) * sizeof(PerTensor);
}

template <class F>
GP_INLINE PerTensor *per_tensor(const gp_call *c, int64_t *first, int steps, F make) {
  auto *per = reinterpret_cast<PerTensor *>(first + c->input_count[0] + 1);
  for (int i = 0; i < c->input_count[0]; i++) per[i] = make(i, static_cast<double>(++step_of(c, steps, i)));
  return per;
}

// body(Type<T>, tensor, begin, n) over all tiles of the parameters.
template <class F>
GP_INLINE void update(const gp_call *c, int64_t *first, const F &body) {
  over_list(c, 0, first, index_tiles(c, 0, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    with_float(in_list(c, 0, i).dtype, [&](auto type) { body(type, i, begin, end - begin); });
  });
}

// ---- Adagrad --------------------------------------------------------------------------------------------------------

template <class T, class W>
GP_INLINE void adagrad_run(T *__restrict p, const T *__restrict grad, W *__restrict sum, int64_t n, W scale, W decay,
                           W rate, W eps) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * scale + decay * x;
    const W s = sum[i] + g * g;
    sum[i] = s;
    p[i] = narrow<T>(x - (rate * g) / (root(s) + eps));
  }
}

int32_t adagrad_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 2, 3)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double lr_decay = attrs.number(), decay = attrs.number(), eps = attrs.number();
  const Step s = read_step(c, 4, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  auto *per = per_tensor(c, first, 3, [&](int, double t) {
    return PerTensor{s.lr / (1.0 + (t - 1.0) * lr_decay), 0.0, 0.0};
  });
  update(c, first, [&](auto type, int i, int64_t begin, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    adagrad_run(list_data<T>(c, 0, i, begin), list_data<T>(c, 1, i, begin), list_data<W>(c, 2, i, begin), n, W(s.scale),
                W(decay), W(per[i].a), W(eps));
  });
  return GP_OK;
}

// ---- Adadelta -------------------------------------------------------------------------------------------------------

template <class T, class W>
GP_INLINE void adadelta_run(T *__restrict p, const T *__restrict grad, W *__restrict v, W *__restrict a, int64_t n,
                            W scale, W decay, W rho, W rest, W eps, W lr) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * scale + decay * x;
    const W square = v[i] * rho + (rest * g) * g;
    const W d = root(a[i] + eps) / root(square + eps) * g;
    v[i] = square;
    a[i] = a[i] * rho + (rest * d) * d;
    p[i] = narrow<T>(x - lr * d);
  }
}

int32_t adadelta_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 2, 4)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double rho = attrs.number(), eps = attrs.number(), decay = attrs.number();
  const Step s = read_step(c, 5, attrs.flag());
  if (s.skip) return GP_OK;
  for (int i = 0; i < c->input_count[0]; i++) ++step_of(c, 4, i);
  update(c, static_cast<int64_t *>(c->workspace), [&](auto type, int i, int64_t begin, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    adadelta_run(list_data<T>(c, 0, i, begin), list_data<T>(c, 1, i, begin), list_data<W>(c, 2, i, begin),
                 list_data<W>(c, 3, i, begin), n, W(s.scale), W(decay), W(rho), W(1.0 - rho), W(eps), W(s.lr));
  });
  return GP_OK;
}

// ---- Adamax ---------------------------------------------------------------------------------------------------------

template <class T, class W>
GP_INLINE void adamax_run(T *__restrict p, const T *__restrict grad, W *__restrict m, W *__restrict u, int64_t n,
                          W scale, W decay, W weight1, W beta2, W eps, W rate) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * scale + decay * x;
    const W mean = m[i] + weight1 * (g - m[i]);
    const W old = u[i] * beta2, now = (g < W(0) ? -g : g) + eps;
    const W top = now > old || now != now ? now : old;
    m[i] = mean;
    u[i] = top;
    p[i] = narrow<T>(x - (rate * mean) / top);
  }
}

int32_t adamax_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 2, 4)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double beta1 = attrs.number(), beta2 = attrs.number(), eps = attrs.number(), decay = attrs.number();
  const Step s = read_step(c, 5, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  auto *per = per_tensor(c, first, 4, [&](int, double t) { return PerTensor{s.lr / (1.0 - pow(beta1, t)), 0.0, 0.0}; });
  update(c, first, [&](auto type, int i, int64_t begin, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    adamax_run(list_data<T>(c, 0, i, begin), list_data<T>(c, 1, i, begin), list_data<W>(c, 2, i, begin),
               list_data<W>(c, 3, i, begin), n, W(s.scale), W(decay), W(1.0 - beta1), W(beta2), W(eps), W(per[i].a));
  });
  return GP_OK;
}

// ---- NAdam, RAdam: moments as in Adam -------------------------------------------------------------------------------

struct Moments {
  double beta1, beta2, eps, decay;
};

template <class W>
struct Blend {
  W scale, decay, keep, weight1, beta2, weight2, eps;
};

template <class W>
GP_INLINE Blend<W> blend(const Moments &k, const Step &s, bool decoupled) {
  return {W(s.scale),
          W(decoupled ? 0.0 : k.decay),
          W(decoupled ? 1.0 - s.lr * k.decay : 1.0),
          W(1.0 - k.beta1),
          W(k.beta2),
          W(1.0 - k.beta2),
          W(k.eps)};
}

// d = sqrt(v / c2) + eps; p = p - now g / d - ahead m / d
template <class T, class W>
GP_INLINE void nadam_run(T *__restrict p, const T *__restrict grad, W *__restrict m, W *__restrict v, int64_t n,
                         const Blend<W> k, W now, W ahead, W correction2) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * k.scale + k.decay * x;
    const W mean = m[i] + k.weight1 * (g - m[i]);
    const W square = v[i] * k.beta2 + (k.weight2 * g) * g;
    const W d = root(square / correction2) + k.eps;
    m[i] = mean;
    v[i] = square;
    p[i] = narrow<T>(x * k.keep - (now * g) / d - (ahead * mean) / d);
  }
}

int32_t nadam_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 2, 4)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double beta1 = attrs.number(), beta2 = attrs.number(), eps = attrs.number(), decay = attrs.number();
  const Moments k{beta1, beta2, eps, decay};
  const double momentum_decay = attrs.number();
  const bool decoupled = attrs.flag();
  const Step s = read_step(c, 6, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  auto mu_at = [&](double t) { return beta1 * (1.0 - 0.5 * pow(0.96, t * momentum_decay)); };
  auto *per = per_tensor(c, first, 5, [&](int i, double t) {
    const double mu = mu_at(t), next = mu_at(t + 1.0);
    double &product = *data<double>(in_list(c, 4, i));
    product *= mu;
    return PerTensor{s.lr * (1.0 - mu) / (1.0 - product), s.lr * next / (1.0 - product * next), 1.0 - pow(beta2, t)};
  });
  update(c, first, [&](auto type, int i, int64_t begin, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    nadam_run(list_data<T>(c, 0, i, begin), list_data<T>(c, 1, i, begin), list_data<W>(c, 2, i, begin),
              list_data<W>(c, 3, i, begin), n, blend<W>(k, s, decoupled), W(per[i].a), W(per[i].b), W(per[i].c));
  });
  return GP_OK;
}

// p = p - rate m, divided by sqrt(v) + eps where the variance is known well enough
template <bool kRectified, class T, class W>
GP_INLINE void radam_run(T *__restrict p, const T *__restrict grad, W *__restrict m, W *__restrict v, int64_t n,
                         const Blend<W> k, W rate, W rectified) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * k.scale + k.decay * x;
    const W mean = m[i] + k.weight1 * (g - m[i]);
    const W square = v[i] * k.beta2 + (k.weight2 * g) * g;
    m[i] = mean;
    v[i] = square;
    const W move = rate * mean;
    p[i] = narrow<T>(x * k.keep - (kRectified ? move * (rectified / (root(square) + k.eps)) : move));
  }
}

int32_t radam_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 2, 4)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double beta1 = attrs.number(), beta2 = attrs.number(), eps = attrs.number(), decay = attrs.number();
  const Moments k{beta1, beta2, eps, decay};
  const bool decoupled = attrs.flag();
  const Step s = read_step(c, 5, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  const double top = 2.0 / (1.0 - beta2) - 1.0;
  auto *per = per_tensor(c, first, 4, [&](int, double t) {
    const double power = pow(beta2, t), second = 1.0 - power, rho = top - 2.0 * t * power / second;
    const double r =
        rho > 5.0 ? sqrt((rho - 4.0) * (rho - 2.0) * top / ((top - 4.0) * (top - 2.0) * rho)) * sqrt(second) : -1.0;
    return PerTensor{s.lr / (1.0 - pow(beta1, t)), r, 0.0};
  });
  update(c, first, [&](auto type, int i, int64_t begin, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    T *p = list_data<T>(c, 0, i, begin);
    const T *grad = list_data<T>(c, 1, i, begin);
    W *m = list_data<W>(c, 2, i, begin), *v = list_data<W>(c, 3, i, begin);
    if (per[i].b >= 0.0) {
      radam_run<true>(p, grad, m, v, n, blend<W>(k, s, decoupled), W(per[i].a), W(per[i].b));
    } else {
      radam_run<false>(p, grad, m, v, n, blend<W>(k, s, decoupled), W(per[i].a), W(0));
    }
  });
  return GP_OK;
}

// ---- Lion -----------------------------------------------------------------------------------------------------------

template <class T, class W>
GP_INLINE void lion_run(T *__restrict p, const T *__restrict grad, W *__restrict m, int64_t n, W scale, W keep,
                        W weight1, W weight2, W lr) {
  for (int64_t i = 0; i < n; i++) {
    const W g = widen(grad[i]) * scale, difference = g - m[i];
    const W mix = m[i] + weight1 * difference;
    const W sign = mix > W(0) ? W(1) : mix < W(0) ? W(-1) : mix;
    m[i] = m[i] + weight2 * difference;
    p[i] = narrow<T>(widen(p[i]) * keep - lr * sign);
  }
}

int32_t lion_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, 2, 3)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double beta1 = attrs.number(), beta2 = attrs.number(), decay = attrs.number();
  const Step s = read_step(c, 4, attrs.flag());
  if (s.skip) return GP_OK;
  for (int i = 0; i < c->input_count[0]; i++) ++step_of(c, 3, i);
  update(c, static_cast<int64_t *>(c->workspace), [&](auto type, int i, int64_t begin, int64_t n) {
    using T = typename decltype(type)::type;
    using W = typename Wide<T>::type;
    lion_run(list_data<T>(c, 0, i, begin), list_data<T>(c, 1, i, begin), list_data<W>(c, 2, i, begin), n, W(s.scale),
             W(1.0 - s.lr * decay), W(1.0 - beta1), W(1.0 - beta2), W(s.lr));
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(optim_more) = {
    {"adagrad_step", "params[] grads[] sums[] steps[] lr scale? skip? -> ; lrDecay weightDecay eps maximize", kFloats,
     GP_KERNEL_MUTATES, 0, per_tensor_workspace, adagrad_step},
    {"adadelta_step",
     "params[] grads[] squareAvgs[] deltas[] steps[] lr scale? skip? -> ; rho eps weightDecay maximize", kFloats,
     GP_KERNEL_MUTATES, 0, list_workspace, adadelta_step},
    {"adamax_step",
     "params[] grads[] expAvgs[] expInfs[] steps[] lr scale? skip? -> ; beta1 beta2 eps weightDecay maximize", kFloats,
     GP_KERNEL_MUTATES, 0, per_tensor_workspace, adamax_step},
    {"nadam_step",
     "params[] grads[] expAvgs[] expAvgSqs[] muProducts[] steps[] lr scale? skip? -> ; beta1 beta2 eps weightDecay "
     "momentumDecay decoupled maximize",
     kFloats, GP_KERNEL_MUTATES, 0, per_tensor_workspace, nadam_step},
    {"radam_step",
     "params[] grads[] expAvgs[] expAvgSqs[] steps[] lr scale? skip? -> ; beta1 beta2 eps weightDecay decoupled "
     "maximize",
     kFloats, GP_KERNEL_MUTATES, 0, per_tensor_workspace, radam_step},
    {"lion_step", "params[] grads[] expAvgs[] steps[] lr scale? skip? -> ; beta1 beta2 weightDecay maximize", kFloats,
     GP_KERNEL_MUTATES, 0, list_workspace, lion_step},
    {},
};

}  // namespace gp::GP_ISA
