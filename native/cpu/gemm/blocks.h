// Packing blocks of an operand: for one tile, or by all threads for all of them.
#pragma once
#include "ahead.h"
#include "operands.h"

namespace gp::GP_ISA {
namespace {

// Rows [first, first + count) are cut into strips of nearly equal height, never more than kTileRows.
struct Strips {
  int64_t first, count, strips;
  int64_t begin(int64_t strip) const { return strip * count / strips; }  // relative to first
};

GP_INLINE Strips strips(int64_t first, int64_t count) { return Strips{first, count, ceil_div(count, kTileRows)}; }

template <class F>
GP_INLINE void run(bool serial, int64_t count, const F &body) {
  if (!serial) return tiles(count, body);
  for (int64_t i = 0; i < count; i++) body(i, 0);
}

// Packs rows [d0, d1) of the block [k, k + depth) of columns [j0, j1) of B, strip after strip. Where columns run along
// memory it goes a few rows at a time through all strips: one strip's rows lie a page apart, and every row would wait
// for memory.
template <class P>
void pack_block(const Operands<P> &o, int64_t k, int64_t depth, int64_t d0, int64_t d1, int64_t j0, int64_t j1,
                typename P::Packed *to) {
  constexpr int N = Vec<typename P::Sum>::N, NR = N * kTileVectors;
  const int64_t units = P::units(depth), step = o.b_col == 1 ? 16 : d1 - d0;
  for (int64_t d = d0; d < d1; d += step) {
    if (step < d1 - d0) {
      Ahead rows;
      rows.aim(o.b + (k + d + step) * o.b_row + j0, step, (j1 - j0) * static_cast<int64_t>(sizeof(*o.b)),
               o.b_row * static_cast<int64_t>(sizeof(*o.b)), 1);
      rows.now();
    }
    for (int64_t j = j0; j < j1; j += NR) {
      const int count = static_cast<int>(min64(NR, j1 - j)), width = static_cast<int>(round_up(count, N));
      P::pack(to + (j - j0) * units + P::units(d) * width, width, o.b + (k + d) * o.b_row + j * o.b_col, o.b_col,
              o.b_row, min64(step, d1 - d), count);
    }
  }
}

// Packs columns [d0, d1) of the block [k, k + depth) of the strips [s0, s1) of A. Where rows stand side by side it goes
// a few k at a time through all strips, as above.
template <class P>
void pack_rows(const Operands<P> &o, const Strips &block, int64_t s0, int64_t s1, int64_t k, int64_t depth, int64_t d0,
               int64_t d1, typename P::Packed *to) {
  constexpr int64_t kOperand = sizeof(typename P::Type);
  const bool along = o.a_row == 1;
  const int64_t units = P::units(depth), step = along ? 32 : d1 - d0, first = block.begin(s0);
  for (int64_t d = d0; d < d1; d += step) {
    const typename P::Type *from = o.a + block.first * o.a_row + (k + d) * o.a_col;
    if (along) {
      Ahead next;
      next.aim(from + first + step * o.a_col, step, (block.begin(s1) - first) * kOperand, o.a_col * kOperand, 1);
      next.now();
    }
    for (int64_t s = s0; s < s1; s++) {
      const int64_t r = block.begin(s);
      const int rows = static_cast<int>(block.begin(s + 1) - r);
      P::pack(to + (r - first) * units + P::units(d) * rows, rows, from + r * o.a_row, o.a_row, o.a_col,
              min64(step, d1 - d), rows);
    }
  }
}

// Parts of a block of an operand, each cut along its depth too where there are few: one thread would pack them alone.
struct Slices {
  static constexpr int64_t kTasks = 16, kLeastDepth = 32;
  int64_t parts, slices, depth;
  Slices(int64_t parts_, int64_t blocks, int64_t whole) : parts(parts_), slices(1), depth(whole) {
    if (parts == 0) return;
    slices = max64(1, min64(kTasks / (parts * blocks), whole / kLeastDepth));
    depth = round_up(ceil_div(whole, slices), 16);
  }
  int64_t tasks() const { return parts * slices; }
  int64_t part(int64_t task) const { return task % parts; }
  int64_t begin(int64_t task) const { return task / parts * depth; }
};

// Packs what the tiles share for one chunk, for each block of K all strips one after the other: rows `block` of A, all
// of B.
template <class P>
void pack_shared(const Plan &plan, const Operands<P> &o, const Strips &block, int64_t n, int64_t k0, int64_t k1,
                 typename P::Packed *a, typename P::Packed *b, bool serial) {
  constexpr int64_t kColumns = 4 * Vec<typename P::Sum>::N * kTileVectors;
  const int64_t blocks = ceil_div(k1 - k0, plan.depth), per_task = o.a_row == 1 ? 8 : 4;
  const Slices slices_a(plan.shared_a > 0 ? ceil_div(block.strips, per_task) : 0, blocks, plan.depth);
  const Slices slices_b(plan.share_b ? ceil_div(n, kColumns) : 0, blocks, plan.depth);
  const int64_t groups = slices_a.tasks() + slices_b.tasks();
  if (groups == 0) return;
  auto body = [&](int64_t task, int) {
    const int64_t k = k0 + task / groups * plan.depth, depth = min64(plan.depth, k1 - k), units = P::units(depth);
    const int64_t group = task % groups;
    if (group >= slices_a.tasks()) {
      const int64_t j = slices_b.part(group - slices_a.tasks()) * kColumns,
                    d = slices_b.begin(group - slices_a.tasks());
      return pack_block<P>(o, k, depth, d, min64(depth, d + slices_b.depth), j, min64(n, j + kColumns),
                           b + plan.tile_cols * P::units(k - k0) + j * units);
    }
    const int64_t s0 = slices_a.part(group) * per_task, s1 = min64(block.strips, s0 + per_task);
    const int64_t d = slices_a.begin(group);
    pack_rows<P>(o, block, s0, s1, k, depth, d, min64(depth, d + slices_a.depth),
                 a + block.count * P::units(k - k0) + block.begin(s0) * units);
  };
  run(serial, blocks * groups, body);
}

}  // namespace
}  // namespace gp::GP_ISA
