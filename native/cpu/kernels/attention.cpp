// softmax(scale · Q Kᵀ + mask) V in blocks of 64 x 64 scores (Dao et al., 2022): no T x S matrix is kept, only the
// logarithm of each row's sum. Causal blocks above the diagonal are skipped; a key head serves `group` query heads in
// place. A row whose keys are all masked gives 0, and so do its gradients.
//
// Queries lie in the lanes of scores, so a block of them is [key][query]: maxima, sums and masks need no step across
// lanes. Products with the weights read them one query (or key) at a time and have the results' rows in their lanes.
// Forward tiles are (batch, head, block of queries), backward tiles (batch, key head): every sum has one order. Results
// may be strided: heads are written side by side where the plan wants them.
//
// Dropout falls on the weights and keeps no mask: the number of (batch, head, query, key) is that of its place in the
// matrix of weights, drawn again wherever a block needs it.
#include "attention_problem.h"

namespace gp::GP_ISA {
namespace {

// ---- forward --------------------------------------------------------------------------------------------------------

size_t forward_scratch(const Problem &p) {
  return static_cast<size_t>((p.e + kBlock + 2) * p.lq + kBlock * (p.le + 2 * p.lv)) + dropout_scratch(p);
}

size_t forward_workspace(const gp_call *call) {
  return forward_scratch(problem_of(call, 0)) * static_cast<size_t>(thread_count()) * wide_bytes(in(call, 0));
}

// Online softmax of a block: scores become weights relative to each query's new maximum; what earlier blocks left in
// sum and o [query][ev] fades accordingly.
template <class V, class W>
GP_FN void soften(const Problem &p, const Scores<V> &x, W scale, W *s, W *max, W *sum, W *o) {
  alignas(64) W fades[kBlock];
  const V low(-static_cast<W>(__builtin_inff())), factor(scale);
  for (int64_t lane = 0; lane < x.lanes; lane += V::lanes) {
    const int64_t seen = x.keys_before(lane + V::lanes), by_all = least(seen, x.keys_of(lane));
    const int64_t depth = x.keys_before(x.strip_end(lane));
    W *at = s + lane;
    V top[4] = {low, low, low, low};
    int64_t c = 0;
    for (; c + 4 <= by_all; c += 4)
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) top[k] = max_nan(top[k], load<V>(at + (c + k) * p.lq));
    for (; c < seen; c++) top[0] = max_nan(top[0], x.seen(lane, c, load<V>(at + c * p.lq), low));
    const V m = max_nan(max_nan(top[0], top[1]), max_nan(top[2], top[3])) * factor;
    const V old = load<V>(max + lane), now = max_nan(old, m), shift = select(now == low, V(0), now);
    V total(0);
    for (c = 0; c < seen; c++) {
      V w = exp_(fma_(load<V>(at + c * p.lq), factor, -shift));
      if (c >= by_all) w = x.seen(lane, c, w, V(0));
      store(at + c * p.lq, w);
      total = total + w;
    }
    for (; c < depth; c++) store(at + c * p.lq, V(0));
    if (x.j > 0) {
      const V fade = exp_(old - shift);
      total = fma_(load<V>(sum + lane), fade, total);
      store(fades + lane, fade);
    }
    store(sum + lane, total);
    store(max + lane, now);
  }
  if (x.j == 0) return;
  for (int64_t r = 0; r < x.rows; r++)
    for (int64_t j = 0; j < p.ev; j += V::lanes) store(o + r * p.lv + j, load<V>(o + r * p.lv + j) * V(fades[r]));
}

// A block of queries of one head.
struct Place {
  int64_t b, h, i;
  // The last queries see most keys: they come first.
  Place(const Problem &p, int64_t tile) {
    const int64_t blocks = (p.t + kBlock - 1) / kBlock, head = tile / blocks;
    b = head / p.heads;
    h = head % p.heads;
    i = (blocks - 1 - tile % blocks) * kBlock;
  }
};

template <class T>
void forward_tile(const gp_call *call, const Problem &p, const gp_view *mask, const Place &at, const Place *next,
                  WideOf<T> *scratch) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const int64_t b = at.b, h = at.h, i0 = at.i;
  const int64_t rows = p.queries(i0), lanes = round_up(rows, V::lanes), hk = h / p.group;
  W *qt = scratch, *o = qt + p.e * p.lq, *s = o + kBlock * p.lv, *max = s + kBlock * p.lq, *sum = max + p.lq;
  W *kw = sum + p.lq, *vw = kw + kBlock * p.le, *keep = vw + kBlock * p.lv, *draws = keep + kBlock * p.lq;
  pack_transposed(matrix<T>(in(call, 0), b, h, i0), rows, p.e, qt, p.lq);
  for (int64_t r = 0; r < lanes; r++) {
    max[r] = -static_cast<W>(__builtin_inff());
    sum[r] = 0;
  }
  if (p.s == 0) memset(o, 0, static_cast<size_t>(rows * p.lv) * sizeof(W));
  const int64_t end = p.causal ? least(p.s, i0 + rows) : p.s;
  for (int64_t j0 = 0; j0 < end; j0 += kBlock) {
    const Scores<V> x(p, i0, j0);
    const Matrix<const W> k = elements<T>(matrix<T>(in(call, 1), b, hk, j0), x.cols, p.e, kw, p.le);
    const Matrix<const W> v = dense<T>(matrix<T>(in(call, 2), b, hk, j0), x.cols, p.ev, vw, p.lv);
    Beside beside(strips_of(x.cols) + strips_of(rows));
    if (j0 + kBlock < end) {
      beside.add(matrix<T>(in(call, 1), b, hk, j0 + kBlock), p.keys(j0 + kBlock), p.e);
      beside.add(matrix<T>(in(call, 2), b, hk, j0 + kBlock), p.keys(j0 + kBlock), p.ev);
    } else if (next != nullptr) {
      beside.add(matrix<T>(in(call, 0), next->b, next->h, next->i), p.queries(next->i), p.e);
      beside.add(matrix<T>(in(call, 1), next->b, next->h / p.group, 0), p.keys(0), p.e);
      beside.add(matrix<T>(in(call, 2), next->b, next->h / p.group, 0), p.keys(0), p.ev);
    }
    product_from<V>(
        k, qt, p.lq, s, p.lq, x.cols, lanes, p.e, [&](int64_t c) { return x.first_lane(c); }, beside);
    const bool plain = mask == nullptr && p.scale > 0;
    if (!plain) mask_scores<T>(p, x, mask, b, h, s);
    soften<V, W>(p, x, plain ? static_cast<W>(p.scale) : W(1), s, max, sum, o);
    if (p.p > 0) {
      draw_block<V, W>(p, x, b, h, draws, keep);
      for (int64_t lane = 0; lane < lanes; lane += V::lanes)
        for (int64_t c = 0; c < x.keys_before(x.strip_end(lane)); c++)
          store(s + c * p.lq + lane, load<V>(s + c * p.lq + lane) * load<V>(keep + c * p.lq + lane));
    }
    product_within<V>(
        j0 == 0, Matrix<const W>{s, 1, p.lq}, v.data, v.row, o, p.lv, rows, round_up(p.ev, V::lanes),
        [](int64_t) { return int64_t{0}; }, [&](int64_t q) { return x.keys_before(q + kStrip); }, beside);
  }
  alignas(64) W lse[kBlock], inverse[kBlock];
  for (int64_t q = 0; q < lanes; q += V::lanes) {
    const V total = load<V>(sum + q), top = load<V>(max + q);
    const auto empty = total == V(0);
    store(inverse + q, select(empty, V(0), V(1) / total));
    store(lse + q, select(empty, top, top + log_(total)));
  }
  unpack<T>(o, p.lv, result<T>(out(call, 0), b, h, i0), rows, p.ev, [&](int64_t r) { return inverse[r]; });
  memcpy(data<W>(out(call, 1)) + (b * p.heads + h) * p.t + i0, lse, static_cast<size_t>(rows) * sizeof(W));
}

// p > 0 comes with a state: the declaration holds it.
bool lacks_state(const gp_call *call, int state, Problem *p) {
  if (p->p > 0 && has(call, state)) p->state = read_state(in(call, state));
  return p->p > 0 && !has(call, state);
}

int32_t attention(gp_context *, const gp_kernel *, const gp_call *call) {
  Problem p = problem_of(call, 0);
  if (lacks_state(call, 4, &p)) return GP_BAD_ARGUMENT;
  const gp_view *mask = has(call, 3) ? &in(call, 3) : nullptr;
  const int64_t blocks = (p.t + kBlock - 1) / kBlock;
  GP_FLOATS(in(call, 0).dtype, T, {
    const int64_t work = least(p.t, kBlock) * p.s * (p.e + p.ev);
    const int64_t count = p.batch * p.heads * blocks;
    with_scratch<WideOf<T>>(count, work, call, forward_scratch(p), [&](int64_t i, WideOf<T> *scratch) {
      const Place after(p, i + 1);
      forward_tile<T>(call, p, mask, Place(p, i), i + 1 < count ? &after : nullptr, scratch);
    });
  });
  return GP_OK;
}

// ---- backward -------------------------------------------------------------------------------------------------------
// With P the weights: dV = Pᵀ dO, dP = dO Vᵀ, dM = P (dP - rowsum(dO O)), dQ = scale · dM K, dK = scale · dMᵀ Q.

// Dropout with D = P keep: dV = Dᵀ dO, dP = keep (dO Vᵀ), and rowsum(dO O) stays what it is.

enum Input { kDy, kQuery, kKey, kValue, kMask, kY, kLse, kState };

size_t backward_scratch(const Problem &p) {
  const int64_t blocks = (p.t + kBlock - 1) / kBlock;
  const int64_t lanes = p.e + 2 * p.ev + 2 * kBlock + p.group * blocks;  // Qᵀ, dOᵀ, Oᵀ, S, dP, rowsum
  const int64_t rows = 3 * (p.le + p.lv) + p.group * blocks * p.le;      // Q, dO, K, V, dK, dV, dQ
  return static_cast<size_t>(lanes * p.lq + rows * kBlock) + dropout_scratch(p);
}

size_t backward_workspace(const gp_call *call) {
  return backward_scratch(problem_of(call, kQuery)) * static_cast<size_t>(thread_count()) * wide_bytes(in(call, kDy));
}

template <class T>
struct Backward {
  using V = Compute<T>;
  using W = WideOf<T>;
  const gp_call *call;
  const Problem &p;
  const gp_view *mask;
  bool wants[4];        // dquery, dkey, dvalue, dmask
  int64_t b, hk, next;  // next: the key head, counted through the batch, whose first block comes after this one's last
  W *qt, *dyt, *yt, *s, *dp, *q, *dy, *kw, *vw, *dkw, *dvw, *dqw, *dot, *keep, *draws;

  Backward(const gp_call *c, const Problem &problem, int64_t head, int64_t after, W *scratch)
      : call(c),
        p(problem),
        mask(has(c, kMask) ? &in(c, kMask) : nullptr),
        b(head / p.key_heads),
        hk(head % p.key_heads),
        next(after) {
    for (int i = 0; i < 4; i++) wants[i] = numel(out(call, i)) > 0;
    auto take = [&](int64_t n) {
      W *at = scratch;
      scratch += n;
      return at;
    };
    const int64_t blocks = (p.t + kBlock - 1) / kBlock;
    qt = take(p.e * p.lq), dyt = take(p.ev * p.lq), yt = take(p.ev * p.lq), s = take(kBlock * p.lq);
    dp = take(kBlock * p.lq), q = take(kBlock * p.le), dy = take(kBlock * p.lv), kw = take(kBlock * p.le);
    vw = take(kBlock * p.lv), dkw = take(kBlock * p.le), dvw = take(kBlock * p.lv);
    dqw = take(p.group * blocks * kBlock * p.le), dot = take(p.group * blocks * p.lq);
    keep = take(p.p > 0 ? kBlock * p.lq : 0), draws = take(p.p > 0 ? kBlock * kBlock : 0);
  }

  // The part of dQ [query][e] and of rowsum(dO O) that belongs to a block of queries.
  int64_t block_of(int64_t g, int64_t i) const { return g * ((p.t + kBlock - 1) / kBlock) + i / kBlock; }

  Matrix<T> dquery(int64_t g, int64_t i) const { return result<T>(out(call, 0), b, hk * p.group + g, i); }
  Matrix<W> dq(int64_t g, int64_t i) const {
    return sums(dquery(g, i), p.e, p.s > 0 && p.s <= kBlock, dqw + block_of(g, i) * kBlock * p.le, p.le);
  }

  void run() {
    for (int64_t j = 0; j < p.s; j += kBlock) keys(j);
    if (!wants[0]) return;
    if (p.s == 0) memset(dqw, 0, static_cast<size_t>(block_of(p.group, 0) * kBlock * p.le) * sizeof(W));
    for (int64_t g = 0; g < p.group; g++)
      for (int64_t i = 0; i < p.t; i += kBlock) deliver(dq(g, i), dquery(g, i), p.queries(i), p.e);
  }

  void keys(int64_t j) {
    const int64_t cols = p.keys(j);
    const bool one_block = p.group == 1 && p.t <= kBlock;
    const Matrix<const W> k = dense<T>(matrix<T>(in(call, kKey), b, hk, j), cols, p.e, kw, p.le);
    const Matrix<const W> v = elements<T>(matrix<T>(in(call, kValue), b, hk, j), cols, p.ev, vw, p.lv);
    const Matrix<T> dkey = wants[1] ? result<T>(out(call, 1), b, hk, j) : Matrix<T>{};
    const Matrix<T> dvalue = wants[2] ? result<T>(out(call, 2), b, hk, j) : Matrix<T>{};
    const Matrix<W> dk = sums(dkey, p.e, one_block, dkw, p.le), dv = sums(dvalue, p.ev, one_block, dvw, p.lv);
    bool fresh = true;
    for (int64_t g = 0; g < p.group; g++) {
      for (int64_t i = 0; i < p.t; i += kBlock) {
        const Scores<V> x(p, i, j);
        if (x.keys_before(x.lanes) > 0) {
          block(x, g, k, v, fresh, dk, dv);
          fresh = false;
        } else if (wants[3]) {
          each_pair(x, g, [](T *dm, int64_t, int64_t) { *dm = narrow<T>(W(0)); });
        }
      }
    }
    for (int64_t c = 0; fresh && c < cols; c++) {  // nobody sees these keys
      if (wants[1]) memset(dk.data + c * dk.row, 0, static_cast<size_t>(p.e) * sizeof(W));
      if (wants[2]) memset(dv.data + c * dv.row, 0, static_cast<size_t>(p.ev) * sizeof(W));
    }
    if (wants[1]) deliver(dk, dkey, cols, p.e);
    if (wants[2]) deliver(dv, dvalue, cols, p.ev);
  }

  // f(element of dmask, query, key) over a block.
  template <class F>
  void each_pair(const Scores<V> &x, int64_t g, F f) const {
    const Matrix<T> m = result<T>(out(call, 3), b, hk * p.group + g, x.i);
    for (int64_t r = 0; r < x.rows; r++)
      for (int64_t c = 0; c < x.cols; c++) f(m.data + r * m.row + (x.j + c) * m.col, r, c);
  }

  void block(const Scores<V> &x, int64_t g, const Matrix<const W> &k, const Matrix<const W> &v, bool fresh,
             const Matrix<W> &dk, const Matrix<W> &dv) {
    const int64_t h = hk * p.group + g;
    const Matrix<const T> query = matrix<T>(in(call, kQuery), b, h, x.i), grad = matrix<T>(in(call, kDy), b, h, x.i);
    W *mean = dot + block_of(g, x.i) * p.lq;
    pack_transposed(query, x.rows, p.e, qt, p.lq);
    pack_transposed(grad, x.rows, p.ev, dyt, p.lq);
    if (x.j == 0) {
      pack_transposed(matrix<T>(in(call, kY), b, h, x.i), x.rows, p.ev, yt, p.lq);
      for (int64_t lane = 0; lane < x.lanes; lane += V::lanes) {
        V sum(0);
        for (int64_t r = 0; r < p.ev; r++)
          sum = fma_(load<V>(dyt + r * p.lq + lane), load<V>(yt + r * p.lq + lane), sum);
        store(mean + lane, sum);
      }
    }
    auto from = [&](int64_t c) { return x.first_lane(c); };
    auto all = [&](int64_t) { return x.rows; };
    Beside beside = ahead(x, g);
    product_from<V>(k, qt, p.lq, s, p.lq, x.cols, x.lanes, p.e, from, beside);
    product_from<V>(v, dyt, p.lq, dp, p.lq, x.cols, x.lanes, p.ev, from, beside);
    if (mask != nullptr) mask_scores<T>(p, x, mask, b, h, s);
    const W *lse = data<W>(in(call, kLse)) + (b * p.heads + h) * p.t + x.i, scale = static_cast<W>(p.scale);
    if (p.p > 0) {
      draw_block<V, W>(p, x, b, h, draws, keep);
      weigh<true>(x, mask == nullptr ? scale : W(1), wants[3] ? W(1) : scale, lse, mean);
    } else {
      weigh<false>(x, mask == nullptr ? scale : W(1), wants[3] ? W(1) : scale, lse, mean);
    }
    if (wants[3]) {
      each_pair(x, g,
                [&](T *dm, int64_t r, int64_t c) { *dm = narrow<T>(r < x.first_lane(c) ? W(0) : dp[c * p.lq + r]); });
      scale_gradients(x);
    }
    const Matrix<const W> weights{s, p.lq, 1}, scores{dp, p.lq, 1};
    if (wants[2]) {
      const Matrix<const W> rows = dense<T>(grad, x.rows, p.ev, dy, p.lv);
      product_within<V>(fresh, weights, rows.data, rows.row, dv.data, dv.row, x.cols, round_up(p.ev, V::lanes), from,
                        all, beside);
    }
    if (wants[1]) {
      const Matrix<const W> rows = dense<T>(query, x.rows, p.e, q, p.le);
      product_within<V>(fresh, scores, rows.data, rows.row, dk.data, dk.row, x.cols, round_up(p.e, V::lanes), from, all,
                        beside);
    }
    if (wants[0]) {
      const Matrix<W> to = dq(g, x.i);
      product_within<V>(
          x.j == 0, Matrix<const W>{dp, 1, p.lq}, k.data, k.row, to.data, to.row, x.rows, round_up(p.e, V::lanes),
          [](int64_t) { return int64_t{0}; }, [&](int64_t q) { return x.keys_before(q + kStrip); }, beside);
    }
  }

  // What the block after this one reads: the next queries, or the next keys with the first queries that see them.
  Beside ahead(const Scores<V> &x, int64_t g) const {
    Beside beside(4 * strips_of(x.cols) + strips_of(x.rows));
    const bool same_head = x.i + kBlock < p.t || g + 1 < p.group, same_keys = same_head || x.j + kBlock < p.s;
    const int64_t i = x.i + kBlock < p.t ? x.i + kBlock : 0, j = same_head ? x.j : same_keys ? x.j + kBlock : 0;
    const int64_t head = same_keys ? b * p.key_heads + hk : next;
    const int64_t batch = head / p.key_heads, key_head = head % p.key_heads;
    const int64_t h = key_head * p.group + (x.i + kBlock < p.t ? g : same_head ? g + 1 : 0);
    beside.add(matrix<T>(in(call, kQuery), batch, h, i), p.queries(i), p.e);
    beside.add(matrix<T>(in(call, kDy), batch, h, i), p.queries(i), p.ev);
    if (j == 0) beside.add(matrix<T>(in(call, kY), batch, h, i), p.queries(i), p.ev);
    if (same_head) return beside;
    beside.add(matrix<T>(in(call, kKey), batch, key_head, j), p.keys(j), p.e);
    beside.add(matrix<T>(in(call, kValue), batch, key_head, j), p.keys(j), p.ev);
    return beside;
  }

  // s: scores become weights; dp: gradients of weights become after · dM. Both are zero where the products read but
  // nobody sees.
  template <bool Dropout>
  void weigh(const Scores<V> &x, W scale, W after, const W *lse, const W *mean) {
    const V factor(scale), factor_after(after), low(-static_cast<W>(__builtin_inff()));
    for (int64_t c = 0; c < x.cols; c++) {
      W *w = s + c * p.lq, *d = dp + c * p.lq;
      const int64_t start = x.first_lane(c), strip = start / kStrip * kStrip;
      for (int64_t lane = least(strip, x.first_lane(c / kStrip * kStrip)); lane < start; lane += V::lanes) {
        store(w + lane, V(0));
        store(d + lane, V(0));
      }
      for (int64_t lane = start; lane < x.lanes; lane += V::lanes) {
        const V shift = get<V>(lse + lane, least(V::lanes, x.rows - lane));
        V weight = exp_(fma_(load<V>(w + lane), factor, -shift));
        weight = x.seen(lane, c, select(shift == low, V(0), weight), V(0));
        V gradient = load<V>(d + lane);
        if constexpr (Dropout) {
          const V kept = load<V>(keep + c * p.lq + lane);
          gradient = gradient * kept;
          store(w + lane, weight * kept);
        } else {
          store(w + lane, weight);
        }
        store(d + lane, weight * (gradient - load<V>(mean + lane)) * factor_after);
      }
    }
  }

  void scale_gradients(const Scores<V> &x) {
    const V factor(static_cast<W>(p.scale));
    for (int64_t c = 0; c < x.cols; c++)
      for (int64_t lane = x.first_lane(c); lane < x.lanes; lane += V::lanes)
        store(dp + c * p.lq + lane, load<V>(dp + c * p.lq + lane) * factor);
  }
};

int32_t attention_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  Problem p = problem_of(call, kQuery);
  if (lacks_state(call, kState, &p)) return GP_BAD_ARGUMENT;
  GP_FLOATS(in(call, kDy).dtype, T, {
    const int64_t work = 2 * p.group * p.t * p.s * (p.e + p.ev);
    const int64_t count = p.batch * p.key_heads;
    with_scratch<WideOf<T>>(count, work, call, backward_scratch(p), [&](int64_t i, WideOf<T> *scratch) {
      Backward<T>(call, p, i, i + 1 < count ? i + 1 : i, scratch).run();
    });
  });
  return GP_OK;
}

// The generator's state before `count` numbers, which are drawn by whoever is given it.
int32_t draw_state(gp_context *, const gp_kernel *, const gp_call *call) {
  const RngState s = draw(in(call, 0), Attrs(call).integer());
  data<int64_t>(out(call, 0))[0] = static_cast<int64_t>(s.seed);
  data<int64_t>(out(call, 0))[1] = static_cast<int64_t>(s.offset);
  return GP_OK;
}

constexpr uint64_t kForwardStrided = 0b1111;      // query key value attnMask
constexpr uint64_t kBackwardStrided = 0b0111111;  // dy query key value attnMask y; lse arrives contiguous

}  // namespace

GP_ROWS(attention) = {
    {"scaled_dot_product_attention", "query key value attnMask? state? -> y | lse ; isCausal scale enableGqa p",
     kFloats, GP_KERNEL_STRIDED_OUTPUT, kForwardStrided, forward_workspace, attention},
    {"scaled_dot_product_attention_backward",
     "dy query key value attnMask? y lse state? -> dquery dkey dvalue dmask ; isCausal scale enableGqa p wants",
     kFloats, GP_KERNEL_STRIDED_OUTPUT, kBackwardStrided, backward_workspace, attention_backward},
    {"draw_state", "rng -> state ; count", GP_DT(GP_I64), GP_KERNEL_MUTATES, 0, nullptr, draw_state},
    {},
};

}  // namespace gp::GP_ISA
