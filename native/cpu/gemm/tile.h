// One tile of a product: blocks of K one after the other, within each the groups of columns whose panels of B stay in
// L2, the strips of A that pass them, and register tiles.
#pragma once
#include "ahead.h"
#include "blocks.h"
#include "turned.h"

namespace gp::GP_ISA {
namespace {

template <class P>
struct Tile {
  Strips block;                        // the rows that `packed` counts from
  int64_t strip0, strip1;              // of the block
  int64_t j0, j1, cols;                // of C: cols
  int64_t k0, k1;                      // one span of a chunk
  bool opens, closes;                  // the chunk
  bool first, last;                    // chunk of K
  const typename P::Packed *packed;    // shared A of this span, or null
  const typename P::Packed *packed_b;  // shared B of this span, or null
  typename P::Sum *totals;  // where finished chunks are added up, at the tile's corner; C when the plan is plain
  int64_t totals_row;
  char *scratch;
  int64_t next_i, next_j0;  // where this thread's next tile probably begins; next_j0 >= cols: there is none
};

// to = total + chunk
template <class Sum>
void add_tile(const Sum *chunk, int64_t chunk_row, const Sum *total, int64_t total_row, int rows, int cols, Sum *to,
              int64_t to_row) {
  constexpr int N = Vec<Sum>::N;
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < cols; j += N) {
      const int n = clamp_lanes(cols - j, N);
      storen(to + i * to_row + j, loadn(total + i * total_row + j, n) + loadn(chunk + i * chunk_row + j, n), n);
    }
  }
}

// What micro-kernels are handed. Apart from TileRun, which the compiler may keep in registers as nobody else sees it.
template <class P>
struct Handed {
  MicroJob<typename P::Sum, typename P::Packed> job{};
  // A micro-kernel's prefetches, one per kFetchSteps steps; where there is nothing to fetch, something at hand.
  const void *fetches[P::kDepth / kFetchSteps + 1];
  alignas(64) typename P::Sum corner[kTileRows * Vec<typename P::Sum>::N * kTileVectors];
};

template <class P>
struct TileRun {
  using Sum = typename P::Sum;
  using Type = typename P::Type;
  using TypeB = typename P::TypeB;
  using Packed = typename P::Packed;
  static constexpr int N = Vec<Sum>::N, NR = N * kTileVectors;
  static constexpr int64_t kOperand = sizeof(Type), kB = sizeof(TypeB);

  TileRun(const Plan &plan_, const Operands<P> &o_, const Tile<P> &t_, Handed<P> &handed)
      : plan(plan_), o(o_), t(t_), job(handed.job), fetches(handed.fetches), corner(handed.corner) {
    own_a = reinterpret_cast<Packed *>(t.scratch);
    own_b = reinterpret_cast<Packed *>(t.scratch + plan.slot_a);
    own_sums = reinterpret_cast<Sum *>(t.scratch + plan.slot_a + plan.slot_b);
    row0 = t.block.begin(t.strip0);
    tile_rows = t.block.begin(t.strip1) - row0;
    strips = t.strip1 - t.strip0;
    col_tiles = ceil_div(t.j1 - t.j0, NR);
    job.fetch = fetches;
  }

  void run() {
    k = t.k0;
    do {
      begin_block();
      const int64_t width = plan.group * NR;
      for (int64_t group = t.j0; group < t.j1; group += width) {
        const int64_t end = min64(t.j1, group + width);
        if (plan.stream_b) fetch_group(end, width);
        for (int64_t s = t.strip0; s < t.strip1; s++) run_strip(s, group, end);
      }
      k += depth;
    } while (k < t.k1);
    if (plan.turned)
      finish_turned(o.finish, own_sums, plan.tile_cols, tile_rows, t.j1 - t.j0, t.block.first + row0, t.j0);
  }

  // The block of K from `k`: how it is read, its operands packed, and what comes after it aimed at.
  GP_INLINE void begin_block() {
    depth = min64(plan.depth, t.k1 - k);
    units = P::units(depth);
    const bool ends = k + depth >= t.k1;  // the span, and this tile with it
    opening = t.opens && k == t.k0;
    closing = t.closes && ends;
    pack_a = plan.pack_a || depth % kElements<Packed> != 0;
    rows_of_a = !pack_a && o.a_col == 1;
    // Who reads an operand first copies it for the others.
    const bool tall = P::kInPlace && t.block.count >= kTileRows;  // all strips are
    copy_a = tall && pack_a && t.packed == nullptr && o.a_row == 1 && t.j1 - t.j0 > NR;
    copy_b = tall && plan.pack_b && t.packed_b == nullptr && o.b_col == 1 && strips > 1;
    job.k = units;
    fetches_end = fetches + units / kFetchSteps;
    for (const void **rest = fetches; rest < fetches_end; rest++) *rest = &job;
    fetched = fetches;
    b = t.packed_b != nullptr ? t.packed_b + plan.tile_cols * P::units(k - t.k0) : own_b;
    if (plan.pack_b && t.packed_b == nullptr) {
      if (!copy_b) pack_block<P>(o, k, depth, 0, depth, t.j0, t.j1, own_b);
      if (plan.large) aim_at_b(ends ? t.k0 : k + depth, ends ? t.next_j0 : t.j0);
    }
    if (pack_a && t.packed == nullptr && !copy_a)
      pack_rows<P>(o, t.block, t.strip0, t.strip1, k, depth, 0, depth, own_a);
    if (plan.large && t.packed == nullptr && !(ends && t.next_j0 >= t.cols))
      aim_at_a(ends ? t.next_i : t.block.first + row0, ends ? t.k0 : k + depth);
    if (plan.turned && closing) {  // rows of C, which is written transposed
      const Finish<Type, Sum> &f = o.finish;
      const int64_t size = f.wide_c ? sizeof(Sum) : kOperand;
      next_c.aim(static_cast<const char *>(f.c) + (t.j0 * f.c_row + t.block.first + row0) * size, t.j1 - t.j0,
                 tile_rows * size, f.c_row * size, strips * col_tiles);
    }
  }

  // The next block's part of B, and of A.
  GP_INLINE void aim_at_b(int64_t next_k, int64_t next_j) {
    const TypeB *next = o.b + next_k * o.b_row + next_j * o.b_col;
    const int64_t columns = min64(t.j1 - t.j0, t.cols - next_j);
    if (o.b_col == 1) {
      next_b.aim(next, depth, columns * kB, o.b_row * kB, strips * col_tiles);
    } else if (o.b_row == 1) {
      next_b.aim(next, columns, depth * kB, o.b_col * kB, strips * col_tiles);
    }
  }
  GP_INLINE void aim_at_a(int64_t next_i, int64_t next_k) {
    const Type *next = o.a + next_i * o.a_row + next_k * o.a_col;
    if (o.a_col == 1) {
      next_a.aim(next, tile_rows, depth * kOperand, o.a_row * kOperand, strips * col_tiles);
    } else if (o.a_row == 1) {
      next_a.aim(next, depth, tile_rows * kOperand, o.a_col * kOperand, strips * col_tiles);
    }
  }

  // The group of streamed B after the one that ends there: of this block of K or of the next one, or the first of all.
  GP_INLINE void fetch_group(int64_t group_end, int64_t width) {
    const bool same = group_end < t.j1;
    const int64_t next_j = same ? group_end : t.j0, next_k = same ? k : k + depth >= t.k1 ? t.k0 : k + depth;
    const int64_t next_units = P::units(min64(plan.depth, t.k1 - next_k));
    const int64_t bytes = min64(width, t.j1 - next_j) * next_units * static_cast<int64_t>(sizeof(Packed));
    next_b.aim(t.packed_b + plan.tile_cols * P::units(next_k - t.k0) + (next_j - t.j0) * next_units, 1, bytes, 0,
               strips * plan.group);
  }

  // Strip s over the columns of a group.
  GP_INLINE void run_strip(int64_t s, int64_t group, int64_t group_end) {
    r = t.block.begin(s);
    rows = static_cast<int>(t.block.begin(s + 1) - r);
    aim_job_at_a(group, group_end);
    for (int64_t j = group; j < group_end; j += NR) run_register_tile(s, j, group, group_end);
  }

  GP_INLINE void aim_job_at_a(int64_t group, int64_t group_end) {
    const int64_t i = t.block.first + r;
    if (pack_a) {
      job.a =
          t.packed != nullptr ? t.packed + t.block.count * P::units(k - t.k0) + r * units : own_a + (r - row0) * units;
      job.a_step = rows;
      const int64_t bytes = rows * units * static_cast<int64_t>(sizeof(Packed));
      if (plan.fetch_a) next_strip.aim(job.a + rows * units, 1, bytes, 0, ceil_div(group_end - group, NR));
    } else if constexpr (P::kRowsInPlace) {
      const Type *from = o.a + i * o.a_row + k * o.a_col;
      job.a = reinterpret_cast<const Packed *>(from);
      job.a_step = rows_of_a ? o.a_row : o.a_col;
      if (plan.copy_row > 0) {  // a copy side by side: rows whole pages apart evict each other
        if (group == t.j0)
          for (int x = 0; x < rows; x++)
            memcpy(own_a + (r - row0 + x) * plan.copy_row, from + x * o.a_row, static_cast<size_t>(depth * kOperand));
        job.a = own_a + (r - row0) * plan.copy_row;
        job.a_step = plan.copy_row * kElements<Packed>;
      }
    }
  }

  GP_INLINE void run_register_tile(int64_t s, int64_t j, int64_t group, int64_t group_end) {
    const int64_t i = t.block.first + r;
    const int cols = static_cast<int>(min64(NR, t.j1 - j)), vectors = (cols + N - 1) / N;
    job.last = cols - (vectors - 1) * N;
    if (plan.pack_b) {
      job.b = b + (j - t.j0) * units;
      job.b_row = vectors * N;
    } else if constexpr (P::kInPlace) {
      job.b = o.b + k * o.b_row + j;
      job.b_row = o.b_row;
    }
    int how = (rows_of_a ? kRowsOfA : kColumnsOfA) | (plan.pack_b ? kPackedB : kStridedB);
    if constexpr (P::kInPlace) {
      if (copy_a && j <= t.j0 + NR) {  // the first panel copies, the second turns to the copy
        const bool first = j == t.j0;
        job.copy_a = own_a + (r - row0) * units;
        job.a = first ? o.a + i + k * o.a_col : job.copy_a;
        job.a_step = first ? o.a_col : rows;
        if (first) how |= kCopyA;
      }
      if (copy_b && s == t.strip0) {
        job.copy_b = own_b + (j - t.j0) * units;
        job.b = o.b + k * o.b_row + j;
        job.b_row = o.b_row;
        how = (how & ~kPackedB) | kCopyB;
      }
    }
    // Where this chunk's chain lives between blocks of K.
    Sum *total = t.totals == nullptr ? nullptr : t.totals + (r - row0) * t.totals_row + (j - t.j0);
    const bool fold = !t.first, in_totals = !fold && total != nullptr;
    Sum *sums = in_totals ? total : own_sums + (r - row0) * plan.tile_cols + (j - t.j0);
    const int64_t sums_row = in_totals ? t.totals_row : plan.tile_cols;
    const bool finishes = closing && t.last && !plan.plain;
    const bool to_corner = closing && !plan.turned && !plan.adds && (fold || (t.last && !plan.plain));
    job.cin = opening ? nullptr : sums;
    job.cin_row = sums_row;
    job.cout = to_corner ? corner : sums;
    job.cout_row = to_corner ? NR : sums_row;
    if constexpr (P::kInPlace) {
      if (plan.adds && closing) {
        job.cout = static_cast<Sum *>(o.finish.c) + i * o.finish.c_row + j;
        job.cout_row = o.finish.c_row;
        job.plus = o.finish.addend + i * o.finish.addend_row + j;
        job.plus_row = o.finish.addend_row;
      }
    }
    if (finishes && !plan.turned) {  // the tile's place in C, which is written next
      const int64_t size = o.finish.wide_c ? sizeof(Sum) : kOperand;
      job.touch = static_cast<const char *>(o.finish.c) + (i * o.finish.c_row + j * o.finish.c_col) * size;
      job.touch_row = o.finish.c_row * size;
      job.touch_last = (cols - 1) * o.finish.c_col * size;
    } else {
      job.touch = job.cout;
      job.touch_row = job.cout_row * static_cast<int64_t>(sizeof(Sum));
      job.touch_last = cols * static_cast<int64_t>(sizeof(Sum)) - 1;
    }
    if (plan.large) list_fetches(j + NR < group_end ? sums + NR : sums + rows * sums_row - (j - group), sums_row);
    P::kernel(how, vectors, rows)(&job);
    if (!to_corner) return;
    if (fold)
      add_tile(corner, NR, total, t.totals_row, rows, cols, finishes ? corner : total, finishes ? NR : t.totals_row);
    if (finishes) finish_tile(o.finish, corner, NR, rows, cols, i, j);
  }

  // What the micro-kernel prefetches; `next_sums`: the next tile's, for which its first product would wait.
  GP_INLINE void list_fetches(const Sum *next_sums, int64_t sums_row) {
    const void **fetch = next_strip.list(fetches, fetches_end);
    fetch = next_b.list(fetch, fetches_end);
    fetch = next_a.list(fetch, fetches_end);
    fetch = next_c.list(fetch, fetches_end);
    for (int x = 0; !opening && x < rows && fetch + 2 <= fetches_end; x++) {
      *fetch++ = next_sums + x * sums_row;
      *fetch++ = next_sums + x * sums_row + NR - 1;
    }
    for (const void **rest = fetch; rest < fetched; rest++) *rest = &job;  // what the last call left
    fetched = fetch;
  }

  const Plan &plan;
  const Operands<P> &o;
  const Tile<P> &t;
  MicroJob<Sum, Packed> &job;
  const void **const fetches;
  Sum *const corner;
  Packed *own_a, *own_b;
  Sum *own_sums;
  int64_t row0, tile_rows, strips, col_tiles;
  // of the block of K
  int64_t k = 0, depth = 0, units = 0;
  bool opening = false, closing = false, pack_a = false, rows_of_a = false, copy_a = false, copy_b = false;
  const Packed *b = nullptr;
  Ahead next_a, next_b, next_c, next_strip;
  // of the strip
  int64_t r = 0;  // in the block
  int rows = 0;
  const void **fetched = fetches, **fetches_end = fetches;  // where the last list ended; where the room ends
};

template <class P>
void run_tile(const Plan &plan, const Operands<P> &o, const Tile<P> &t) {
  Handed<P> handed;
  TileRun<P>(plan, o, t, handed).run();
}

}  // namespace
}  // namespace gp::GP_ISA
