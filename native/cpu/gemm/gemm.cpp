// The driver: chooses between two ways to cut a product into tiles, and runs the tiles.
//
//   small: every tile (of one batch) works alone, from operands as they stand where their strides allow it, else from
//          strips it packs itself.
//   large: a block of A is packed once by all threads (or read where it stands); then each tile packs its own KC x NC
//          block of B, which stays in its L2, and runs all row strips of A over it. A small B is packed once for all.
//
// Where memory alone is the limit there are no register tiles: thin.h (few rows or columns), shallow.h (few products).
// Which elements share a tile never changes an element's bits: README.md, "Bits".
#include "gemm.h"

#include "shallow.h"
#include "thin.h"
#include "tile.h"

namespace gp::GP_ISA {
namespace {

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
    for (int64_t k0 = 0, k1; k0 < g.k; k0 = k1) {
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
  if (is_thin_transposed<P>(given)) {
    const GemmArgs t = transposed(given);
    thin_product<P>(t, operands<P>(t, 0).finish);
    return GP_OK;
  }
  if (is_shallow<P>(given)) {
    shallow_product<typename P::Sum>(given);
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
  if (is_thin<P>(g) || is_thin_transposed<P>(g) || is_shallow<P>(g)) return 0;
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
