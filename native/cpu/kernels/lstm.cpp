// Long short-term memory over a sequence (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).
// Gates stand in PyTorch's order: input, forget, candidate, output. Forward keeps the activated gates and the cells.
#include "recurrent.h"

namespace gp::GP_ISA {
namespace {

template <class T>
struct LstmForward {
  using W = WideOf<T>;
  using V = Compute<T>;
  static constexpr int kExtra = 1;
  Sequence s;
  const T *gates, *h0, *c0;
  T *y, *hn, *cn;
  W *acts, *cells;

  GP_FN void begin(int64_t row, W *h, W *c) const {
    copy_row(h, h0 + row * s.hidden, s.hidden);
    copy_row(c, c0 + row * s.hidden, s.hidden);
  }
  GP_FN Read reads(int64_t step, int64_t row) const {
    return {gates + (step * s.batch + row) * 4 * s.hidden, 4, sizeof(T)};
  }
  void step(Units u, int64_t step, int64_t row, const Products<W> p, W *h, W *c) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    const T *x = gates + at * 4 * n;
    W *a = acts + at * 4 * n, *cell = cells + at * n;
    T *to = y + at * n;
    const bool past = is_streamed<W>(s.steps * s.batch * 4 * n);
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) {
          const V i = Sigmoid::f(get<V>(x + j, k) + get<V>(p.at(0, j), k));
          const V f = Sigmoid::f(get<V>(x + n + j, k) + get<V>(p.at(1, j), k));
          const V g = Tanh::f(get<V>(x + 2 * n + j, k) + get<V>(p.at(2, j), k));
          const V o = Sigmoid::f(get<V>(x + 3 * n + j, k) + get<V>(p.at(3, j), k));
          const V next = f * get<V>(c + j, k) + i * g;
          const V out = o * Tanh::f(next);
          put_past(past, a + j, i, k);
          put_past(past, a + n + j, f, k);
          put_past(past, a + 2 * n + j, g, k);
          put_past(past, a + 3 * n + j, o, k);
          put(c + j, next, k);
          put_past(past, cell + j, next, k);
          put(h + j, out, k);
          put(to + j, out, k);
        });
  }
  void hold(Units u, int64_t step, int64_t row, const W *h, const W *c) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    clear_units(acts + at * 4 * n, 4, n, u);
    copy_units(cells + at * n, c, u);
    copy_units(y + at * n, h, u);
  }
  GP_FN void end(int64_t row, const W *h, const W *c) const {
    copy_row(hn + row * s.hidden, h, s.hidden);
    copy_row(cn + row * s.hidden, c, s.hidden);
  }
};

Sequence forward_sequence(const gp_call *call) { return sequence_of(call, out(call, 0), 4, Attrs(call).flag()); }

size_t lstm_workspace(const gp_call *call) {
  const Sequence s = forward_sequence(call);
  const size_t wide = in(call, 0).dtype == GP_F64 ? 8 : 4;
  return forward_bytes(s, 4, 1, wide);
}

int32_t lstm(gp_context *, const gp_kernel *, const gp_call *call) {
  const Sequence s = forward_sequence(call);
  GP_FLOATS(in(call, 0).dtype, T, {
    using W = WideOf<T>;
    const LstmForward<T> cell{s,
                              data<T>(in(call, 0)),
                              data<T>(in(call, 2)),
                              data<T>(in(call, 3)),
                              data<T>(out(call, 0)),
                              data<T>(out(call, 1)),
                              data<T>(out(call, 2)),
                              data<W>(out(call, 3)),
                              data<W>(out(call, 4))};
    run_forward<4, T>(s, in(call, 1), static_cast<W *>(call->workspace), cell);
  });
  return GP_OK;
}

template <class T, class A>
struct LstmBackward {  // A: the type of what forward kept
  using W = WideOf<T>;
  using V = Compute<T>;
  static constexpr int kExtra = 1;
  Sequence s;
  const T *dy, *dhn, *dcn, *c0;
  const A *acts, *cells;
  T *dgates, *dh0, *dc0;

  GP_FN void begin(int64_t row, W *dh, W *dc) const {
    copy_row(dh, dhn + row * s.hidden, s.hidden);
    copy_row(dc, dcn + row * s.hidden, s.hidden);
  }
  // dc = dc + dh o (1 - tanh(c)^2); di = dc g i', df = dc c_before f', dg = dc i g', do = dh tanh(c) o'
  GP_FN Read reads(int64_t step, int64_t row) const {
    return {acts + (step * s.batch + row) * 4 * s.hidden, 4, sizeof(A)};
  }
  template <class P>
  void back(Units u, int64_t step, int64_t before, int64_t row, W *dh, OperandRow<P> dp, W *dc) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    const A *a = acts + at * 4 * n, *cell = cells + at * n;
    const A *past = before < 0 ? nullptr : cells + (before * s.batch + row) * n;
    const T *start = c0 + row * n, *d = dy + at * n;
    T *to = dgates + at * 4 * n;
    const bool streamed = is_streamed<T>(s.steps * s.batch * 4 * n);
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) {
          const V i = get<V>(a + j, k), f = get<V>(a + n + j, k), g = get<V>(a + 2 * n + j, k),
                  o = get<V>(a + 3 * n + j, k);
          const V c = past == nullptr ? get<V>(start + j, k) : get<V>(past + j, k);
          const V h = get<V>(dh + j, k) + get<V>(d + j, k), t = Tanh::f(get<V>(cell + j, k));
          const V inner = get<V>(dc + j, k) + Tanh::df(h * o, t);
          const V di = Sigmoid::df(inner * g, i), df = Sigmoid::df(inner * c, f);
          const V dg = Tanh::df(inner * i, g), dout = Sigmoid::df(h * t, o);
          dp.put(j, di, k);
          dp.put(n + j, df, k);
          dp.put(2 * n + j, dg, k);
          dp.put(3 * n + j, dout, k);
          put_past(streamed, to + j, di, k);
          put_past(streamed, to + n + j, df, k);
          put_past(streamed, to + 2 * n + j, dg, k);
          put_past(streamed, to + 3 * n + j, dout, k);
          put(dc + j, inner * f, k);
          put(dh + j, V(0), k);
        });
  }
  void hold(Units u, int64_t step, int64_t row, W *dh) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    clear_units(dgates + at * 4 * n, 4, n, u);
    const T *d = dy + at * n;
    each_unit<V>(
        u, [&](int64_t j, auto k)
               __attribute__((always_inline)) { put(dh + j, get<V>(dh + j, k) + get<V>(d + j, k), k); });
  }
  GP_FN void end(int64_t row, const W *dh, const W *dc) const {
    copy_row(dh0 + row * s.hidden, dh, s.hidden);
    copy_row(dc0 + row * s.hidden, dc, s.hidden);
  }
};

// Inputs: dy dhn dcn weight h0 c0 y acts cells lengths?; outputs: dgates dweight dh0 dc0.
Sequence backward_sequence(const gp_call *call) { return sequence_of(call, in(call, 6), 9, Attrs(call).flag()); }

template <class T>
WeightGradient lstm_weight(const gp_call *call, const Sequence &s) {
  return weight_gradient(s, in(call, 0).dtype, sizeof(T), out(call, 0).data, 4 * s.hidden, in(call, 6), in(call, 4),
                         out(call, 1));
}

// The weight's product runs when the tiles are done, in the same scratch.
size_t lstm_backward_workspace(const gp_call *call) {
  const Sequence s = backward_sequence(call);
  const size_t wide = in(call, 0).dtype == GP_F64 ? 8 : 4;
  const size_t steps = backward_bytes(s, 4, 1, wide);
  size_t product = 0;
  GP_FLOATS(in(call, 0).dtype, T, { product = weight_gradient_workspace(lstm_weight<T>(call, s), s); });
  return steps > product ? steps : product;
}

template <class T, class A>
int32_t backward(const gp_call *call, const Sequence &s) {
  using W = WideOf<T>;
  const LstmBackward<T, A> cell{s,
                                data<T>(in(call, 0)),
                                data<T>(in(call, 1)),
                                data<T>(in(call, 2)),
                                data<T>(in(call, 5)),
                                data<A>(in(call, 7)),
                                data<A>(in(call, 8)),
                                data<T>(out(call, 0)),
                                data<T>(out(call, 2)),
                                data<T>(out(call, 3))};
  run_backward<4, T>(s, in(call, 3), static_cast<W *>(call->workspace), cell);
  return run_weight_gradient(lstm_weight<T>(call, s), s, call->workspace, call->workspace_size);
}

int32_t lstm_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Sequence s = backward_sequence(call);
  const bool same = in(call, 7).dtype == in(call, 0).dtype;
  GP_FLOATS(in(call, 0).dtype, T, { return same ? backward<T, T>(call, s) : backward<T, WideOf<T>>(call, s); });
  return GP_OK;
}

}  // namespace

GP_ROWS(lstm) = {
    {"lstm", "gates weight h0 c0 lengths? -> y hn cn | acts cells ; reverse", kFloats, 0, 0, lstm_workspace, lstm},
    {"lstm_backward", "dy dhn dcn weight h0 c0 y acts cells lengths? -> dgates dweight dh0 dc0 ; reverse", kFloats, 0,
     0, lstm_backward_workspace, lstm_backward},
    {},
};

}  // namespace gp::GP_ISA
