// What the recurrent kernels share. The units are cut into parts; a step is, for each part, the product of all rows
// with the part's columns of the weight, which a thread keeps in its L2 for the whole sequence, and one pass over the
// gates. A step begins when all parts of the one before are done; each thread takes its own parts first, then those
// that nobody took, so that a late thread holds up nobody. A cell (lstm.cpp, gru.cpp, rnn.cpp) is the arithmetic of
// some units of one row of one step. Batches with rows enough for all threads, and small problems, are cut into rows
// instead, which need not wait for each other.
//
// Bits: an element is one chain of multiply-adds however units and rows are cut. bf16 in pairs: gemm/README.md, "Bits".
//
// Behind its length a row keeps its state, and its gates get no gradient.
#pragma once
#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif

#include "../gemm/gemm.h"
#include "recurrent_operand.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kFewRows = 8, kRows = 16, kManyRows = 96;  // of a group: of little to do, cut by rows, cut by units
constexpr int64_t kMostParts = 8, kPartMacs = 64 * 1024;

struct Sequence {
  int64_t steps, batch, hidden;
  bool reverse;
  const int64_t *lengths;  // per row, or null

  int64_t at(int64_t i) const { return reverse ? steps - 1 - i : i; }
  bool live(int64_t row, int64_t step) const { return lengths == nullptr || step < lengths[row]; }
  // Rows of scratch lie apart by whole cache lines, but not by pages: those would evict each other.
  static int64_t pad(int64_t n) { return (n + 15) / 16 * 16 + 16; }
};

// `y`: [steps, batch, hidden]; `lengths`: its position among the inputs.
GP_FN Sequence sequence_of(const gp_call *call, const gp_view &y, int lengths, bool reverse) {
  return {y.shape[0], y.shape[1], y.shape[2], reverse, has(call, lengths) ? data<int64_t>(in(call, lengths)) : nullptr};
}

// Units [j0, j1) of one part.
struct Units {
  int64_t j0, j1;
  int64_t count() const { return j1 - j0; }
};

// body(j, k) for the vectors of some units. k is a constant of its type but at the end: a cell is inlined for whole
// vectors, so that its constants stay in registers from one to the next.
template <class V, class F>
GP_FN void each_unit(Units u, F body) {
  constexpr std::integral_constant<int64_t, V::lanes> kWhole;
  int64_t j = u.j0;
  for (; j + V::lanes <= u.j1; j += V::lanes) body(j, kWhole);
  if (j < u.j1) body(j, u.j1 - j);
}

// What the next step writes and this call does not read again goes past the caches once it is too large for them, and
// leaves them to the panel.
constexpr int64_t kStreamBytes = 1024 * 1024;
template <class T>
GP_INLINE bool is_streamed(int64_t elements) {
  return elements * static_cast<int64_t>(sizeof(T)) > kStreamBytes;
}
template <class T, class V>
GP_FN void put_past(bool streamed, T *p, V v, int64_t k) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) * V::lanes == 64 && sizeof(T) == sizeof(typename V::Scalar)) {
    if (streamed && k == V::lanes && reinterpret_cast<uintptr_t>(p) % 64 == 0)
      return _mm512_stream_si512(reinterpret_cast<__m512i *>(p), (__m512i)v.v);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) * V::lanes == 32 && sizeof(T) == sizeof(typename V::Scalar)) {
    if (streamed && k == V::lanes && reinterpret_cast<uintptr_t>(p) % 32 == 0)
      return _mm256_stream_si256(reinterpret_cast<__m256i *>(p), (__m256i)v.v);
  }
#endif
  (void)streamed;
  put(p, v, k);
}
GP_INLINE void end_stream() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// What a cell reads of a row: `runs` runs of all units, each `bytes` per unit, one after the other.
struct Read {
  const void *from;
  int64_t runs, bytes;
};

// The lines of some units of `rows` rows, as far as the list goes, to be prefetched beside `tiles` register tiles.
struct Lines {
  static constexpr int64_t kMost = 1024;
  const void *line[kMost];
  PanelAhead aim(const Read &read, const Sequence &s, Units u, int64_t rows, int64_t tiles) {
    int64_t count = 0;
    const uintptr_t bytes = static_cast<uintptr_t>(u.count() * read.bytes);
    for (int64_t i = 0; i < rows * read.runs; i++) {
      const uintptr_t begin =
          reinterpret_cast<uintptr_t>(read.from) + static_cast<uintptr_t>((i * s.hidden + u.j0) * read.bytes);
      for (uintptr_t at = begin & ~uintptr_t{63}; at < begin + bytes && count < kMost; at += 64)
        line[count++] = reinterpret_cast<const void *>(at);
    }
    return {line, count, tiles < 1 ? count : (count + tiles - 1) / tiles};
  }
};

// How a sequence is cut: groups of rows, one after the other where there are several parts, side by side where there is
// one. A part is a number of whole strips of the panel. Groups side by side need not wait for each other, so they are
// preferred where there are enough for all threads.
struct Cut {
  int64_t hidden, strip, strips, parts, groups, rows;

  // `few`: rows of a group that is not cut by units, or 0 to cut by units if there is enough to do.
  Cut(const Sequence &s, int64_t gates, size_t wide, int64_t few) : hidden(s.hidden) {
    strips = panel_strips(s.hidden, wide);
    strip = strips == 0 ? 1 : panel_size(1, s.hidden, wide) / strips;
    groups = (s.batch + kManyRows - 1) / kManyRows;
    rows = groups == 0 ? 0 : (s.batch + groups - 1) / groups;
    const int64_t most = strips < kMostParts ? strips : kMostParts;
    parts = rows * gates * s.hidden * s.hidden / kPartMacs;
    if (parts > most) parts = most;
    if (parts > 1 && few == 0) return;
    parts = 1;
    if (few == 0) few = kFewRows;
    groups = (s.batch + few - 1) / few;
    rows = groups == 0 ? 0 : (s.batch + groups - 1) / groups;
  }
  Cut(const Sequence &s, int64_t gates, size_t wide)
      : Cut(s, gates, wide, s.batch > kFewRows * (2 * thread_count() - 1) ? kRows : 0) {}
  Units units(int64_t part) const {
    const int64_t j0 = part * strips / parts * strip, j1 = (part + 1) * strips / parts * strip;
    return {j0 < hidden ? j0 : hidden, j1 < hidden ? j1 : hidden};
  }
  int64_t width() const { return (strips + parts - 1) / parts * strip; }  // of the widest part
  int64_t rows_of(const Sequence &s, int64_t group) const {
    const int64_t left = s.batch - group * rows;
    return left < rows ? left : rows;
  }
};

// Scratch in elements of the wide type: the panel, a line of counters per round of every group, then the groups'.
struct Scratch {
  int64_t panel, counters, group;
  int64_t total(const Cut &cut) const { return panel + counters + group * cut.groups; }
};

constexpr int64_t kCounterBytes = 64;
GP_FN int64_t counters_of(const Cut &cut, int64_t rounds, size_t wide) {
  return cut.parts == 1 ? 0 : cut.groups * rounds * kCounterBytes / static_cast<int64_t>(wide);
}
// Per group: the state and the cell's own `extra` states, the operands before and behind a step, each part's products.
GP_FN Scratch forward_scratch(const Sequence &s, const Cut &cut, int64_t gates, int extra, size_t wide) {
  return {gates * panel_size(s.hidden, s.hidden, wide), counters_of(cut, s.steps, wide),
          cut.rows * ((3 + extra) * Sequence::pad(s.hidden) + cut.parts * gates * cut.width())};
}
// Per group: the gradient of the state, the cell's own states, the operands (gradients of the gates) of two steps, each
// part's products.
GP_FN Scratch backward_scratch(const Sequence &s, const Cut &cut, int64_t gates, int extra, size_t wide) {
  return {panel_size(gates * s.hidden, s.hidden, wide), counters_of(cut, s.steps + 1, wide),
          cut.rows *
              ((1 + extra) * Sequence::pad(s.hidden) + 2 * Sequence::pad(gates * s.hidden) + cut.parts * cut.width())};
}

// Bytes of scratch: however it is cut, since the number of threads may change before the call runs.
template <class F>
GP_FN size_t most_scratch(const Sequence &s, int64_t gates, size_t wide, F scratch) {
  int64_t most = 0;
  for (const int64_t few : {int64_t{0}, kRows}) {
    const Cut cut(s, gates, wide, few);
    const int64_t size = scratch(cut).total(cut);
    most = size > most ? size : most;
  }
  return wide * static_cast<size_t>(most);
}
GP_FN size_t forward_bytes(const Sequence &s, int64_t gates, int extra, size_t wide) {
  return most_scratch(s, gates, wide, [&](const Cut &cut) { return forward_scratch(s, cut, gates, extra, wide); });
}
GP_FN size_t backward_bytes(const Sequence &s, int64_t gates, int extra, size_t wide) {
  return most_scratch(s, gates, wide, [&](const Cut &cut) { return backward_scratch(s, cut, gates, extra, wide); });
}

// `gates` panels one after the other: gate g is rows [g n, (g + 1) n) of the weight turned around; or, with gates 1,
// the whole weight as it stands.
template <class P>
GP_FN void pack_weight(typename P::Packed *panel, const gp_view &weight, int64_t gates, int64_t row, int64_t col,
                       int64_t k, int64_t n) {
  constexpr size_t kBytes = sizeof(typename P::Packed);
  const int64_t strips = panel_strips(n, kBytes), elements = panel_size(P::depth(k), n, kBytes);
  const int64_t bytes = weight.dtype == GP_F64 ? 8 : weight.dtype == GP_F32 ? 4 : 2;
  ranges(gates * strips, 1 + 16384 * strips / (1 + elements), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t gate = i / strips;
      pack_panel(panel + gate * elements, static_cast<const char *>(weight.data) + gate * n * col * bytes, weight.dtype,
                 row, col, k, n, i % strips);
    }
  });
}

template <class To, class From>
GP_FN void copy_units(To *to, const From *from, Units u) {
  using V = Compute<To>;
  each_unit<V>(
      u, [&](int64_t j, auto k) __attribute__((always_inline)) { put(to + j, get<V>(from + j, k), k); });
}
template <class To, class From>
GP_FN void copy_row(To *to, const From *from, int64_t n) {
  copy_units(to, from, Units{0, n});
}

// The units of each of `gates` runs of n.
template <class T>
GP_FN void clear_units(T *to, int64_t gates, int64_t n, Units u) {
  for (int64_t g = 0; g < gates; g++) memset(to + g * n + u.j0, 0, static_cast<size_t>(u.count()) * sizeof(T));
}

// The n-th turn of waiting for another thread of the region.
GP_INLINE void relax(int64_t n) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
#if defined(__unix__) || defined(__APPLE__)
  if (n > 1000 && n % 16 == 0) sched_yield();
#endif
  (void)n;
}

// body(group, round, part) for all rounds of all groups: a round of a group begins when the one before is done. A part
// that is taken is run by a thread that exists, so waiting for it ends.
template <class F>
void run_rounds(const Cut &cut, int64_t rounds, void *counters, const F &body) {
  if (cut.parts == 1) {
    return tiles(cut.groups, [&](int64_t group, int) {
      for (int64_t round = 0; round < rounds; round++) body(group, round, int64_t{0});
    });
  }
  const int64_t lines = cut.groups * rounds, threads = thread_count();
  memset(counters, 0, static_cast<size_t>(lines * kCounterBytes));
  tiles(threads < cut.parts ? threads : cut.parts, [&](int64_t tile, int slot) {
    (void)tile;
    const int64_t own = slot * cut.parts / threads;
    for (int64_t i = 0; i < lines; i++) {
      uint32_t *taken = reinterpret_cast<uint32_t *>(static_cast<char *>(counters) + i * kCounterBytes);
      uint32_t *done = taken + 1;
      for (int64_t k = 0; k < cut.parts; k++) {
        const int64_t part = (own + k) % cut.parts;
        const uint32_t bit = 1u << part;
        if ((__atomic_load_n(taken, __ATOMIC_RELAXED) & bit) != 0) continue;
        if ((__atomic_fetch_or(taken, bit, __ATOMIC_ACQ_REL) & bit) != 0) continue;
        body(i / rounds, i % rounds, part);
        __atomic_fetch_add(done, 1u, __ATOMIC_ACQ_REL);
      }
      for (int64_t n = 1; __atomic_load_n(done, __ATOMIC_ACQUIRE) < static_cast<uint32_t>(cut.parts); n++) relax(n);
    }
  });
}

// Products of some units: that of gate g and unit j stands at at(g, j).
template <class W>
struct Products {
  const W *data;
  int64_t width, j0;
  GP_FN const W *at(int64_t gate, int64_t j) const { return data + gate * width + j - j0; }
};

// cell.begin(row, state, extra): the state before the first step; cell.reads(step, row); cell.step(units, step, row,
// products, state, extra): one step, which stores what it makes; cell.hold(units, step, row, state, extra): the same
// behind the row's length; cell.end(row, state, extra).
template <int kGates, class P, class Cell>
void walk_forward(P, const Sequence &s, const gp_view &weight, typename P::Wide *work, const Cell &cell) {
  using W = typename P::Wide;
  using V = Compute<typename P::Type>;
  using Operand = typename P::Operand;
  const int64_t ld = Sequence::pad(s.hidden), depth = P::depth(s.hidden);
  const Cut cut(s, kGates, sizeof(W));
  const Scratch size = forward_scratch(s, cut, kGates, Cell::kExtra, sizeof(W));
  const int64_t states = cut.rows * ld, gate = panel_size(depth, s.hidden, sizeof(W));
  typename P::Packed *const panel = reinterpret_cast<typename P::Packed *>(work);
  pack_weight<P>(panel, weight, kGates, 1, s.hidden, s.hidden, s.hidden);
  W *const base = work + size.panel + size.counters;
  auto state_of = [&](int64_t row) { return base + row / cut.rows * size.group + row % cut.rows * ld; };
  auto extra_of = [&](int64_t row) { return state_of(row) + states; };
  auto operand_of = [&](int64_t row, int64_t round) {
    W *const group = base + row / cut.rows * size.group + (1 + Cell::kExtra + round % 2) * states;
    return reinterpret_cast<Operand *>(group) + row % cut.rows * ld;
  };
  auto leave = [&](Units u, int64_t row, int64_t round) {
    const W *state = state_of(row);
    Operand *to = operand_of(row, round);
    each_unit<V>(
        u, [&](int64_t j, auto k) __attribute__((always_inline)) { P::put_operand(to + j, get<V>(state + j, k), k); });
  };
  for (int64_t r = 0; r < s.batch; r++) {
    cell.begin(r, state_of(r), extra_of(r));
    leave({0, s.hidden}, r, 0);
    for (int64_t round = 0; round < 2; round++) P::end_row(operand_of(r, round), s.hidden);
  }
  run_rounds(cut, s.steps, work + size.panel, [&](int64_t group, int64_t round, int64_t part) {
    const int64_t step = s.at(round), first = group * cut.rows, rows = cut.rows_of(s, group), width = cut.width();
    const Units u = cut.units(part);
    W *products = base + group * size.group + (3 + Cell::kExtra) * states + part * cut.rows * kGates * width;
    Lines lines;
    const int64_t register_tiles = kGates * panel_tiles(rows, depth, u.count(), sizeof(W));
    PanelAhead ahead = lines.aim(cell.reads(step, first), s, u, rows, register_tiles * 3 / 4);
    for (int64_t g = 0; g < kGates; g++)
      P::multiply(products + g * width, kGates * width, operand_of(first, round), ld, rows,
                  panel + g * gate + u.j0 * depth, s.hidden, u.count(), &ahead);
    for (int64_t r = first; r < first + rows; r++) {
      if (s.live(r, step)) {
        cell.step(u, step, r, Products<W>{products + (r - first) * kGates * width, width, u.j0}, state_of(r),
                  extra_of(r));
      } else {
        cell.hold(u, step, r, state_of(r), extra_of(r));
      }
      leave(u, r, round + 1);
    }
    end_stream();
  });
  for (int64_t r = 0; r < s.batch; r++) cell.end(r, state_of(r), extra_of(r));
}

template <int kGates, class T, class Cell>
void run_forward(const Sequence &s, const gp_view &weight, WideOf<T> *work, const Cell &cell) {
  with_operands<T>([&](auto operands) { walk_forward<kGates>(operands, s, weight, work, cell); });
}

// cell.begin(row, dh, extra); cell.reads(step, row); cell.back(units, step, before, row, dh, dproducts, extra): from dh
// (without dy) the gradients of the gates, stored, and of the recurrent product, an OperandRow; what reaches the state
// before on a direct way stays in dh. `before` is the step whose state went in, or -1. cell.hold(units, step, row, dh):
// adds dy alone; cell.end(row, dh, extra).
template <int kGates, class P, class Cell>
void walk_backward(P, const Sequence &s, const gp_view &weight, typename P::Wide *work, const Cell &cell) {
  using W = typename P::Wide;
  using V = Compute<typename P::Type>;
  using Operand = typename P::Operand;
  const int64_t n = kGates * s.hidden, ld = Sequence::pad(s.hidden), wide = Sequence::pad(n), depth = P::depth(n);
  const Cut cut(s, kGates, sizeof(W));
  const Scratch size = backward_scratch(s, cut, kGates, Cell::kExtra, sizeof(W));
  const int64_t states = cut.rows * ld, operands = cut.rows * wide;
  typename P::Packed *const panel = reinterpret_cast<typename P::Packed *>(work);
  pack_weight<P>(panel, weight, 1, s.hidden, 1, n, s.hidden);
  W *const base = work + size.panel + size.counters;
  auto state_of = [&](int64_t row) { return base + row / cut.rows * size.group + row % cut.rows * ld; };
  auto extra_of = [&](int64_t row) { return state_of(row) + states; };
  auto operand_of = [&](int64_t row, int64_t round) {
    W *const group = base + row / cut.rows * size.group + (1 + Cell::kExtra) * states + round % 2 * operands;
    return reinterpret_cast<Operand *>(group) + row % cut.rows * wide;
  };
  for (int64_t r = 0; r < s.batch; r++) {
    cell.begin(r, state_of(r), extra_of(r));
    for (int64_t round = 0; round < 2; round++) P::end_row(operand_of(r, round), n);
  }
  // Round i: what the gates of step i - 1 (counted from the end) send back, then the gates of step i.
  run_rounds(cut, s.steps + 1, work + size.panel, [&](int64_t group, int64_t round, int64_t part) {
    const int64_t first = group * cut.rows, rows = cut.rows_of(s, group), width = cut.width();
    const Units u = cut.units(part);
    const int64_t i = s.steps - 1 - round, step = s.at(i < 0 ? 0 : i), before = i <= 0 ? -1 : s.at(i - 1);
    if (round > 0) {
      Lines lines;
      PanelAhead ahead = {nullptr, 0, 0};
      if (i >= 0)
        ahead = lines.aim(cell.reads(step, first), s, u, rows, panel_tiles(rows, depth, u.count(), sizeof(W)) * 3 / 4);
      W *through = base + group * size.group + (1 + Cell::kExtra) * states + 2 * operands + part * cut.rows * width;
      P::multiply(through, width, operand_of(first, round - 1), wide, rows, panel + u.j0 * depth, n, u.count(), &ahead);
      for (int64_t r = 0; r < rows; r++) {
        W *dh = state_of(first + r);
        const W *add = through + r * width;
        each_unit<V>(
            u, [&](int64_t j, auto k)
                   __attribute__((always_inline)) { put(dh + j, get<V>(dh + j, k) + get<V>(add + j - u.j0, k), k); });
      }
    }
    if (i < 0) return;
    for (int64_t r = first; r < first + rows; r++) {
      Operand *operand = operand_of(r, round);
      if (s.live(r, step)) {
        cell.back(u, step, before, r, state_of(r), OperandRow<P>{operand}, extra_of(r));
      } else {
        clear_units(operand, kGates, s.hidden, u);
        cell.hold(u, step, r, state_of(r));
      }
    }
    end_stream();
  });
  for (int64_t r = 0; r < s.batch; r++) cell.end(r, state_of(r), extra_of(r));
}

template <int kGates, class T, class Cell>
void run_backward(const Sequence &s, const gp_view &weight, WideOf<T> *work, const Cell &cell) {
  with_operands<T>([&](auto operands) { walk_backward<kGates>(operands, s, weight, work, cell); });
}

// dweight[n, hidden] = Σ over steps and rows of dproductsᵀ · the state that went in: y of the step before, or h0.
struct WeightGradient {
  GemmArgs rest, first;
};

GP_FN WeightGradient weight_gradient(const Sequence &s, int32_t dtype, size_t bytes, void *dproducts, int64_t n,
                                     const gp_view &y, const gp_view &h0, const gp_view &dweight) {
  auto bytes_at = [bytes](void *p, int64_t elements) { return static_cast<char *>(p) + elements * (int64_t)bytes; };
  const int64_t per_step = s.batch * n, state = s.batch * s.hidden;
  WeightGradient g;
  g.rest = gemm_args(dtype, n, s.hidden, (s.steps - 1) * s.batch);
  g.rest.a = gemm_matrix(bytes_at(dproducts, s.reverse ? 0 : per_step), 1, n);
  g.rest.b = gemm_matrix(bytes_at(y.data, s.reverse ? state : 0), s.hidden, 1);
  g.rest.c = gemm_matrix(dweight.data, s.hidden, 1);
  g.first = gemm_args(dtype, n, s.hidden, s.batch);
  g.first.a = gemm_matrix(bytes_at(dproducts, s.at(0) * per_step), 1, n);
  g.first.b = gemm_matrix(h0.data, s.hidden, 1);
  g.first.c = g.rest.c;
  g.first.accumulate = s.steps > 1;
  return g;
}

GP_FN size_t weight_gradient_workspace(const WeightGradient &g, const Sequence &s) {
  const size_t first = gemm_workspace(g.first), rest = s.steps > 1 ? gemm_workspace(g.rest) : 0;
  return first > rest ? first : rest;
}

GP_FN int32_t run_weight_gradient(const WeightGradient &g, const Sequence &s, void *work, size_t size) {
  if (s.steps > 1) {
    const int32_t code = gemm(g.rest, work, size);
    if (code != GP_OK) return code;
  }
  return gemm(g.first, work, size);
}

GP_FN size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace
}  // namespace gp::GP_ISA
