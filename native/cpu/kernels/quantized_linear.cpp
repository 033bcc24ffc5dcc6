// quantized_linear: y[..., N] = scale[N] · (x[..., K] · (weight[N, K] - 128)ᵀ) + bias[N]; weight is u8, one byte per
// element, and everything else is as in `linear`.
//
// With a few rows memory is the limit: weights are read once, in the order in which they stand, four rows at a time,
// and widened on the way. With many rows a panel of weights is widened into the thread's scratch and all rows of x pass
// it. A sum has 16 virtual lanes, element k in lane k mod 16, which a fixed tree adds up: the same bits for any number
// of rows, threads and lanes. Integers from -128 to 127 are exact in every type, so the only roundings are those of the
// sums.
#include "rows.h"

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns about its own _mm512_undefined_*() once they are inlined here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace gp::GP_ISA {
namespace {

constexpr int64_t kStep = 16;    // virtual lanes
constexpr int64_t kFewRows = 4;  // of x: straight from the weights
constexpr int64_t kPanel = 16;   // rows of weights that are widened together
constexpr int64_t kTileBytes = 48 * 1024;
constexpr int64_t kSerial = 128 * 1024;    // multiply-adds
constexpr int64_t kFetchBytes = 8 * 1024;  // of weights, ahead of those in use

// kStep values.
template <class V>
struct Step {
  static constexpr int kVectors = static_cast<int>(kStep) / V::lanes;
  V v[kVectors];
};

template <class V>
GP_FN Step<V> zero_step() {
  Step<V> s;
#pragma GCC unroll 8
  for (int i = 0; i < Step<V>::kVectors; i++) s.v[i] = V(0);
  return s;
}
template <class V>
GP_FN Step<V> values(const typename V::Scalar *p) {
  Step<V> s;
#pragma GCC unroll 8
  for (int i = 0; i < Step<V>::kVectors; i++) s.v[i] = load<V>(p + i * V::lanes);
  return s;
}
// With intrinsics: the compiler converts bytes one by one.
#if defined(__AVX512F__)
GP_FN VecF bytes(const uint8_t *p, VecF) {
  const __m512i w = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
  return VecF::of((VecF::Raw)_mm512_cvtepi32_ps(_mm512_sub_epi32(w, _mm512_set1_epi32(128))));
}
GP_FN VecD bytes(const uint8_t *p, VecD) {
  const __m256i w = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)));
  return VecD::of((VecD::Raw)_mm512_cvtepi32_pd(_mm256_sub_epi32(w, _mm256_set1_epi32(128))));
}
#elif defined(__AVX2__)
GP_FN VecF bytes(const uint8_t *p, VecF) {
  const __m256i w = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)));
  return VecF::of((VecF::Raw)_mm256_cvtepi32_ps(_mm256_sub_epi32(w, _mm256_set1_epi32(128))));
}
GP_FN VecD bytes(const uint8_t *p, VecD) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  const __m128i w = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
  return VecD::of((VecD::Raw)_mm256_cvtepi32_pd(_mm_sub_epi32(w, _mm_set1_epi32(128))));
}
#else
template <class V>
GP_FN V bytes(const uint8_t *p, V v) {
  for (int i = 0; i < V::lanes; i++) v.v[i] = static_cast<typename V::Scalar>(p[i] - 128);
  return v;
}
#endif
template <class V>
GP_FN Step<V> weights(const uint8_t *p) {
  Step<V> s;
#pragma GCC unroll 8
  for (int i = 0; i < Step<V>::kVectors; i++) s.v[i] = bytes(p + i * V::lanes, V(0));
  return s;
}
// The first n of kStep weights, 0 behind them.
template <class V>
GP_FN Step<V> some_weights(const uint8_t *p, int64_t n) {
  uint8_t t[kStep];
  memset(t, 128, sizeof t);
  memcpy(t, p, static_cast<size_t>(n));
  return weights<V>(t);
}
template <class V>
GP_FN void add_products(Step<V> *sum, const Step<V> &a, const Step<V> &b) {
#pragma GCC unroll 8
  for (int i = 0; i < Step<V>::kVectors; i++) sum->v[i] = fma_(a.v[i], b.v[i], sum->v[i]);
}

GP_FN float halves(Vec<float, 4> a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
GP_FN double halves(Vec<double, 2> a) { return a.v[0] + a.v[1]; }
template <class S, int N>
GP_FN S halves(Vec<S, N> a) {
  const auto h = split(a);
  return halves(h.lo + h.hi);
}
// Lane i with lane i + 8, then with i + 4, i + 2, i + 1.
template <class V>
GP_FN typename V::Scalar total(const Step<V> &s) {
  V t[Step<V>::kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < Step<V>::kVectors; i++) t[i] = s.v[i];
#pragma GCC unroll 4
  for (int h = Step<V>::kVectors / 2; h > 0; h /= 2) {
#pragma GCC unroll 4
    for (int i = 0; i < h; i++) t[i] = t[i] + t[i + h];
  }
  return halves(t[0]);
}

// Vectors of sums that registers hold, beside a step of x and one of weights.
template <class V>
constexpr int kSums = kLanes == 16 ? 24 / Step<V>::kVectors : 12 / Step<V>::kVectors;

template <class T>
struct Problem {
  using V = Compute<T>;
  using W = WideOf<T>;
  int64_t m, n, k, x_row;
  const W *x;  // [m, k], rows x_row apart and zero up to whole steps
  const uint8_t *weight;
  const gp_view *scale;
  const T *bias;
  T *y;

  GP_FN W scale_of(int64_t j) const {
    switch (scale->dtype) {
      case GP_F32:
        return static_cast<W>(data<const float>(*scale)[j]);
      case GP_F64:
        return static_cast<W>(data<const double>(*scale)[j]);
      case GP_F16:
        return static_cast<W>(widen(data<const f16>(*scale)[j]));
      default:
        return static_cast<W>(widen(data<const bf16>(*scale)[j]));
    }
  }
  GP_FN void finish(int64_t i, int64_t j, W sum) const {
    W v = sum * scale_of(j);
    if (bias != nullptr) v += widen(bias[j]);
    y[i * n + j] = narrow<T>(v);
  }
};

// Rows j … j + R of weights with all M rows of x. `ahead`: R rows that are needed later, fetched line after line as
// they stand: one line of each row in turn gives two threads 15 % less.
template <int M, int R, class T>
GP_FN void few_rows(const Problem<T> &p, int64_t j, const uint8_t *ahead) {
  using V = typename Problem<T>::V;
  const uint8_t *w = p.weight + j * p.k;
  Step<V> sum[M][R];
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) sum[m][r] = zero_step<V>();
  int64_t k = 0;
  auto step = [&](auto read) __attribute__((always_inline)) {
    Step<V> b[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) b[r] = read(w + r * p.k + k);
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      const Step<V> a = values<V>(p.x + m * p.x_row + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) add_products(&sum[m][r], a, b[r]);
    }
  };
  auto whole = [](const uint8_t *from) __attribute__((always_inline)) { return weights<V>(from); };
  while (k + 4 * kStep <= p.k) {  // a line of each row
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) __builtin_prefetch(ahead + R * k + r * 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, k += kStep) step(whole);
  }
  for (; k + kStep <= p.k; k += kStep) step(whole);
  if (k < p.k) {
    const int64_t left = p.k - k;
    step([&](const uint8_t *from) __attribute__((always_inline)) { return some_weights<V>(from, left); });
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) p.finish(m, j + r, total(sum[m][r]));
}

// Columns j0 … j1 of few rows.
template <int M, class T>
void few_tile(const Problem<T> &p, int64_t j0, int64_t j1) {
  constexpr int R = kSums<typename Problem<T>::V> / M >= 4 ? 4 : kSums<typename Problem<T>::V> / M >= 2 ? 2 : 1;
  const int64_t distance = p.k > 0 ? round_up(kFetchBytes, R * p.k) / p.k : 0;  // in rows of weights
  int64_t j = j0;
  for (; j + R <= j1; j += R) {
    const int64_t ahead = least(j + distance, p.n);
    few_rows<M, R>(p, j, p.weight + ahead * p.k);  // a prefetch behind the end never faults
  }
  for (; j < j1; j++) few_rows<M, 1>(p, j, p.weight + j * p.k);
}

// Many rows: M of x by R of weights share registers.
template <class V>
constexpr int kBlockColumns = kSums<V> >= 12  ? 4
                              : kSums<V> >= 6 ? 2
                                              : 1;
template <class V>
constexpr int kBlockRows = kSums<V> / kBlockColumns<V>;

// `w`: widened rows j … of weights, p.x_row apart.
template <int M, int R, class T>
GP_FN void block(const Problem<T> &p, int64_t i, int64_t j, const WideOf<T> *w) {
  using V = typename Problem<T>::V;
  Step<V> sum[M][R];
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) sum[m][r] = zero_step<V>();
  const WideOf<T> *x = p.x + i * p.x_row;
  for (int64_t k = 0; k < p.x_row; k += kStep) {
    Step<V> b[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) b[r] = values<V>(w + r * p.x_row + k);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      const Step<V> a = values<V>(x + m * p.x_row + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) add_products(&sum[m][r], a, b[r]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) p.finish(i + m, j + r, total(sum[m][r]));
}

template <int M, class T>
void block_row(const Problem<T> &p, int64_t i, int64_t j, int64_t count, const WideOf<T> *panel) {
  constexpr int R = kBlockColumns<typename Problem<T>::V>;
  int64_t c = 0;
  for (; c + R <= count; c += R) block<M, R>(p, i, j + c, panel + c * p.x_row);
  for (; c < count; c++) block<M, 1>(p, i, j + c, panel + c * p.x_row);
}

// Columns j … j + count, at most kPanel of them, of all rows.
template <class T>
void many_rows(const Problem<T> &p, int64_t j, int64_t count, WideOf<T> *panel) {
  using V = typename Problem<T>::V;
  constexpr int M = kBlockRows<V>;
  for (int64_t r = 0; r < count; r++) {
    const uint8_t *from = p.weight + (j + r) * p.k;
    for (int64_t k = 0; k < p.k; k += kStep) {
      const Step<V> s = k + kStep <= p.k ? weights<V>(from + k) : some_weights<V>(from + k, p.k - k);
#pragma GCC unroll 8
      for (int v = 0; v < Step<V>::kVectors; v++) store(panel + r * p.x_row + k + v * V::lanes, s.v[v]);
    }
  }
  int64_t i = 0;
  for (; i + M <= p.m; i += M) block_row<M>(p, i, j, count, panel);
  for (; M > 2 && i + 2 <= p.m; i += 2) block_row<2>(p, i, j, count, panel);
  for (; i < p.m; i++) block_row<1>(p, i, j, count, panel);
}

// Where things stand in the workspace: x widened and filled up with zeros to whole steps, then a panel per thread.
struct Layout {
  int64_t m, n, k, x_row;
  bool copies;
  size_t size, x_bytes, slot;  // of an element
};

Layout layout_of(const gp_call *call) {
  const gp_view &x = in(call, 0), &weight = in(call, 1);
  Layout l;
  l.n = weight.shape[0];
  l.k = weight.shape[1];
  l.m = l.k > 0 ? numel(x) / l.k : numel(out(call, 0)) / (l.n > 0 ? l.n : 1);
  l.x_row = round_up(l.k, kStep);
  l.size = x.dtype == GP_F64 ? sizeof(double) : sizeof(float);
  l.copies = l.x_row != l.k || x.dtype == GP_F16 || x.dtype == GP_BF16;
  l.x_bytes = l.copies ? static_cast<size_t>(round_up(l.m * l.x_row, kStep)) * l.size : 0;
  l.slot = l.m > kFewRows ? static_cast<size_t>(kPanel * l.x_row) * l.size : 0;
  return l;
}

size_t workspace(const gp_call *call) {
  const Layout l = layout_of(call);
  return l.x_bytes + l.slot * static_cast<size_t>(thread_count());
}

// Rows first … last of x, widened.
template <class T>
void widen_rows(const T *x, const Layout &l, int64_t first, int64_t last, WideOf<T> *to) {
  using V = Compute<T>;
  for (int64_t i = first; i < last; i++) {
    WideOf<T> *row = to + i * l.x_row;
    each_vector<V>(l.k, [&](int64_t k, int64_t n) { put(row + k, get<V>(x + i * l.k + k, n), n); });
    for (int64_t k = l.k; k < l.x_row; k++) row[k] = 0;
  }
}

template <class F>
GP_FN void run(bool serial, int64_t count, const F &body) {
  if (!serial) return tiles(count, body);
  for (int64_t i = 0; i < count; i++) body(i, 0);
}

template <class T>
void product(const gp_call *call, const Layout &l) {
  using W = WideOf<T>;
  char *const scratch = static_cast<char *>(call->workspace);
  const bool serial =
      l.m * l.n * l.k < kSerial || call->workspace_size < l.x_bytes + l.slot * static_cast<size_t>(thread_count());
  Problem<T> p;
  p.m = l.m, p.n = l.n, p.k = l.k, p.x_row = l.x_row;
  p.weight = data<const uint8_t>(in(call, 1));
  p.scale = &in(call, 2);
  p.bias = has(call, 3) ? data<const T>(in(call, 3)) : nullptr;
  p.y = data<T>(out(call, 0));
  const T *x = data<const T>(in(call, 0));
  if (l.copies) {
    W *wide = reinterpret_cast<W *>(scratch);
    constexpr int64_t kRows = 16;
    run(serial, (l.m + kRows - 1) / kRows,
        [&](int64_t tile, int) { widen_rows(x, l, tile * kRows, least(l.m, (tile + 1) * kRows), wide); });
    p.x = wide;
  } else if constexpr (sizeof(T) == sizeof(W)) {
    p.x = x;
  }
  if (l.m > kFewRows) {
    return run(serial, (l.n + kPanel - 1) / kPanel, [&](int64_t tile, int slot) {
      const int64_t j = tile * kPanel;
      W *panel = reinterpret_cast<W *>(scratch + l.x_bytes + l.slot * static_cast<size_t>(slot));
      many_rows(p, j, least(kPanel, l.n - j), panel);
    });
  }
  const int64_t columns = round_up(kTileBytes / (l.k + 1) + 1, 4);
  run(serial, (l.n + columns - 1) / columns, [&](int64_t tile, int) {
    const int64_t j0 = tile * columns, j1 = least(l.n, j0 + columns);
    switch (l.m) {
      case 1:
        return few_tile<1>(p, j0, j1);
      case 2:
        return few_tile<2>(p, j0, j1);
      case 3:
        return few_tile<3>(p, j0, j1);
      default:
        return few_tile<4>(p, j0, j1);
    }
  });
}

int32_t quantized_linear(gp_context *, const gp_kernel *, const gp_call *call) {
  const Layout l = layout_of(call);
  if (l.m == 0 || l.n == 0) return GP_OK;
  GP_FLOATS(in(call, 0).dtype, T, { product<T>(call, l); });
  return GP_OK;
}

}  // namespace

GP_ROWS(quantized_linear) = {
    {"quantized_linear", "x weight scale bias? -> y", kFloats, 0, 0, workspace, quantized_linear},
    {},
};

}  // namespace gp::GP_ISA
