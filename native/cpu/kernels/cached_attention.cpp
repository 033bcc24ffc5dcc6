// Attention of new tokens over a cache of keys and values, whose length is read from memory when the kernel runs.
//
// Tiles are single queries: there is one per head and sequence, and every key and value is read once, so nothing would
// be gained by blocks. A score is a sum in virtual lanes along the features (rows.h), an output a chain over the
// tokens: the same bits for every number of threads and however many tokens fit behind those that are seen.
#include "rows.h"

namespace gp::GP_ISA {
namespace {

struct Problem {
  int64_t batch, heads, key_heads, t, capacity, e, ev;
};

Problem problem_of(const gp_call *call) {
  const gp_view &q = in(call, 0), &k = in(call, 1), &v = in(call, 2);
  return {q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3]};
}

// Elements of a thread: the query, its weights, its result.
int64_t scratch_of(const Problem &p) { return round_up(p.e, 16) + round_up(p.capacity, 16) + round_up(p.ev, 16); }

size_t workspace(const gp_call *call) {
  const size_t bytes = in(call, 0).dtype == GP_F64 ? sizeof(double) : sizeof(float);
  return static_cast<size_t>(scratch_of(problem_of(call))) * bytes * static_cast<size_t>(thread_count());
}

// Asks for lines of row `j` of what is read one phase later: since the last token the weights of a whole step have
// passed through the caches, and the processor's own prefetchers stop at every page. Of many rows only the first are
// asked for: the others would push each other out of L2.
template <class T>
GP_INLINE void fetch(const T *rows, int64_t j, int64_t width) {
  constexpr int64_t kLine = 64 / sizeof(T), kMost = 32 * 1024 / sizeof(T);
  if ((j + 1) * width > kMost) return;
  for (int64_t i = 0; i < width; i += kLine) __builtin_prefetch(rows + j * width + i, 0, 2);
}

// o += Σ w[j] v[j] for `count` tokens, P vectors of features from `c` on; beside it as many lines of `next`.
template <class V, int P, class T, class W>
GP_FN void weighted(const T *v, int64_t ev, const W *w, int64_t count, W *o, int64_t c, const T *next) {
  constexpr int64_t kWidth = P * V::lanes;
  V acc[P];
#pragma GCC unroll 4
  for (int i = 0; i < P; i++) acc[i] = V(0);
  for (int64_t j = 0; j < count; j++) {
    const V weight(w[j]);
    fetch(next, j, kWidth);
#pragma GCC unroll 4
    for (int i = 0; i < P; i++) acc[i] = fma_(weight, load<V>(v + j * ev + c + i * V::lanes), acc[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < P; i++) store(o + c + i * V::lanes, acc[i]);
}

template <class T>
void one_query(const Problem &p, const T *query, const T *k, const T *v, int64_t seen, double scale, T *y,
               WideOf<T> *scratch, const T *next) {
  using V = Compute<T>;
  using W = WideOf<T>;
  constexpr int64_t N = V::lanes;
  W *q = scratch, *w = q + round_up(p.e, 16), *o = w + round_up(p.capacity, 16);
  const W factor = static_cast<W>(scale);
  each_vector<V>(p.e, [&](int64_t i, int64_t n) { put(q + i, get<V>(query + i, n), n); });
  for (int64_t j = 0; j < seen; j++) {
    const T *key = k + j * p.e;
    fetch(v, j, p.ev);
    Lanes<V> acc{V(0)};
    each_part<V>(
        p.e, [&](int part, int64_t i, int64_t n) __attribute__((always_inline)) {
          acc.v[part] = fma_(get<V>(q + i, n), get<V>(key + i, n), acc.v[part]);
        });
    w[j] = acc.sum() * factor;
  }
  const W top = row_max<V>(w, seen);
  const V low(top);
  const W total = row_sum<V>(
      seen, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
        const V x = exp_(get<V>(w + i, n) - low);
        put(w + i, x, n);
        return x;
      });
  int64_t c = 0;
  for (; c + 4 * N <= p.ev; c += 4 * N) weighted<V, 4>(v, p.ev, w, seen, o, c, next + c * seen);
  for (; c + N <= p.ev; c += N) weighted<V, 1>(v, p.ev, w, seen, o, c, next + c * seen);
  if (c < p.ev) {
    V acc(0);
    for (int64_t j = 0; j < seen; j++) acc = fma_(V(w[j]), get<V>(v + j * p.ev + c, p.ev - c), acc);
    put(o + c, acc, p.ev - c);
  }
  const V inverse = V(1) / V(total);
  each_vector<V>(p.ev, [&](int64_t i, int64_t n) { put(y + i, get<V>(o + i, n) * inverse, n); });
}

int32_t cached_attention(gp_context *, const gp_kernel *, const gp_call *call) {
  const Problem p = problem_of(call);
  const int64_t at = *data<const int64_t>(in(call, 3));
  const double scale = Attrs(call).number();
  if (at < 0 || at > p.capacity - p.t) return report(call, GP_INDEX_OUT_OF_RANGE, 0, static_cast<double>(at));
  const int64_t queries = p.batch * p.heads * p.t, group = p.key_heads > 0 ? p.heads / p.key_heads : 1;
  const int64_t work = queries * (at + p.t) * (p.e + p.ev);
  GP_FLOATS(in(call, 0).dtype, T, {
    using W = WideOf<T>;
    W *base = static_cast<W *>(call->workspace);
    const int64_t per_slot = scratch_of(p);
    const size_t needed = static_cast<size_t>(per_slot * thread_count()) * sizeof(W);
    auto tile = [&](int64_t i, int slot) {
      const auto source = [&](int64_t query) {
        const int64_t head = query / p.t;
        return (head / p.heads * p.key_heads + head % p.heads / group) * p.capacity;
      };
      const T *keys = data<const T>(in(call, 1)), *values = data<const T>(in(call, 2));
      one_query<T>(p, data<const T>(in(call, 0)) + i * p.e, keys + source(i) * p.e, values + source(i) * p.ev,
                   at + i % p.t + 1, scale, data<T>(out(call, 0)) + i * p.ev, base + slot * per_slot,
                   keys + source(i + 1) * p.e);  // behind the last head: a prefetch never faults
    };
    if (work > 32 * 1024 && call->workspace_size >= needed) {
      tiles(queries, tile);
    } else {
      for (int64_t i = 0; i < queries; i++) tile(i, 0);
    }
  });
  return GP_OK;
}

// Rows of `width` elements: new tokens [B, K, T, width] behind the first `at` of [B, K, C, width].
void append(const gp_view &cache, const gp_view &fresh, int64_t at, size_t size) {
  const int64_t heads = fresh.shape[0] * fresh.shape[1], t = fresh.shape[2], capacity = cache.shape[2];
  const size_t row = static_cast<size_t>(fresh.shape[3]) * size;
  for (int64_t h = 0; h < heads; h++)
    memcpy(data<char>(cache) + static_cast<size_t>(h * capacity + at) * row,
           data<char>(fresh) + static_cast<size_t>(h * t) * row, static_cast<size_t>(t) * row);
}

int32_t cache_append(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &keys = in(call, 0), &fresh = in(call, 2);
  const int64_t at = *data<const int64_t>(in(call, 4));
  if (at < 0 || at > keys.shape[2] - fresh.shape[2])
    return report(call, GP_INDEX_OUT_OF_RANGE, 0, static_cast<double>(at));
  GP_FLOATS(keys.dtype, T, {
    append(keys, fresh, at, sizeof(T));
    append(in(call, 1), in(call, 3), at, sizeof(T));
  });
  return GP_OK;
}

}  // namespace

GP_ROWS(cached_attention) = {
    {"cached_attention", "query keys values at -> y ; scale", kFloats, 0, 0, workspace, cached_attention},
    {"cache_append_", "keys values newKeys newValues at ->", kFloats, GP_KERNEL_MUTATES, 0, nullptr, cache_append},
    {},
};

}  // namespace gp::GP_ISA
