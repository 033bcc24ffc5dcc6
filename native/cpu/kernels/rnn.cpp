// The simple recurrent network (Elman 1990) over a sequence: h = act(x + W h), act = tanh or relu. Its derivative is
// known from its result, so forward keeps nothing else.
#include "recurrent.h"

namespace gp::GP_ISA {
namespace {

template <class T, class Act>
struct RnnForward {
  using W = WideOf<T>;
  using V = Compute<T>;
  static constexpr int kExtra = 0;
  Sequence s;
  const T *gates, *h0;
  T *y, *hn;

  GP_FN void begin(int64_t row, W *h, W *) const { copy_row(h, h0 + row * s.hidden, s.hidden); }
  GP_FN Read reads(int64_t step, int64_t row) const {
    return {gates + (step * s.batch + row) * s.hidden, 1, sizeof(T)};
  }
  void step(Units u, int64_t step, int64_t row, const Products<W> p, W *h, W *) const {
    const int64_t n = s.hidden, at = (step * s.batch + row) * n;
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) {
          const V next = Act::f(get<V>(gates + at + j, k) + get<V>(p.at(0, j), k));
          put(h + j, next, k);
          put(y + at + j, next, k);
        });
  }
  void hold(Units u, int64_t step, int64_t row, const W *h, const W *) const {
    copy_units(y + (step * s.batch + row) * s.hidden, h, u);
  }
  GP_FN void end(int64_t row, const W *h, const W *) const { copy_row(hn + row * s.hidden, h, s.hidden); }
};

template <class T, class Act>
struct RnnBackward {
  using W = WideOf<T>;
  using V = Compute<T>;
  static constexpr int kExtra = 0;
  Sequence s;
  const T *dy, *dhn, *y;
  T *dgates, *dh0;

  GP_FN void begin(int64_t row, W *dh, W *) const { copy_row(dh, dhn + row * s.hidden, s.hidden); }
  GP_FN Read reads(int64_t step, int64_t row) const { return {y + (step * s.batch + row) * s.hidden, 1, sizeof(T)}; }
  template <class P>
  void back(Units u, int64_t step, int64_t, int64_t row, W *dh, OperandRow<P> dp, W *) const {
    const int64_t n = s.hidden, at = (step * s.batch + row) * n;
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) {
          const V g = Act::df(get<V>(dh + j, k) + get<V>(dy + at + j, k), get<V>(y + at + j, k));
          dp.put(j, g, k);
          put(dgates + at + j, g, k);
          put(dh + j, V(0), k);
        });
  }
  void hold(Units u, int64_t step, int64_t row, W *dh) const {
    const int64_t n = s.hidden, at = (step * s.batch + row) * n;
    clear_units(dgates + at, 1, n, u);
    each_unit<V>(
        u, [&](int64_t j, auto k)
               __attribute__((always_inline)) { put(dh + j, get<V>(dh + j, k) + get<V>(dy + at + j, k), k); });
  }
  GP_FN void end(int64_t row, const W *dh, const W *) const { copy_row(dh0 + row * s.hidden, dh, s.hidden); }
};

struct RnnAttrs {
  bool relu, reverse;
  explicit RnnAttrs(const gp_call *call) {
    Attrs attrs(call);
    relu = attrs.choice() == 1;
    reverse = attrs.flag();
  }
};

Sequence forward_sequence(const gp_call *call) { return sequence_of(call, out(call, 0), 3, RnnAttrs(call).reverse); }

size_t rnn_workspace(const gp_call *call) {
  const Sequence s = forward_sequence(call);
  const size_t wide = in(call, 0).dtype == GP_F64 ? 8 : 4;
  return forward_bytes(s, 1, 0, wide);
}

int32_t rnn(gp_context *, const gp_kernel *, const gp_call *call) {
  const Sequence s = forward_sequence(call);
  const bool relu = RnnAttrs(call).relu;
  GP_FLOATS(in(call, 0).dtype, T, {
    using W = WideOf<T>;
    auto run = [&](auto cell) { run_forward<1, T>(s, in(call, 1), static_cast<W *>(call->workspace), cell); };
    const T *gates = data<T>(in(call, 0)), *h0 = data<T>(in(call, 2));
    T *y = data<T>(out(call, 0)), *hn = data<T>(out(call, 1));
    if (relu) {
      run(RnnForward<T, Relu>{s, gates, h0, y, hn});
    } else {
      run(RnnForward<T, Tanh>{s, gates, h0, y, hn});
    }
  });
  return GP_OK;
}

// Inputs: dy dhn weight h0 y lengths?; outputs: dgates dweight dh0.
Sequence backward_sequence(const gp_call *call) { return sequence_of(call, in(call, 4), 5, RnnAttrs(call).reverse); }

template <class T>
WeightGradient rnn_weight(const gp_call *call, const Sequence &s) {
  return weight_gradient(s, in(call, 0).dtype, sizeof(T), out(call, 0).data, s.hidden, in(call, 4), in(call, 3),
                         out(call, 1));
}

size_t rnn_backward_workspace(const gp_call *call) {
  const Sequence s = backward_sequence(call);
  const size_t wide = in(call, 0).dtype == GP_F64 ? 8 : 4;
  const size_t steps = backward_bytes(s, 1, 0, wide);
  size_t product = 0;
  GP_FLOATS(in(call, 0).dtype, T, { product = weight_gradient_workspace(rnn_weight<T>(call, s), s); });
  return steps > product ? steps : product;
}

int32_t rnn_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Sequence s = backward_sequence(call);
  const bool relu = RnnAttrs(call).relu;
  GP_FLOATS(in(call, 0).dtype, T, {
    using W = WideOf<T>;
    auto run = [&](auto cell) { run_backward<1, T>(s, in(call, 2), static_cast<W *>(call->workspace), cell); };
    const T *dy = data<T>(in(call, 0)), *dhn = data<T>(in(call, 1)), *y = data<T>(in(call, 4));
    T *dgates = data<T>(out(call, 0)), *dh0 = data<T>(out(call, 2));
    if (relu) {
      run(RnnBackward<T, Relu>{s, dy, dhn, y, dgates, dh0});
    } else {
      run(RnnBackward<T, Tanh>{s, dy, dhn, y, dgates, dh0});
    }
    return run_weight_gradient(rnn_weight<T>(call, s), s, call->workspace, call->workspace_size);
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(rnn) = {
    {"rnn", "gates weight h0 lengths? -> y hn ; activation reverse", kFloats, 0, 0, rnn_workspace, rnn},
    {"rnn_backward", "dy dhn weight h0 y lengths? -> dgates dweight dh0 ; activation reverse", kFloats, 0, 0,
     rnn_backward_workspace, rnn_backward},
    {},
};

}  // namespace gp::GP_ISA
