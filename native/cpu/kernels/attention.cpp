// softmax(scale · Q Kᵀ + mask) V in blocks of 64 x 64 scores (Dao et al., 2022): no T x S matrix is kept, only the
// logarithm of each row's sum. Causal blocks above the diagonal are skipped; a key head serves `group` query heads in
// place. A row whose keys are all masked gives 0, and so do its gradients.
//
// Forward tiles are (batch, head, block of queries), backward tiles (batch, key head): every sum has one order.
#include "attention_block.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kBlock = 64;  // queries and keys per block

struct Problem {
  int64_t batch, heads, key_heads, group, t, s, e, ev;
  int64_t le, lv, ls;  // row lengths in scratch: e, ev and a block of keys, rounded up
  double scale;
  bool causal;
};

// `q`: position of the query among the inputs; key and value follow it.
Problem problem_of(const gp_call *call, int q) {
  const gp_view &query = in(call, q), &key = in(call, q + 1), &value = in(call, q + 2);
  Attrs attrs(call);
  Problem p;
  p.causal = attrs.flag();
  p.scale = attrs.number();
  p.batch = query.shape[0];
  p.heads = query.shape[1];
  p.key_heads = key.shape[1];
  p.group = p.key_heads == 0 ? 0 : p.heads / p.key_heads;
  p.t = query.shape[2];
  p.s = key.shape[2];
  p.e = query.shape[3];
  p.ev = value.shape[3];
  p.le = round_up(p.e, 16);
  p.lv = round_up(p.ev, 16);
  p.ls = round_up(p.s < kBlock ? p.s : kBlock, 16);
  return p;
}

template <class T>
GP_FN Matrix<T> matrix(const gp_view &v, int64_t b, int64_t h, int64_t row) {
  return {data<T>(v) + b * v.stride[0] + h * v.stride[1] + row * v.stride[2], v.stride[2], v.stride[3]};
}

GP_FN int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// One row of raw scores becomes scale · score + mask.
template <class T>
GP_FN void mask_row(WideOf<T> *s, int64_t cols, WideOf<T> scale, const gp_view *mask, int64_t b, int64_t h, int64_t i,
                    int64_t j) {
  using V = Compute<T>;
  if (mask == nullptr) {
    each_vector<V>(cols, [&](int64_t c, int64_t k) { put(s + c, get<V>(s + c, k) * V(scale), k); });
    return;
  }
  const int64_t at = b * mask->stride[0] + h * mask->stride[1] + i * mask->stride[2] + j * mask->stride[3];
  const int64_t step = mask->stride[3];
  if (mask->dtype == GP_BOOL) {
    const uint8_t *m = data<uint8_t>(*mask) + at;
    for (int64_t c = 0; c < cols; c++) s[c] = m[c * step] ? s[c] * scale : -static_cast<WideOf<T>>(__builtin_inff());
  } else {
    const T *m = data<T>(*mask) + at;
    for (int64_t c = 0; c < cols; c++) s[c] = s[c] * scale + widen(m[c * step]);
  }
}

// Columns of the block at key j that query i may see.
GP_FN int64_t visible(const Problem &p, int64_t i, int64_t j, int64_t cols) {
  const int64_t n = p.causal ? least(cols, i - j + 1) : cols;
  return n < 0 ? 0 : n;
}

// Runs body(head, scratch of this thread) for each of `count` heads (or blocks of one) of `work` multiply-adds; small
// ones share a tile. With less scratch than the present threads need, one thread does it all.
template <class W, class F>
void with_scratch(int64_t count, int64_t work, const gp_call *call, size_t per_slot, const F &body) {
  W *base = static_cast<W *>(call->workspace);
  const bool enough = call->workspace_size >= per_slot * static_cast<size_t>(thread_count()) * sizeof(W);
  if (!enough) {
    for (int64_t i = 0; i < count; i++) body(i, base);
    return;
  }
  const int64_t grain = work < 16384 ? 16384 / (work + 1) + 1 : 1;
  auto run = [&](int64_t tile, int slot) {
    for (int64_t i = tile * grain; i < least(count, (tile + 1) * grain); i++)
      body(i, base + static_cast<size_t>(slot) * per_slot);
  };
  tiles((count + grain - 1) / grain, run);
}

size_t wide_bytes(const gp_view &v) { return v.dtype == GP_F64 ? sizeof(double) : sizeof(float); }

// ---- forward --------------------------------------------------------------------------------------------------------

size_t forward_scratch(const Problem &p) {
  return static_cast<size_t>(kBlock * p.le + p.e * p.ls + 2 * kBlock * p.lv + kBlock * p.ls + 2 * kBlock);
}

size_t forward_workspace(const gp_call *call) {
  return forward_scratch(problem_of(call, 0)) * static_cast<size_t>(thread_count()) * wide_bytes(in(call, 0));
}

// Online softmax of one row of a block: `cols` scores become weights relative to the new maximum.
template <class V, class W>
GP_FN void soften(W *scores, int64_t cols, W *max, W *sum, W *o, int64_t lv) {
  const W m = row_max<V>(scores, cols), now = m > *max || m != m ? m : *max;
  if (now == -static_cast<W>(__builtin_inff())) {
    memset(scores, 0, static_cast<size_t>(cols) * sizeof(W));
    return;
  }
  const V shift(now);
  const W total = row_sum<V>(cols, [&](int64_t i, int64_t k) {
    V w = exp_(get<V>(scores + i, k) - shift);
    put(scores + i, w, k);
    return w;
  });
  if (now != *max) {
    const W fade = exp_one(*max - now);
    *sum *= fade;
    each_vector<V>(lv, [&](int64_t i, int64_t k) { put(o + i, get<V>(o + i, k) * V(fade), k); });
  }
  *sum += total;
  *max = now;
}

template <class T>
void forward_tile(const gp_call *call, const Problem &p, const gp_view *mask, int64_t b, int64_t h, int64_t i0,
                  WideOf<T> *scratch) {
  using V = Compute<T>;
  using W = WideOf<T>;
  const int64_t rows = least(kBlock, p.t - i0), hk = h / p.group;
  W *q = scratch, *kt = q + kBlock * p.le, *v = kt + p.e * p.ls, *o = v + kBlock * p.lv, *s = o + kBlock * p.lv;
  W *max = s + kBlock * p.ls, *sum = max + kBlock;
  pack(matrix<T>(in(call, 0), b, h, i0), rows, p.e, q, p.le);
  memset(o, 0, static_cast<size_t>(rows * p.lv) * sizeof(W));
  for (int64_t r = 0; r < rows; r++) {
    max[r] = -static_cast<W>(__builtin_inff());
    sum[r] = 0;
  }
  const int64_t end = p.causal ? least(p.s, i0 + rows) : p.s;
  for (int64_t j0 = 0; j0 < end; j0 += kBlock) {
    const int64_t cols = least(kBlock, p.s - j0);
    pack_transposed(matrix<T>(in(call, 1), b, hk, j0), cols, p.e, kt, p.ls);
    pack(matrix<T>(in(call, 2), b, hk, j0), cols, p.ev, v, p.lv);
    product<V, true>(q, p.le, 1, kt, p.ls, s, p.ls, rows, round_up(cols, 16), p.e);
    for (int64_t r = 0; r < rows; r++) {
      W *row = s + r * p.ls;
      const int64_t seen = visible(p, i0 + r, j0, cols);
      mask_row<T>(row, seen, static_cast<W>(p.scale), mask, b, h, i0 + r, j0);
      soften<V>(row, seen, max + r, sum + r, o + r * p.lv, p.lv);
      for (int64_t c = seen; c < cols; c++) row[c] = 0;
    }
    product<V>(s, p.ls, 1, v, p.lv, o, p.lv, rows, p.lv, cols);
  }
  T *y = data<T>(out(call, 0)) + ((b * p.heads + h) * p.t + i0) * p.ev;
  W *lse = data<W>(out(call, 1)) + (b * p.heads + h) * p.t + i0;
  for (int64_t r = 0; r < rows; r++) {
    const V inverse(sum[r] == W(0) ? W(0) : W(1) / sum[r]);
    each_vector<V>(p.ev,
                   [&](int64_t i, int64_t k) { put(y + r * p.ev + i, get<V>(o + r * p.lv + i, k) * inverse, k); });
    lse[r] = sum[r] == W(0) ? max[r] : max[r] + log_one(sum[r]);
  }
}

int32_t attention(gp_context *, const gp_kernel *, const gp_call *call) {
  const Problem p = problem_of(call, 0);
  const gp_view *mask = has(call, 3) ? &in(call, 3) : nullptr;
  const int64_t blocks = (p.t + kBlock - 1) / kBlock;
  GP_FLOATS(in(call, 0).dtype, T, {
    const int64_t work = least(p.t, kBlock) * p.s * (p.e + p.ev);
    with_scratch<WideOf<T>>(p.batch * p.heads * blocks, work, call, forward_scratch(p),
                            [&](int64_t i, WideOf<T> *scratch) {
                              // the last queries see most keys: they come first
                              const int64_t block = blocks - 1 - i % blocks, head = i / blocks;
                              forward_tile<T>(call, p, mask, head / p.heads, head % p.heads, block * kBlock, scratch);
                            });
  });
  return GP_OK;
}

// ---- backward -------------------------------------------------------------------------------------------------------
// With P the weights: dV = Pᵀ dO, dP = dO Vᵀ, dM = P (dP - rowsum(dO O)), dQ = scale · dM K, dK = scale · dMᵀ Q.

enum Input { kDy, kQuery, kKey, kValue, kMask, kY, kLse };

size_t backward_scratch(const Problem &p) {
  const int64_t keys = (p.e + p.ev) * p.ls + 2 * kBlock * p.le + kBlock * p.lv;  // Kᵀ, Vᵀ, K, dK, dV
  const int64_t queries = kBlock * p.le + kBlock * p.lv + 2 * kBlock * p.ls;     // Q, dO, S, dP
  return static_cast<size_t>(keys + queries + p.group * p.t * (p.le + 1));       // dQ, rowsum(dO O)
}

size_t backward_workspace(const gp_call *call) {
  return backward_scratch(problem_of(call, kQuery)) * static_cast<size_t>(thread_count()) * wide_bytes(in(call, kDy));
}

template <class T>
GP_FN T *output(const gp_call *call, int i) {
  return numel(out(call, i)) > 0 ? data<T>(out(call, i)) : nullptr;
}

template <class T>
struct Backward {
  using V = Compute<T>;
  using W = WideOf<T>;
  const gp_call *call;
  const Problem &p;
  const gp_view *mask;
  T *dq_out, *dk_out, *dv_out, *dmask_out;
  int64_t b, hk;
  W *kt, *vt, *k, *dk, *dv, *q, *dy, *s, *dp, *dq, *dot;

  Backward(const gp_call *c, const Problem &problem, int64_t batch, int64_t key_head, W *scratch)
      : call(c), p(problem), mask(has(c, kMask) ? &in(c, kMask) : nullptr), b(batch), hk(key_head) {
    dq_out = output<T>(call, 0);
    dk_out = output<T>(call, 1);
    dv_out = output<T>(call, 2);
    dmask_out = output<T>(call, 3);
    auto take = [&](int64_t n) {
      W *at = scratch;
      scratch += n;
      return at;
    };
    kt = take(p.e * p.ls), vt = take(p.ev * p.ls), k = take(kBlock * p.le), dk = take(kBlock * p.le);
    dv = take(kBlock * p.lv), q = take(kBlock * p.le), dy = take(kBlock * p.lv), s = take(kBlock * p.ls);
    dp = take(kBlock * p.ls), dq = take(p.group * p.t * p.le), dot = take(p.group * p.t);
  }

  int64_t row_of(int64_t g, int64_t i) const { return (b * p.heads + hk * p.group + g) * p.t + i; }

  void run() {
    memset(dq, 0, static_cast<size_t>(p.group * p.t * p.le) * sizeof(W));
    for (int64_t g = 0; g < p.group; g++) prepare(g);
    for (int64_t j = 0; j < p.s; j += kBlock) keys(j);
    if (dq_out == nullptr) return;
    for (int64_t i = 0; i < p.group * p.t; i++) unpack(dq + i * p.le, dq_out + (row_of(0, 0) + i) * p.e, p.e);
  }

  static void unpack(const W *from, T *to, int64_t n) {
    each_vector<V>(n, [&](int64_t i, int64_t c) { put(to + i, get<V>(from + i, c), c); });
  }

  void prepare(int64_t g) {
    const T *y = data<T>(in(call, kY)) + row_of(g, 0) * p.ev;
    for (int64_t i = 0; i < p.t; i++) {
      pack(matrix<T>(in(call, kDy), b, hk * p.group + g, i), 1, p.ev, dy, p.lv);
      dot[g * p.t + i] =
          row_sum<V>(p.ev, [&](int64_t c, int64_t n) { return get<V>(dy + c, n) * get<V>(y + i * p.ev + c, n); });
    }
    if (dmask_out != nullptr) memset(dmask_out + row_of(g, 0) * p.s, 0, static_cast<size_t>(p.t * p.s) * sizeof(T));
  }

  void keys(int64_t j) {
    const int64_t cols = least(kBlock, p.s - j);
    const Matrix<T> key = matrix<T>(in(call, kKey), b, hk, j), value = matrix<T>(in(call, kValue), b, hk, j);
    pack_transposed(key, cols, p.e, kt, p.ls);
    pack_transposed(value, cols, p.ev, vt, p.ls);
    pack(key, cols, p.e, k, p.le);
    memset(dk, 0, static_cast<size_t>(cols * p.le) * sizeof(W));
    memset(dv, 0, static_cast<size_t>(cols * p.lv) * sizeof(W));
    for (int64_t g = 0; g < p.group; g++) {
      for (int64_t i = p.causal ? j / kBlock * kBlock : 0; i < p.t; i += kBlock) block(g, i, j, cols);
    }
    for (int64_t c = 0; c < cols; c++) {
      const int64_t row = (b * p.key_heads + hk) * p.s + j + c;
      if (dk_out != nullptr) unpack(dk + c * p.le, dk_out + row * p.e, p.e);
      if (dv_out != nullptr) unpack(dv + c * p.lv, dv_out + row * p.ev, p.ev);
    }
  }

  void block(int64_t g, int64_t i, int64_t j, int64_t cols) {
    const int64_t rows = least(kBlock, p.t - i), h = hk * p.group + g, wide = round_up(cols, 16);
    const W *lse = data<W>(in(call, kLse)) + row_of(g, i), scale = static_cast<W>(p.scale);
    pack(matrix<T>(in(call, kQuery), b, h, i), rows, p.e, q, p.le);
    pack(matrix<T>(in(call, kDy), b, h, i), rows, p.ev, dy, p.lv);
    product<V, true>(q, p.le, 1, kt, p.ls, s, p.ls, rows, wide, p.e);
    product<V, true>(dy, p.lv, 1, vt, p.ls, dp, p.ls, rows, wide, p.ev);
    for (int64_t r = 0; r < rows; r++) {
      W *w = s + r * p.ls;
      const bool empty = lse[r] == -static_cast<W>(__builtin_inff());
      const int64_t seen = empty ? 0 : visible(p, i + r, j, cols);
      mask_row<T>(w, seen, scale, mask, b, h, i + r, j);
      const V shift(lse[r]);
      each_vector<V>(seen, [&](int64_t c, int64_t n) { put(w + c, exp_(get<V>(w + c, n) - shift), n); });
      for (int64_t c = seen; c < cols; c++) w[c] = 0;
    }
    if (dv_out != nullptr) product<V>(s, 1, p.ls, dy, p.lv, dv, p.lv, cols, p.lv, rows);
    for (int64_t r = 0; r < rows; r++) {
      W *w = s + r * p.ls, *d = dp + r * p.ls;
      const V mean(dot[g * p.t + i + r]);
      each_vector<V>(cols, [&](int64_t c, int64_t n) {
        V m = get<V>(w + c, n) * (get<V>(d + c, n) - mean);
        if (dmask_out != nullptr) put(dmask_out + row_of(g, i + r) * p.s + j + c, m, n);
        put(w + c, m * V(scale), n);
      });
    }
    if (dq_out != nullptr) product<V>(s, p.ls, 1, k, p.le, dq + (g * p.t + i) * p.le, p.le, rows, p.le, cols);
    if (dk_out != nullptr) product<V>(s, 1, p.ls, q, p.le, dk, p.le, cols, p.le, rows);
  }
};

int32_t attention_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  const Problem p = problem_of(call, kQuery);
  GP_FLOATS(in(call, kDy).dtype, T, {
    const int64_t work = 2 * p.group * p.t * p.s * (p.e + p.ev);
    with_scratch<WideOf<T>>(p.batch * p.key_heads, work, call, backward_scratch(p), [&](int64_t i, WideOf<T> *scratch) {
      Backward<T>(call, p, i / p.key_heads, i % p.key_heads, scratch).run();
    });
  });
  return GP_OK;
}

constexpr uint64_t kForwardStrided = 0b1111;      // query key value attnMask
constexpr uint64_t kBackwardStrided = 0b0011111;  // dy query key value attnMask; y and lse arrive contiguous

}  // namespace

GP_ROWS(attention) = {
    {"scaled_dot_product_attention", "query key value attnMask? -> y | lse ; isCausal scale enableGqa", kFloats, 0,
     kForwardStrided, forward_workspace, attention},
    {"scaled_dot_product_attention_backward",
     "dy query key value attnMask? y lse -> dquery dkey dvalue dmask ; isCausal scale enableGqa wants", kFloats, 0,
     kBackwardStrided, backward_workspace, attention_backward},
    {},
};

}  // namespace gp::GP_ISA
