// The driver: chooses between two ways to cut a product into tiles, and runs the tiles.
//
//   small: every tile (of one batch) works alone, from operands as they stand where their strides allow it, else from
//          strips it packs itself.
//   large: a block of A is packed once by all threads (or read where it stands); then each tile packs its own KC x NC
//          block of B, which stays in its L2, and runs all row strips of A over it. A small B is packed once for all.
//
// Which elements share a tile never changes an element's bits: README.md, "Bits".
#include "gemm.h"

#include "ahead.h"
#include "blocks.h"
#include "thin.h"
#include "turned.h"

namespace gp::GP_ISA {
namespace {

// ---- one tile
// -----------------------------------------------------------------------------------------------------------

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

template <class P>
void run_tile(const Plan &plan, const Operands<P> &o, const Tile<P> &t) {
  using Sum = typename P::Sum;
  using Packed = typename P::Packed;
  constexpr int N = Vec<Sum>::N, NR = N * kTileVectors;
  alignas(64) Sum corner[kTileRows * NR];
  Packed *const own_a = reinterpret_cast<Packed *>(t.scratch);
  Packed *const own_b = reinterpret_cast<Packed *>(t.scratch + plan.slot_a);
  Sum *const own_sums = reinterpret_cast<Sum *>(t.scratch + plan.slot_a + plan.slot_b);
  const int64_t row0 = t.block.begin(t.strip0), col_tiles = ceil_div(t.j1 - t.j0, NR);
  const int64_t strips = t.strip1 - t.strip0, tile_rows = t.block.begin(t.strip1) - row0;
  constexpr int64_t kOperand = sizeof(typename P::Type), kB = sizeof(typename P::TypeB);
  const int64_t width = plan.group * NR;
  const bool tall = P::kInPlace && t.block.count >= kTileRows;  // all strips are
  Ahead next_a, next_b, next_c, next_strip;
  MicroJob<Sum, Packed> job{};
  // A micro-kernel's prefetches, one per kFetchSteps steps; where there is nothing to fetch, something at hand.
  const void *fetches[P::kDepth / kFetchSteps + 1], **fetched = fetches;
  job.fetch = fetches;
  int64_t k = t.k0;
  do {
    const int64_t depth = min64(plan.depth, t.k1 - k), units = P::units(depth);
    const bool ends = k + depth >= t.k1;  // the span, and this tile with it
    const bool opening = t.opens && k == t.k0, closing = t.closes && ends;
    const bool pack_a = plan.pack_a || depth % kElements<Packed> != 0;
    const bool rows_of_a = !pack_a && o.a_col == 1;
    const int reading = (rows_of_a ? kRowsOfA : kColumnsOfA) | (plan.pack_b ? kPackedB : kStridedB);
    // Who reads an operand first copies it for the others.
    const bool copy_a = tall && pack_a && t.packed == nullptr && o.a_row == 1 && t.j1 - t.j0 > NR;
    const bool copy_b = tall && plan.pack_b && t.packed_b == nullptr && o.b_col == 1 && strips > 1;
    job.k = units;
    const void **const fetches_end = fetches + units / kFetchSteps;
    for (const void **rest = fetches; rest < fetches_end; rest++) *rest = &job;
    fetched = fetches;
    const Packed *b = own_b;
    if (t.packed_b != nullptr) {
      b = t.packed_b + plan.tile_cols * P::units(k - t.k0);
    } else if (plan.pack_b) {
      if (!copy_b) pack_block<P>(o, k, depth, 0, depth, t.j0, t.j1, own_b);
      const int64_t next_k = ends ? t.k0 : k + depth, next_j = ends ? t.next_j0 : t.j0;
      const typename P::TypeB *next = o.b + next_k * o.b_row + next_j * o.b_col;
      const int64_t columns = min64(t.j1 - t.j0, t.cols - next_j);
      if (plan.large && o.b_col == 1) {
        next_b.aim(next, depth, columns * kB, o.b_row * kB, strips * col_tiles);
      } else if (plan.large && o.b_row == 1) {
        next_b.aim(next, columns, depth * kB, o.b_col * kB, strips * col_tiles);
      }
    }
    if (pack_a && t.packed == nullptr && !copy_a)
      pack_rows<P>(o, t.block, t.strip0, t.strip1, k, depth, 0, depth, own_a);
    if (plan.large && t.packed == nullptr) {  // A's part of the next block
      const typename P::Type *next = ends ? o.a + t.next_i * o.a_row + t.k0 * o.a_col
                                          : o.a + (t.block.first + row0) * o.a_row + (k + depth) * o.a_col;
      if (ends && t.next_j0 >= t.cols) {
      } else if (o.a_col == 1) {
        next_a.aim(next, tile_rows, depth * kOperand, o.a_row * kOperand, strips * col_tiles);
      } else if (o.a_row == 1) {
        next_a.aim(next, depth, tile_rows * kOperand, o.a_col * kOperand, strips * col_tiles);
      }
    }
    if (plan.turned && closing) {  // rows of C, which is written transposed
      const Finish<typename P::Type, Sum> &f = o.finish;
      const int64_t size = f.wide_c ? sizeof(Sum) : kOperand;
      next_c.aim(static_cast<const char *>(f.c) + (t.j0 * f.c_row + t.block.first + row0) * size, t.j1 - t.j0,
                 tile_rows * size, f.c_row * size, strips * col_tiles);
    }
    // Groups of columns of which B's panels stay in L2 while the strips pass.
    for (int64_t group = t.j0; group < t.j1; group += width) {
      const int64_t group_end = min64(t.j1, group + width);
      if (plan.stream_b) {  // the next group, of this block of K or of the next one, or the first of all
        const bool same = group_end < t.j1;
        const int64_t next_j = same ? group_end : t.j0, next_k = same ? k : ends ? t.k0 : k + depth;
        const int64_t next_units = P::units(min64(plan.depth, t.k1 - next_k));
        const int64_t bytes = min64(width, t.j1 - next_j) * next_units * static_cast<int64_t>(sizeof(Packed));
        next_b.aim(t.packed_b + plan.tile_cols * P::units(next_k - t.k0) + (next_j - t.j0) * next_units, 1, bytes, 0,
                   strips * plan.group);
      }
      for (int64_t s = t.strip0; s < t.strip1; s++) {
        const int64_t r = t.block.begin(s), i = t.block.first + r;
        const int rows = static_cast<int>(t.block.begin(s + 1) - r);
        if (pack_a) {
          job.a = t.packed != nullptr ? t.packed + t.block.count * P::units(k - t.k0) + r * units
                                      : own_a + (r - row0) * units;
          job.a_step = rows;
          const int64_t bytes = rows * units * static_cast<int64_t>(sizeof(Packed));
          if (plan.fetch_a) next_strip.aim(job.a + rows * units, 1, bytes, 0, ceil_div(group_end - group, NR));
        } else if constexpr (P::kRowsInPlace) {
          const typename P::Type *from = o.a + i * o.a_row + k * o.a_col;
          job.a = reinterpret_cast<const Packed *>(from);
          job.a_step = rows_of_a ? o.a_row : o.a_col;
          if (plan.copy_row > 0) {  // a copy side by side: rows whole pages apart evict each other
            if (group == t.j0)
              for (int x = 0; x < rows; x++)
                memcpy(own_a + (r - row0 + x) * plan.copy_row, from + x * o.a_row,
                       static_cast<size_t>(depth * kOperand));
            job.a = own_a + (r - row0) * plan.copy_row;
            job.a_step = plan.copy_row * kElements<Packed>;
          }
        }
        for (int64_t j = group; j < group_end; j += NR) {
          const int cols = static_cast<int>(min64(NR, t.j1 - j)), vectors = (cols + N - 1) / N;
          job.last = cols - (vectors - 1) * N;
          if (plan.pack_b) {
            job.b = b + (j - t.j0) * units;
            job.b_row = vectors * N;
          } else if constexpr (P::kInPlace) {
            job.b = o.b + k * o.b_row + j;
            job.b_row = o.b_row;
          }
          int how = reading;
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
          Sum *sums;
          int64_t sums_row;
          const bool fold = !t.first;
          if (!fold && total != nullptr) {
            sums = total;
            sums_row = t.totals_row;
          } else {
            sums = own_sums + (r - row0) * plan.tile_cols + (j - t.j0);
            sums_row = plan.tile_cols;
          }
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
          if (plan.large) {
            const void **fetch = next_strip.list(fetches, fetches_end);
            fetch = next_b.list(fetch, fetches_end);
            fetch = next_a.list(fetch, fetches_end);
            fetch = next_c.list(fetch, fetches_end);
            if (!opening) {  // the next tile's partial sums: it waits for them before its first product
              const Sum *next = j + NR < group_end ? sums + NR : sums + rows * sums_row - (j - group);
              for (int x = 0; x < rows && fetch + 2 <= fetches_end; x++) {
                *fetch++ = next + x * sums_row;
                *fetch++ = next + x * sums_row + NR - 1;
              }
            }
            for (const void **rest = fetch; rest < fetched; rest++) *rest = &job;  // what the last call left
            fetched = fetch;
          }
          P::kernel(how, vectors, rows)(&job);
          if (!to_corner) continue;
          if (fold) {
            add_tile(corner, NR, total, t.totals_row, rows, cols, finishes ? corner : total,
                     finishes ? NR : t.totals_row);
          }
          if (finishes) finish_tile(o.finish, corner, NR, rows, cols, i, j);
        }
      }
    }
    k += depth;
  } while (k < t.k1);
  if (plan.turned)
    finish_turned(o.finish, own_sums, plan.tile_cols, tile_rows, t.j1 - t.j0, t.block.first + row0, t.j0);
}

// ---- one product
// --------------------------------------------------------------------------------------------------------

template <class P>
void small_products(const GemmArgs &g, const Plan &plan, char *scratch, bool serial) {
  using Sum = typename P::Sum;
  const int64_t per_batch = plan.row_tiles * plan.col_tiles;
  auto body = [&](int64_t tile, int slot) {
    const Operands<P> o = operands<P>(g, tile / per_batch);
    const int64_t row = tile % per_batch / plan.col_tiles, col = tile % plan.col_tiles;
    const int64_t i0 = row * plan.tile_rows, i1 = min64(g.m, i0 + plan.tile_rows);
    Tile<P> t;
    t.block = strips(i0, i1 - i0);
    t.strip0 = 0;
    t.strip1 = t.block.strips;
    t.j0 = col * plan.tile_cols;
    t.j1 = min64(g.n, t.j0 + plan.tile_cols);
    t.packed = t.packed_b = nullptr;
    t.next_i = 0;
    t.next_j0 = t.cols = g.n;
    t.scratch = scratch + plan.slot * static_cast<size_t>(slot);
    t.totals = nullptr;
    t.totals_row = 0;
    if (plan.plain) {
      t.totals = static_cast<Sum *>(o.finish.c) + i0 * g.c.row + t.j0;
      t.totals_row = g.c.row;
    } else if (plan.chunks > 1) {
      t.totals = reinterpret_cast<Sum *>(t.scratch + plan.slot - plan.slot_totals);
      t.totals_row = plan.tile_cols;
    }
    for (int64_t chunk = 0; chunk < plan.chunks; chunk++) {
      t.k0 = chunk * kChunk;
      t.k1 = min64(g.k, t.k0 + kChunk);
      t.opens = t.closes = true;
      t.first = chunk == 0;
      t.last = chunk == plan.chunks - 1;
      run_tile<P>(plan, o, t);
    }
  };
  run(serial, plan.batches * per_batch, body);
}

template <class P>
void large_product(const GemmArgs &g, const Plan &plan, const Operands<P> &o, char *workspace, bool serial) {
  using Sum = typename P::Sum;
  using Packed = typename P::Packed;
  Packed *const packed = reinterpret_cast<Packed *>(workspace);
  Packed *const packed_b = reinterpret_cast<Packed *>(workspace + plan.shared_a);
  Sum *const totals = reinterpret_cast<Sum *>(workspace + plan.shared_a + plan.shared_b);
  char *const scratch = workspace + plan.shared_a + plan.shared_b + plan.totals;
  for (int64_t row = 0; row < g.m; row += plan.block_rows) {
    const Strips block = strips(row, min64(plan.block_rows, g.m - row));
    const auto strip_of = [&](int64_t tile) { return tile % plan.row_tiles * block.strips / plan.row_tiles; };
    for (int64_t k0 = 0, k1; k0 == 0 || k0 < g.k; k0 = k1) {
      const int64_t chunk = k0 / kChunk, chunk_end = min64(g.k, (chunk + 1) * kChunk);
      k1 = min64(chunk_end, k0 + plan.span);
      pack_shared<P>(plan, o, block, g.n, k0, k1, packed, packed_b, serial);
      auto body = [&](int64_t tile, int slot) {
        Tile<P> t;
        t.block = block;
        t.strip0 = strip_of(tile);
        t.strip1 = (tile % plan.row_tiles + 1) * block.strips / plan.row_tiles;
        if (t.strip0 >= t.strip1) return;
        t.j0 = tile / plan.row_tiles * plan.tile_cols;
        t.j1 = min64(g.n, t.j0 + plan.tile_cols);
        t.cols = g.n;
        t.next_j0 = (tile + 1) / plan.row_tiles * plan.tile_cols;
        t.next_i = block.first + block.begin(strip_of(tile + 1));
        t.k0 = k0;
        t.k1 = k1;
        t.opens = k0 == chunk * kChunk;
        t.closes = k1 == chunk_end;
        t.first = chunk == 0;
        t.last = chunk == plan.chunks - 1;
        t.packed = plan.shared_a > 0 ? packed : nullptr;
        t.packed_b = plan.share_b ? packed_b : nullptr;
        t.scratch = scratch + plan.slot * static_cast<size_t>(slot);
        t.totals = nullptr;
        t.totals_row = 0;
        const int64_t r = block.begin(t.strip0);
        if (plan.plain) {
          t.totals = static_cast<Sum *>(o.finish.c) + (row + r) * g.c.row + t.j0;
          t.totals_row = g.c.row;
        } else if (plan.chunks > 1) {
          t.totals = totals + r * g.n + t.j0;
          t.totals_row = g.n;
        }
        run_tile<P>(plan, o, t);
      };
      run(serial, plan.row_tiles * plan.col_tiles, body);
    }
  }
}

GP_INLINE size_t plan_size(const Plan &plan, int threads) {
  return plan.shared_a + plan.shared_b + plan.totals + plan.slot * static_cast<size_t>(threads);
}

template <class P>
int32_t product(const GemmArgs &given, void *workspace, size_t size) {
  if (is_thin<P>(given)) {
    thin_product<P>(given, operands<P>(given, 0).finish);
    return GP_OK;
  }
  const bool turned = turns<P>(given);
  const GemmArgs g = turned ? turn(given) : given;
  const Plan plan = make_plan<P>(g, turned, thread_count());
  bool serial = plan.batches * g.m * g.n * max64(g.k, 1) < kSerialMacs;
  if (!serial) serial = plan_size(plan, thread_count()) > size;
  if (plan_size(plan, 1) > size) return GP_BAD_ARGUMENT;
  char *scratch = static_cast<char *>(workspace);
  if (!plan.large) {
    small_products<P>(g, plan, scratch, serial);
    return GP_OK;
  }
  for (int64_t batch = 0; batch < plan.batches; batch++) {
    large_product<P>(g, plan, operands<P>(g, batch), scratch, serial);
  }
  return GP_OK;
}

template <class P>
size_t product_size(const GemmArgs &g, int threads) {
  if (is_thin<P>(g)) return 0;
  const bool turned = turns<P>(g);
  const GemmArgs t = turned ? turn(g) : g;
  // The number of threads may be another one when the product runs.
  const size_t few = plan_size(make_plan<P>(t, turned, 1), threads);
  const size_t many = plan_size(make_plan<P>(t, turned, kManyThreads), threads);
  return few > many ? few : many;
}

bool is_empty(const GemmArgs &g) {
  if (g.m <= 0 || g.n <= 0) return true;
  for (int i = 0; i < g.batch_ndim; i++)
    if (g.batch_shape[i] <= 0) return true;
  return false;
}

// What multiplies these types here.
template <class F>
auto with_types(const GemmArgs &g, const F &f) {
  switch (g.dtype) {
    case GP_F32:
      return f(Direct<float>{});
    case GP_F64:
      return f(Direct<double>{});
    case GP_F16:
      return g.wide_b ? f(Widened<f16, Unrounded<f16>>{}) : f(Widened<f16>{});
    default:
      break;
  }
#if defined(__AVX512F__)
  if (has_avx512_bf16()) return g.wide_b ? f(Pairs<Unrounded<bf16>>{}) : f(Pairs<>{});
#endif
  return g.wide_b ? f(Widened<bf16, Unrounded<bf16>>{}) : f(Widened<bf16>{});
}

}  // namespace

size_t gemm_workspace(const GemmArgs &g, int threads) {
  if (is_empty(g)) return 0;
  return with_types(g, [&](auto types) { return product_size<decltype(types)>(g, threads); });
}

size_t gemm_workspace(const GemmArgs &g) { return gemm_workspace(g, thread_count()); }

int32_t gemm(const GemmArgs &g, void *workspace, size_t size) {
  if (is_empty(g)) return GP_OK;
  return with_types(g, [&](auto types) { return product<decltype(types)>(g, workspace, size); });
}

}  // namespace gp::GP_ISA
