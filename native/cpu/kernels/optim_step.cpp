// Optimizer updates over lists of parameters, in place. Parameters and gradients agree in dtype (Adam's f32 parameters
// take half gradients too, with the bits of a cast before); state and arithmetic
// are f64 for f64 parameters, else f32. Scalars that change from step to step come as 0-d tensors and are combined in
// f64 before they are rounded to the arithmetic's dtype. The order of operations is PyTorch's.
#include "optim_update.h"

namespace gp::GP_ISA {
namespace {

// ---- Adam -----------------------------------------------------------------------------------------------------------

enum { kExpAvgs = 2, kExpAvgSqs = 3, kMaxExpAvgSqs = 4, kAdamSteps = 5, kAdamLr = 6 };

template <class W>
struct Adam {
  W scale, decay, keep, weight1, beta2, weight2, step_size, root_correction2, eps;
};

struct AdamPerTensor {
  double step_size, root_correction2;
};

// m = m + (1 - b1)(g - m); v = b2 v + (1 - b2) g g; p = p - (lr / c1) m / (sqrt(v) / sqrt(c2) + eps)
template <bool kLargest, class T, class G, class W>
GP_INLINE void adam_run(T *__restrict p, const G *__restrict grad, W *__restrict m, W *__restrict v, W *__restrict top,
                        int64_t n, const Adam<W> k) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * k.scale + k.decay * x;
    const W mean = m[i] + k.weight1 * (g - m[i]);
    const W square = v[i] * k.beta2 + (k.weight2 * g) * g;
    W largest = square;
    if constexpr (kLargest) {
      largest = top[i] > square ? top[i] : square;
      top[i] = largest;
    }
    const W denominator = root(largest) / k.root_correction2 + k.eps;
    m[i] = mean;
    v[i] = square;
    p[i] = narrow<T>(x * k.keep - (k.step_size * mean) / denominator);
  }
}

size_t adam_workspace(const gp_call *c) {
  return tile_index_bytes(c, 0) + static_cast<size_t>(c->input_count[0]) * sizeof(AdamPerTensor);
}

int32_t adam_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, kExpAvgs, kAdamSteps)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double beta1 = attrs.number(), beta2 = attrs.number(), eps = attrs.number(), weight_decay = attrs.number();
  const bool decoupled = attrs.flag();
  const Step s = read_step(c, kAdamLr, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  auto *per = reinterpret_cast<AdamPerTensor *>(first + c->input_count[0] + 1);
  int64_t last = 0;  // most parameters are at the same step, and powers cost more than small tensors
  for (int i = 0; i < c->input_count[0]; i++) {
    const int64_t count = ++step_of(c, kAdamSteps, i);
    if (i > 0 && count == last) {
      per[i] = per[i - 1];
    } else {
      const double step = static_cast<double>(count);
      per[i] = {s.lr / (1.0 - pow(beta1, step)), sqrt(1.0 - pow(beta2, step))};
    }
    last = count;
  }
  const double decay = decoupled ? 0.0 : weight_decay, keep = decoupled ? 1.0 - s.lr * weight_decay : 1.0;
  over_list(c, 0, first, index_tiles(c, 0, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      using W = typename Wide<T>::type;
      const Adam<W> k{W(s.scale),
                      W(decay),
                      W(keep),
                      W(1.0 - beta1),
                      W(beta2),
                      W(1.0 - beta2),
                      W(per[i].step_size),
                      W(per[i].root_correction2),
                      W(eps)};
      T *p = list_data<T>(c, 0, i, begin);
      W *m = list_data<W>(c, kExpAvgs, i, begin), *v = list_data<W>(c, kExpAvgSqs, i, begin);
      W *top = list_data<W>(c, kMaxExpAvgSqs, i, begin);
      auto run = [&](const auto *grad) {
        if (top != nullptr) {
          adam_run<true>(p, grad, m, v, top, end - begin, k);
        } else {
          adam_run<false>(p, grad, m, v, top, end - begin, k);
        }
      };
      if constexpr (sizeof(T) == sizeof(float)) {  // GP_KERNEL_WIDENS
        const int32_t given = in_list(c, 1, i).dtype;
        if (given == GP_BF16) return run(list_data<bf16>(c, 1, i, begin));
        if (given == GP_F16) return run(list_data<f16>(c, 1, i, begin));
      }
      run(list_data<T>(c, 1, i, begin));
    });
  });
  return GP_OK;
}

// ---- SGD ------------------------------------------------------------------------------------------------------------

enum { kBuffers = 2, kSgdSteps = 3, kSgdLr = 4 };

template <class W>
struct Sgd {
  W scale, decay, momentum, weight, nesterov, lr;  // nesterov: the momentum or 0
};

template <class T, class W>
GP_INLINE void sgd_plain(T *__restrict p, const T *__restrict grad, int64_t n, const Sgd<W> k) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    p[i] = narrow<T>(x - k.lr * (widen(grad[i]) * k.scale + k.decay * x));
  }
}

// b = momentum b + (1 - dampening) g; the caller makes momentum 0 and the weight 1 in a parameter's first step
template <bool kNesterov, class T, class W>
GP_INLINE void sgd_momentum(T *__restrict p, const T *__restrict grad, W *__restrict buffer, int64_t n,
                            const Sgd<W> k) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * k.scale + k.decay * x;
    const W b = buffer[i] * k.momentum + k.weight * g;
    buffer[i] = b;
    p[i] = narrow<T>(x - k.lr * (kNesterov ? g + k.nesterov * b : b));
  }
}

size_t list_workspace(const gp_call *c) { return tile_index_bytes(c, 0); }

int32_t sgd_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, kBuffers, kSgdSteps)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double momentum = attrs.number(), dampening = attrs.number(), decay = attrs.number();
  const bool nesterov = attrs.flag();
  const Step s = read_step(c, kSgdLr, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  for (int i = 0; i < c->input_count[0]; i++) ++step_of(c, kSgdSteps, i);
  over_list(c, 0, first, index_tiles(c, 0, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    const bool start = step_of(c, kSgdSteps, i) == 1;
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      using W = typename Wide<T>::type;
      const Sgd<W> k{W(s.scale),  W(decay), W(start ? 0.0 : momentum), W(start ? 1.0 : 1.0 - dampening),
                     W(momentum), W(s.lr)};
      T *p = list_data<T>(c, 0, i, begin);
      const T *grad = list_data<T>(c, 1, i, begin);
      W *buffer = list_data<W>(c, kBuffers, i, begin);
      if (buffer == nullptr) {
        sgd_plain(p, grad, end - begin, k);
      } else if (nesterov) {
        sgd_momentum<true>(p, grad, buffer, end - begin, k);
      } else {
        sgd_momentum<false>(p, grad, buffer, end - begin, k);
      }
    });
  });
  return GP_OK;
}

// ---- RMSprop --------------------------------------------------------------------------------------------------------

enum { kSquareAvgs = 2, kGradAvgs = 3, kRmsBuffers = 4, kRmsSteps = 5, kRmsLr = 6 };

template <class W>
struct Rmsprop {
  W scale, decay, alpha, weight, eps, momentum, lr;
};

template <bool kCentered, bool kMomentum, class T, class W>
GP_INLINE void rmsprop_run(T *__restrict p, const T *__restrict grad, W *__restrict v, W *__restrict average,
                           W *__restrict buffer, int64_t n, const Rmsprop<W> k) {
  for (int64_t i = 0; i < n; i++) {
    const W x = widen(p[i]);
    const W g = widen(grad[i]) * k.scale + k.decay * x;
    const W square = v[i] * k.alpha + (k.weight * g) * g;
    v[i] = square;
    W spread = square;
    if constexpr (kCentered) {
      const W mean = average[i] + k.weight * (g - average[i]);
      average[i] = mean;
      spread = square - mean * mean;
    }
    W move = g / (root(spread) + k.eps);
    if constexpr (kMomentum) {
      move = buffer[i] * k.momentum + move;
      buffer[i] = move;
    }
    p[i] = narrow<T>(x - k.lr * move);
  }
}

int32_t rmsprop_step(gp_context *, const gp_kernel *, const gp_call *c) {
  if (!writable(c, kSquareAvgs, kRmsSteps)) return GP_UNSUPPORTED;
  Attrs attrs(c);
  const double alpha = attrs.number(), eps = attrs.number(), decay = attrs.number(), momentum = attrs.number();
  const Step s = read_step(c, kRmsLr, attrs.flag());
  if (s.skip) return GP_OK;
  auto *first = static_cast<int64_t *>(c->workspace);
  for (int i = 0; i < c->input_count[0]; i++) ++step_of(c, kRmsSteps, i);
  over_list(c, 0, first, index_tiles(c, 0, first), [&](int i, int64_t begin, int64_t end, int64_t) {
    with_float(in_list(c, 0, i).dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      using W = typename Wide<T>::type;
      const Rmsprop<W> k{W(s.scale), W(decay), W(alpha), W(1.0 - alpha), W(eps), W(momentum), W(s.lr)};
      T *p = list_data<T>(c, 0, i, begin);
      const T *grad = list_data<T>(c, 1, i, begin);
      W *v = list_data<W>(c, kSquareAvgs, i, begin), *average = list_data<W>(c, kGradAvgs, i, begin);
      W *buffer = list_data<W>(c, kRmsBuffers, i, begin);
      const int64_t n = end - begin;
      if (average != nullptr && buffer != nullptr) {
        rmsprop_run<true, true>(p, grad, v, average, buffer, n, k);
      } else if (average != nullptr) {
        rmsprop_run<true, false>(p, grad, v, average, buffer, n, k);
      } else if (buffer != nullptr) {
        rmsprop_run<false, true>(p, grad, v, average, buffer, n, k);
      } else {
        rmsprop_run<false, false>(p, grad, v, average, buffer, n, k);
      }
    });
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(optim_step) = {
    {"adam_step",
     "params[] grads[] expAvgs[] expAvgSqs[] maxExpAvgSqs[] steps[] lr scale? skip? -> ; beta1 beta2 eps weightDecay "
     "decoupled maximize",
     kFloats, GP_KERNEL_MUTATES | GP_KERNEL_WIDENS, 0, adam_workspace, adam_step},
    {"sgd_step",
     "params[] grads[] momentumBuffers[] steps[] lr scale? skip? -> ; momentum dampening weightDecay nesterov maximize",
     kFloats, GP_KERNEL_MUTATES, 0, list_workspace, sgd_step},
    {"rmsprop_step",
     "params[] grads[] squareAvgs[] gradAvgs[] momentumBuffers[] steps[] lr scale? skip? -> ; alpha eps weightDecay "
     "momentum maximize",
     kFloats, GP_KERNEL_MUTATES, 0, list_workspace, rmsprop_step},
    {},
};

}  // namespace gp::GP_ISA
