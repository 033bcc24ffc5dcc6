// Gated recurrent units over a sequence (Cho et al. 2014), in the form in which the reset gate is applied behind the
// recurrent product: h = (1 - z) tanh(x_n + r (W_n h + b_n)) + z h. Gates stand in PyTorch's order: reset, update, new.
// Forward keeps r, z, n and the product q = W_n h + b_n.
#include "recurrent.h"

namespace gp::GP_ISA {
namespace {

template <class T>
struct GruForward {
  using W = WideOf<T>;
  using V = Compute<T>;
  static constexpr int kExtra = 0;
  Sequence s;
  const T *gates, *bias, *h0;  // bias: null or [3 hidden]
  T *y, *hn;
  W *acts;

  GP_FN V offset(int64_t j, int64_t k) const { return bias == nullptr ? V(0) : get<V>(bias + j, k); }
  GP_FN void begin(int64_t row, W *h, W *) const { copy_row(h, h0 + row * s.hidden, s.hidden); }
  GP_FN Read reads(int64_t step, int64_t row) const {
    return {gates + (step * s.batch + row) * 3 * s.hidden, 3, sizeof(T)};
  }
  void step(Units u, int64_t step, int64_t row, const Products<W> p, W *h, W *) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    const T *x = gates + at * 3 * n;
    W *a = acts + at * 4 * n;
    T *to = y + at * n;
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) {
          const V r = Sigmoid::f(get<V>(x + j, k) + (get<V>(p.at(0, j), k) + offset(j, k)));
          const V z = Sigmoid::f(get<V>(x + n + j, k) + (get<V>(p.at(1, j), k) + offset(n + j, k)));
          const V q = get<V>(p.at(2, j), k) + offset(2 * n + j, k);
          const V m = Tanh::f(get<V>(x + 2 * n + j, k) + r * q);
          const V next = m + z * (get<V>(h + j, k) - m);
          put(a + j, r, k);
          put(a + n + j, z, k);
          put(a + 2 * n + j, m, k);
          put(a + 3 * n + j, q, k);
          put(h + j, next, k);
          put(to + j, next, k);
        });
  }
  void hold(Units u, int64_t step, int64_t row, const W *h, const W *) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    clear_units(acts + at * 4 * n, 4, n, u);
    copy_units(y + at * n, h, u);
  }
  GP_FN void end(int64_t row, const W *h, const W *) const { copy_row(hn + row * s.hidden, h, s.hidden); }
};

Sequence forward_sequence(const gp_call *call) { return sequence_of(call, out(call, 0), 4, Attrs(call).flag()); }

size_t gru_workspace(const gp_call *call) {
  const Sequence s = forward_sequence(call);
  const size_t wide = in(call, 0).dtype == GP_F64 ? 8 : 4;
  return forward_bytes(s, 3, 0, wide);
}

int32_t gru(gp_context *, const gp_kernel *, const gp_call *call) {
  const Sequence s = forward_sequence(call);
  GP_FLOATS(in(call, 0).dtype, T, {
    using W = WideOf<T>;
    const GruForward<T> cell{s,
                             data<T>(in(call, 0)),
                             has(call, 2) ? data<T>(in(call, 2)) : nullptr,
                             data<T>(in(call, 3)),
                             data<T>(out(call, 0)),
                             data<T>(out(call, 1)),
                             data<W>(out(call, 2))};
    run_forward<3, T>(s, in(call, 1), static_cast<W *>(call->workspace), cell);
  });
  return GP_OK;
}

template <class T, class A>
struct GruBackward {  // A: the type of what forward kept
  using W = WideOf<T>;
  using V = Compute<T>;
  static constexpr int kExtra = 0;
  Sequence s;
  const T *dy, *dhn, *h0, *y;
  const A *acts;
  T *dgates, *dproducts, *dh0;

  GP_FN void begin(int64_t row, W *dh, W *) const { copy_row(dh, dhn + row * s.hidden, s.hidden); }
  // dn = dh (1 - z) n', dz = dh (h_before - n) z', dr = dn q r', dq = dn r; dh z goes on directly
  GP_FN Read reads(int64_t step, int64_t row) const {
    return {acts + (step * s.batch + row) * 4 * s.hidden, 4, sizeof(A)};
  }
  template <class P>
  void back(Units u, int64_t step, int64_t before, int64_t row, W *dh, OperandRow<P> dp, W *) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    const A *a = acts + at * 4 * n;
    const T *past = before < 0 ? h0 + row * n : y + (before * s.batch + row) * n, *d = dy + at * n;
    T *to = dgates + at * 3 * n, *product = dproducts + at * 3 * n;
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) {
          const V r = get<V>(a + j, k), z = get<V>(a + n + j, k), m = get<V>(a + 2 * n + j, k);
          const V g = get<V>(dh + j, k) + get<V>(d + j, k);
          const V dm = Tanh::df(g * (V(1) - z), m), dz = Sigmoid::df(g * (get<V>(past + j, k) - m), z);
          const V dr = Sigmoid::df(dm * get<V>(a + 3 * n + j, k), r), dq = dm * r;
          dp.put(j, dr, k);
          dp.put(n + j, dz, k);
          dp.put(2 * n + j, dq, k);
          put(product + j, dr, k);
          put(product + n + j, dz, k);
          put(product + 2 * n + j, dq, k);
          put(to + j, dr, k);
          put(to + n + j, dz, k);
          put(to + 2 * n + j, dm, k);
          put(dh + j, g * z, k);
        });
  }
  void hold(Units u, int64_t step, int64_t row, W *dh) const {
    const int64_t n = s.hidden, at = step * s.batch + row;
    clear_units(dgates + at * 3 * n, 3, n, u);
    clear_units(dproducts + at * 3 * n, 3, n, u);
    const T *d = dy + at * n;
    each_unit<V>(
        u, [&](int64_t j, auto k)
               __attribute__((always_inline)) { put(dh + j, get<V>(dh + j, k) + get<V>(d + j, k), k); });
  }
  GP_FN void end(int64_t row, const W *dh, const W *) const { copy_row(dh0 + row * s.hidden, dh, s.hidden); }
};

// Inputs: dy dhn weight h0 y acts lengths?; outputs: dgates dweight dbias dh0.
Sequence backward_sequence(const gp_call *call) { return sequence_of(call, in(call, 4), 6, Attrs(call).flag()); }

template <class T>
WeightGradient gru_weight(const gp_call *call, const Sequence &s, void *dproducts) {
  return weight_gradient(s, in(call, 0).dtype, sizeof(T), dproducts, 3 * s.hidden, in(call, 4), in(call, 3),
                         out(call, 1));
}

template <class T>
size_t products_bytes(const Sequence &s) {
  return align64(static_cast<size_t>(3 * s.steps * s.batch * s.hidden) * sizeof(T));
}

// [gradients of the products][scratch of the steps, later of the weight's product]
size_t gru_backward_workspace(const gp_call *call) {
  const Sequence s = backward_sequence(call);
  const size_t wide = in(call, 0).dtype == GP_F64 ? 8 : 4;
  const size_t steps = backward_bytes(s, 3, 0, wide);
  size_t product = 0, kept = 0;
  GP_FLOATS(in(call, 0).dtype, T, {
    kept = products_bytes<T>(s);
    product = weight_gradient_workspace(gru_weight<T>(call, s, nullptr), s);
  });
  return kept + (steps > product ? steps : product);
}

// Σ over rows, ascending, for each column.
template <class T>
void sum_rows(T *to, const T *x, int64_t rows, int64_t n) {
  using V = Compute<T>;
  ranges(n, 64, [&](int64_t begin, int64_t end) {
    each_vector<V>(end - begin, [&](int64_t j, int64_t k) {
      V sum(0);
      for (int64_t r = 0; r < rows; r++) sum = sum + get<V>(x + r * n + begin + j, k);
      put(to + begin + j, sum, k);
    });
  });
}

template <class T, class A>
int32_t backward(const gp_call *call, const Sequence &s) {
  using W = WideOf<T>;
  T *dproducts = static_cast<T *>(call->workspace);
  const size_t kept = products_bytes<T>(s);
  void *rest = static_cast<char *>(call->workspace) + kept;
  const GruBackward<T, A> cell{s,
                               data<T>(in(call, 0)),
                               data<T>(in(call, 1)),
                               data<T>(in(call, 3)),
                               data<T>(in(call, 4)),
                               data<A>(in(call, 5)),
                               data<T>(out(call, 0)),
                               dproducts,
                               data<T>(out(call, 3))};
  run_backward<3, T>(s, in(call, 2), static_cast<W *>(rest), cell);
  sum_rows(data<T>(out(call, 2)), dproducts, s.steps * s.batch, 3 * s.hidden);
  return run_weight_gradient(gru_weight<T>(call, s, dproducts), s, rest, call->workspace_size - kept);
}

int32_t gru_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Sequence s = backward_sequence(call);
  const bool same = in(call, 5).dtype == in(call, 0).dtype;
  GP_FLOATS(in(call, 0).dtype, T, { return same ? backward<T, T>(call, s) : backward<T, WideOf<T>>(call, s); });
  return GP_OK;
}

}  // namespace

GP_ROWS(gru) = {
    {"gru", "gates weight bias? h0 lengths? -> y hn | acts ; reverse", kFloats, 0, 0, gru_workspace, gru},
    {"gru_backward", "dy dhn weight h0 y acts lengths? -> dgates dweight dbias dh0 ; reverse", kFloats, 0, 0,
     gru_backward_workspace, gru_backward},
    {},
};

}  // namespace gp::GP_ISA
