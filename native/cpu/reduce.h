// Reductions: how a call's axes become (outer, reduced, inner) stages, and the two loops that reduce them.
//
// The order of every sum depends on the shape alone, not on strides, threads or the width of the vectors:
//   along the inner axis  16 lanes in 4 interleaved groups over blocks of 4096 elements, lanes combined by a tree,
//                         blocks and then chunks of 65536 combined in the wide type (double for floating sums);
//   across rows           64 rows per column one after another, then in the wide type; chunks of 1024 rows.
// What does not lie so in memory is packed first.
#pragma once
#include "pointwise.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kSumBlock = 4096, kChunk = 65536, kRowBlock = 64, kRowChunk = 1024, kStrip = 64;

// ---- element types --------------------------------------------------------------------------------------------------

using VecI = Vec<int64_t, kLanes / 2>;
template <>
struct ComputeOf<int64_t> {
  using type = VecI;
};
template <>
struct ComputeOf<int32_t> {
  using type = VecI;
};
template <>
struct ComputeOf<uint8_t> {
  using type = VecI;
};
GP_FN VecI load_int(const int64_t *p) { return load<VecI>(p); }
GP_FN VecI load_int(const int32_t *p) { return convert<VecI>(load<Vec<int32_t, VecI::lanes>>(p)); }
GP_FN VecI load_int(const uint8_t *p) { return convert<VecI>(load<Vec<uint8_t, VecI::lanes>>(p)); }

template <class S>
GP_FN Compute<S> load_as(const S *p) {
  if constexpr (Compute<S>::lanes * sizeof(typename Compute<S>::Scalar) == sizeof(VecI) &&
                sizeof(typename Compute<S>::Scalar) == 8 && !is_float<S>)
    return load_int(p);
  else
    return load<Compute<S>>(p);
}
template <class S>
GP_FN typename Compute<S>::Scalar open(S x) {
  return static_cast<typename Compute<S>::Scalar>(x);
}
GP_FN float open(f16 x) { return widen(x); }
GP_FN float open(bf16 x) { return widen(x); }

// ---- the loops ------------------------------------------------------------------------------------------------------
// An Op gives first<C>() (its identity) and combine(a, b) for scalars and vectors. Blocks are combined in the wide
// type:

template <class C>
struct WideFor {
  using type = double;
};
template <>
struct WideFor<int64_t> {
  using type = int64_t;
};
template <class S>
using WideOf = typename WideFor<typename Compute<S>::Scalar>::type;

union Cell {  // a wide value
  double d;
  int64_t i;
};
template <class W>
GP_FN W &value(Cell &c) {
  if constexpr (is_float<W>)
    return c.d;
  else
    return c.i;
}

// What the driver needs of one op and one dtype.
struct Reducer {
  Cell (*chunk)(const void *x, int64_t n);
  void (*columns)(Cell *out, const void *x, int64_t rows, int64_t stride, int64_t n);
  Cell (*combine)(Cell a, Cell b);
};

// Lane i with lane i + half, down to one.
template <class Op, class C, int N>
GP_FN C fold(Vec<C, N> v) {
  if constexpr (N == 2) {
    C t[2];
    store(t, v);
    return Op::combine(t[0], t[1]);
  } else {
    const auto h = split(v);
    return fold<Op>(Op::combine(h.lo, h.hi));
  }
}

// Inside a loop of a few turns: keeps the compiler from vectorising it, which would only make code.
#define GP_SHORT_LOOP __asm__ volatile("")

template <class Op, class S>
GP_FN WideOf<S> reduce_block(const S *x, int64_t n) {  // n <= kSumBlock
  using V = Compute<S>;
  using C = typename V::Scalar;
  constexpr int kPer = 16 / V::lanes;
  V acc[4 * kPer];
  for (V &a : acc) a = V(Op::template first<C>());
  int64_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int k = 0; k < 4 * kPer; k++) acc[k] = Op::combine(acc[k], load_as<S>(x + i + k * V::lanes));
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < kPer; k++) acc[k] = Op::combine(acc[k], load_as<S>(x + i + k * V::lanes));
  for (int k = 0; k < kPer; k++)
    acc[k] = Op::combine(Op::combine(acc[k], acc[kPer + k]), Op::combine(acc[2 * kPer + k], acc[3 * kPer + k]));
  if (i == n) {  // the tree over 16 lanes in registers; below, the same tree over an array
    for (int w = kPer / 2; w > 0; w /= 2)
      for (int k = 0; k < w; k++) acc[k] = Op::combine(acc[k], acc[k + w]);
    return static_cast<WideOf<S>>(fold<Op>(acc[0]));
  }
  C t[16];
  for (int k = 0; k < kPer; k++) store(t + k * V::lanes, acc[k]);
  for (int64_t j = 0; i + j < n; j++) {
    GP_SHORT_LOOP;
    t[j] = Op::combine(t[j], open(x[i + j]));
  }
  for (int w = 8; w > 0; w /= 2)
    for (int j = 0; j < w; j++) t[j] = Op::combine(t[j], t[j + w]);
  return static_cast<WideOf<S>>(t[0]);
}

template <class Op, class S>
Cell reduce_chunk(const void *from, int64_t n) {
  const S *x = static_cast<const S *>(from);
  Cell result;
  using C = typename Compute<S>::Scalar;
  if (n < 16) {
    C a = Op::template first<C>();
    for (int64_t i = 0; i < n; i++) {
      GP_SHORT_LOOP;
      a = Op::combine(a, open(x[i]));
    }
    value<WideOf<S>>(result) = static_cast<WideOf<S>>(a);
    return result;
  }
  auto total = Op::template first<WideOf<S>>();
  for (int64_t i = 0; i < n; i += kSumBlock)
    total = Op::combine(total, reduce_block<Op>(x + i, n - i < kSumBlock ? n - i : kSumBlock));
  value<WideOf<S>>(result) = total;
  return result;
}

// One stage: y[o][k] = reduction over r of x[o * outer_stride + r * stride + k]; with inner 1, stride is 1.
struct Stage {
  int64_t outer, reduced, inner, outer_stride, stride;
  int64_t chunks() const {
    const int64_t c = inner == 1 ? kChunk : kRowChunk;
    return (reduced + c - 1) / c;
  }
  int64_t partials() const { return chunks() > 1 ? outer * chunks() * inner : 0; }
};

// n columns of the rows [0, rows) of x into out, all lanes in step.
template <class Op, class S>
void reduce_columns(Cell *out, const void *from, int64_t rows, int64_t stride, int64_t n) {
  using V = Compute<S>;
  using C = typename V::Scalar;
  using W = WideOf<S>;
  for (int64_t c = 0; c < n; c += kStrip) {
    const S *x = static_cast<const S *>(from) + c;
    const int64_t columns = n - c < kStrip ? n - c : kStrip;
    const int vectors = static_cast<int>(columns / V::lanes);
    for (int64_t j = 0; j < columns; j++) value<W>(out[c + j]) = Op::template first<W>();
    for (int64_t r0 = 0; r0 < rows; r0 += kRowBlock) {
      const int64_t r1 = r0 + kRowBlock < rows ? r0 + kRowBlock : rows;
      alignas(64) C t[kStrip];
      int k = 0;
      for (; k + 4 <= vectors; k += 4) {
        V acc[4];
        for (V &a : acc) a = V(Op::template first<C>());
        for (int64_t r = r0; r < r1; r++)
          for (int q = 0; q < 4; q++) acc[q] = Op::combine(acc[q], load_as<S>(x + r * stride + (k + q) * V::lanes));
        for (int q = 0; q < 4; q++) store(t + (k + q) * V::lanes, acc[q]);
      }
      for (; k < vectors; k++) {
        V acc = V(Op::template first<C>());
        for (int64_t r = r0; r < r1; r++) acc = Op::combine(acc, load_as<S>(x + r * stride + k * V::lanes));
        store(t + k * V::lanes, acc);
      }
      const int64_t done = vectors * V::lanes;
      for (int64_t j = done; j < columns; j++) t[j] = Op::template first<C>();
      for (int64_t r = r0; r < r1; r++)
        for (int64_t j = done; j < columns; j++) {
          GP_SHORT_LOOP;
          t[j] = Op::combine(t[j], open(x[r * stride + j]));
        }
      for (int64_t j = 0; j < columns; j++) {
        W &o = value<W>(out[c + j]);
        o = Op::combine(o, static_cast<W>(t[j]));
      }
    }
  }
}

template <class Op, class W>
Cell combine_cells(Cell a, Cell b) {
  Cell r;
  value<W>(r) = Op::combine(value<W>(a), value<W>(b));
  return r;
}

template <class Op, class S>
constexpr Reducer kReducer = {reduce_chunk<Op, S>, reduce_columns<Op, S>, combine_cells<Op, WideOf<S>>};

template <class F>
GP_INLINE void spread(int64_t work, int64_t count, F &&body) {
  if (work < kSerial)
    for (int64_t i = 0; i < count; i++) body(i, 0);
  else
    tiles(count, body);
}

// emit(index, cell) for every element of the result. `size`: bytes per element of x.
template <class Emit>
void run_stage(const Stage &s, const Reducer &op, const void *x, int size, Cell *partial, Emit emit) {
  const char *base = static_cast<const char *>(x);
  const int64_t chunks = s.chunks(), total = s.outer * s.reduced * s.inner;
  if (s.inner == 1 && chunks <= 1) {
    const int64_t rows = kSerial / 2 / (s.reduced + 1) + 1;
    auto body = [&](int64_t tile, int) {
      for (int64_t o = tile * rows; o < s.outer && o < (tile + 1) * rows; o++)
        emit(o, op.chunk(base + o * s.outer_stride * size, s.reduced));
    };
    return spread(total, (s.outer + rows - 1) / rows, body);
  }
  if (s.inner == 1) {
    auto body = [&](int64_t tile, int) {
      const int64_t first = tile % chunks * kChunk, rest = s.reduced - first;
      partial[tile] = op.chunk(base + (tile / chunks * s.outer_stride + first) * size, rest < kChunk ? rest : kChunk);
    };
    spread(total, s.outer * chunks, body);
  } else {
    constexpr int64_t kWidest = 1024;
    const int64_t rows = s.reduced < kRowChunk ? s.reduced : kRowChunk;
    int64_t width = (kSerial / 2 / (rows + 1) + kStrip) / kStrip * kStrip;  // columns of a tile
    if (width > kWidest) width = kWidest;
    const int64_t strips = (s.inner + width - 1) / width;
    auto body = [&](int64_t tile, int) {
      const int64_t begin = tile % strips * width, n = begin + width < s.inner ? width : s.inner - begin;
      const int64_t chunk = tile / strips % chunks, o = tile / strips / chunks;
      const int64_t rest = s.reduced - chunk * kRowChunk, here = rest < kRowChunk ? rest : kRowChunk;
      Cell local[kWidest];
      Cell *to = chunks > 1 ? partial + (o * chunks + chunk) * s.inner + begin : local;
      op.columns(to, base + (o * s.outer_stride + chunk * kRowChunk * s.stride + begin) * size, here, s.stride, n);
      if (chunks <= 1)
        for (int64_t j = 0; j < n; j++) emit(o * s.inner + begin + j, local[j]);
    };
    spread(total, s.outer * chunks * strips, body);
    if (chunks <= 1) return;
  }
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t k = 0; k < s.inner; k++) {
      Cell w = partial[o * chunks * s.inner + k];
      for (int64_t c = 1; c < chunks; c++) w = op.combine(w, partial[(o * chunks + c) * s.inner + k]);
      emit(o * s.inner + k, w);
    }
}

// ---- ops
// ---------------------------------------------------------------------------------------------------------------

GP_FN int64_t wrapping_sum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
GP_FN int64_t wrapping_product(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
struct Sum {
  template <class C>
  static constexpr C first() {
    return C(0);
  }
  template <class T>
  static GP_FN T combine(T a, T b) {
    return a + b;
  }
  static GP_FN int64_t combine(int64_t a, int64_t b) { return wrapping_sum(a, b); }
};
struct Prod : Sum {
  template <class C>
  static constexpr C first() {
    return C(1);
  }
  template <class T>
  static GP_FN T combine(T a, T b) {
    return a * b;
  }
  static GP_FN int64_t combine(int64_t a, int64_t b) { return wrapping_product(a, b); }
};

template <class C>
GP_FN constexpr C lowest() {
  if constexpr (is_float<C>)
    return -static_cast<C>(__builtin_inff());
  else
    return INT64_MIN;
}
template <class C>
GP_FN constexpr C greatest() {
  if constexpr (is_float<C>)
    return static_cast<C>(__builtin_inff());
  else
    return INT64_MAX;
}
struct Max {
  template <class C>
  static constexpr C first() {
    return lowest<C>();
  }
  template <class S, int N>
  static GP_FN Vec<S, N> combine(Vec<S, N> a, Vec<S, N> b) {
    return max_nan(a, b);
  }
  template <class C>
  static GP_FN C combine(C a, C b) {
    return a > b || a != a ? a : b;
  }
};
struct Min : Max {
  template <class C>
  static constexpr C first() {
    return greatest<C>();
  }
  template <class S, int N>
  static GP_FN Vec<S, N> combine(Vec<S, N> a, Vec<S, N> b) {
    return min_nan(a, b);
  }
  template <class C>
  static GP_FN C combine(C a, C b) {
    return a < b || a != a ? a : b;
  }
};

// ---- writing the result ---------------------------------------------------------------------------------------------

template <class W>
GP_FN void put(const gp_view &y, int64_t i, W v) {
  switch (y.dtype) {
    case GP_F32:
      data<float>(y)[i] = static_cast<float>(v);
      break;
    case GP_F64:
      data<double>(y)[i] = static_cast<double>(v);
      break;
    case GP_F16:
      data<f16>(y)[i] = narrow_f16(static_cast<float>(v));
      break;
    case GP_BF16:
      data<bf16>(y)[i] = narrow_bf16(static_cast<float>(v));
      break;
    case GP_I64:
      data<int64_t>(y)[i] = static_cast<int64_t>(v);
      break;
    case GP_I32:
      data<int32_t>(y)[i] = static_cast<int32_t>(v);
      break;
    default:
      data<uint8_t>(y)[i] = static_cast<uint8_t>(v);
      break;
  }
}

// ---- from axes to stages --------------------------------------------------------------------------------------------

struct Group {
  int64_t n, stride;
  bool reduced;
};

struct ReducePlan {
  Group group[GP_MAX_DIMS + 2];
  int groups = 0, reductions = 0;
  bool packed = false;           // x must be copied into contiguous memory first
  int64_t numel = 1, count = 1;  // elements of x; elements reduced into one

  void add(int64_t n, int64_t stride, bool reduced, bool merge) {
    if (merge) {
      group[groups - 1].n *= n;
      group[groups - 1].stride = stride;
    } else {
      group[groups++] = {n, stride, reduced};
      reductions += reduced;
    }
  }
};

GP_INLINE bool is_reduced(const int64_t *dims, int n, int d) {
  for (int i = 0; i < n; i++)
    if (dims[i] == d) return true;
  return false;
}

// Returns false when x's strides do not allow its axes to be grouped.
GP_INLINE bool group_axes(ReducePlan &p, const gp_view &x, const int64_t *dims, int n_dims, bool contiguous) {
  p = ReducePlan();
  int64_t dense[GP_MAX_DIMS], step = 1;
  for (int d = x.ndim - 1; d >= 0; step *= x.shape[d--]) dense[d] = step;
  for (int d = 0; d < x.ndim; d++) {
    const bool reduced = is_reduced(dims, n_dims, d);
    p.numel *= x.shape[d];
    if (reduced) p.count *= x.shape[d];
    if (x.shape[d] == 1) continue;
    const int64_t stride = contiguous ? dense[d] : x.stride[d];
    const bool same = p.groups > 0 && p.group[p.groups - 1].reduced == reduced;
    if (same && p.group[p.groups - 1].stride != stride * x.shape[d]) return false;
    p.add(x.shape[d], stride, reduced, same);
  }
  if (p.reductions == 0) p.add(1, 1, true, false);
  return contiguous || is_contiguous(x) || (p.group[p.groups - 1].stride == 1 && p.reductions == 1 && p.groups <= 3);
}
// `packed`: x will be copied in any case.
GP_INLINE ReducePlan plan_reduction(const gp_view &x, const int64_t *dims, int n_dims, bool packed) {
  ReducePlan p;
  if (!packed && group_axes(p, x, dims, n_dims, false)) return p;
  group_axes(p, x, dims, n_dims, true);
  p.packed = true;
  return p;
}

// The last reduced group as a stage over what stands before and after it.
GP_INLINE Stage last_stage(const ReducePlan &p) {
  int r = p.groups - 1;
  while (!p.group[r].reduced) r--;
  Stage s{1, p.group[r].n, 1, 0, p.group[r].stride};
  for (int i = 0; i < r; i++) s.outer *= p.group[i].n;
  for (int i = r + 1; i < p.groups; i++) s.inner *= p.group[i].n;
  s.outer_stride = r > 0 ? p.group[r - 1].stride : 0;
  return s;
}

// What is left after that stage: contiguous, one reduced group less.
GP_INLINE ReducePlan after_stage(const ReducePlan &p) {
  int r = p.groups - 1;
  while (!p.group[r].reduced) r--;
  ReducePlan q;
  q.numel = p.numel / p.group[r].n;
  for (int i = 0; i < p.groups; i++) {
    if (i == r) continue;
    const bool same = q.groups > 0 && q.group[q.groups - 1].reduced == p.group[i].reduced;
    q.add(p.group[i].n, 0, p.group[i].reduced, same);
  }
  int64_t step = 1;
  for (int i = q.groups - 1; i >= 0; step *= q.group[i--].n) q.group[i].stride = step;
  return q;
}

GP_INLINE size_t aligned(size_t bytes) { return (bytes + 63) & ~size_t{63}; }

// Scratch: the packed copy, two buffers for the results of stages, partial results.
struct ReduceScratch {
  size_t copy = 0, stage = 0, partial = 0;
  size_t bytes() const { return copy + 2 * stage + partial; }
};
GP_INLINE ReduceScratch reduce_scratch(const gp_view &x, ReducePlan p) {
  ReduceScratch w;
  if (p.numel == 0) return w;
  if (p.packed) w.copy = aligned(static_cast<size_t>(p.numel * size_of(x.dtype)));
  for (;; p = after_stage(p)) {
    const Stage s = last_stage(p);
    const size_t partial = aligned(static_cast<size_t>(s.partials()) * 8);
    if (partial > w.partial) w.partial = partial;
    if (p.reductions <= 1) return w;
    const size_t stage = aligned(static_cast<size_t>(s.outer * s.inner) * 8);
    if (stage > w.stage) w.stage = stage;
  }
}

}  // namespace
}  // namespace gp::GP_ISA
