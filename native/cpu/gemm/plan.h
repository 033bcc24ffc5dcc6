// Element types and the plan of a product: everything that follows from the shape alone.
#pragma once
#include "epilogue.h"
#include "micro.h"
#include "pairs.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kChunk = 4096;  // part of the bits: sums of at most kChunk products are chains, chunks are added
constexpr int64_t kSerialMacs = 100 * 1000;         // below this a second thread costs more than it brings
constexpr int64_t kLargeMacs = 4 * 1000 * 1000;     // from here packing A once for everybody pays
constexpr int64_t kSharedBytes = 16 * 1024 * 1024;  // of packed A at a time
constexpr int64_t kTurnedRows = 384;                // of a product that is computed as its transpose, at most
constexpr int64_t kStandingRows = 400;              // of A, of which a block stands still in L2 while B passes, at most
constexpr int64_t kHalfOfL2 = 512 * 1024;
constexpr size_t kSharedB = 1024 * 1024;  // a chunk of B up to here is packed once: every L2 holds it
constexpr size_t kBlockOfA = 800 * 1024, kBlockOfB = 640 * 1024;  // one block of K of them stays in L2, at most
constexpr int64_t kGroup = 8;  // register tiles side by side, where nothing says otherwise
// A larger B passes by tiles of so many rows of A, so many register tiles at a time: L2 holds both.
constexpr int64_t kStreamRows = 144, kStreamGroup = 3;
constexpr size_t kStreamBytes = 64 * 1024 * 1024;  // of such a B, at most
constexpr int kManyThreads = 1 << 20;              // for which no product has enough tiles to stream B

GP_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
GP_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
GP_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
GP_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// ---- what differs between element types
// ---------------------------------------------------------------------------------

// Type: of everything in memory but B, which has TypeB; Packed: of packed operands.
template <class T>
struct Direct {  // f32, f64: the micro-kernels can also read the operands where they stand
  using Type = T;
  using TypeB = T;
  using Sum = T;
  using Packed = T;
  static constexpr bool kInPlace = true, kRowsInPlace = true;
  static constexpr int64_t kDepth = 3072 / sizeof(T);
  static int64_t units(int64_t depth) { return depth; }
  static void pack(T *dst, int width, const T *src, int64_t i_stride, int64_t k_stride, int64_t depth, int count) {
    pack_strip<T>(dst, width, src, i_stride, k_stride, depth, count);
  }
  static MicroFn<T, T> kernel(int reading, int vectors, int rows) {
    if constexpr (sizeof(T) == 4) {
      return kMicroF32[reading][vectors][rows];
    } else {
      return kMicroF64[reading][vectors][rows];
    }
  }
};

template <class T, class B = T>
struct Widened {  // half types: widened to f32 while packing
  using Type = T;
  using TypeB = B;
  using Sum = float;
  using Packed = float;
  static constexpr bool kInPlace = false, kRowsInPlace = false;
  static constexpr int64_t kDepth = 768;
  static int64_t units(int64_t depth) { return depth; }
  template <class S>
  static void pack(float *dst, int width, const S *src, int64_t i_stride, int64_t k_stride, int64_t depth, int count) {
    pack_strip<float>(dst, width, src, i_stride, k_stride, depth, count);
  }
  static MicroFn<float, float> kernel(int, int vectors, int rows) { return kMicroF32[kPackedB][vectors][rows]; }
};

#if defined(__AVX512F__)
template <class B = bf16>
struct Pairs {  // bf16 by vdpbf16ps: a row of A holds its pairs already
  using Type = bf16;
  using TypeB = B;
  using Sum = float;
  using Packed = uint32_t;
  static constexpr bool kInPlace = false, kRowsInPlace = true;
  static constexpr int64_t kDepth = 1536;
  static int64_t units(int64_t depth) { return (depth + 1) / 2; }
  template <class S>
  static void pack(uint32_t *dst, int width, const S *src, int64_t i_stride, int64_t k_stride, int64_t depth,
                   int count) {
    pack_pairs(dst, width, src, i_stride, k_stride, depth, count);
  }
  static MicroFn<float, uint32_t> kernel(int reading, int vectors, int rows) {
    return kMicroBf16[reading & kRowsOfA][vectors][rows];
  }
};
#endif

// ---- the plan: everything that follows from the shape
// -------------------------------------------------------------------

struct Plan {
  bool large;
  bool turned;  // a and b have changed places: the tiles are Cᵀ's, and are transposed on their way out
  bool plain;   // finished sums go to C as they are: partial sums may live there
  bool adds;    // the same with one addend, a row or a matrix: the micro-kernel adds it
  bool pack_a, pack_b, share_b;
  bool stream_b;  // shared B is too large for L2: each group is fetched while the one before it is used
  bool fetch_a;   // packed A is too large for L2: each strip is fetched while the one before it is used
  int64_t batches, depth, chunks;
  int64_t span;        // of K, for which all threads pack at a time (large): a chunk, or a block of it
  int64_t block_rows;  // rows of A at a time (large), all rows (small)
  int64_t tile_rows, tile_cols;
  int64_t row_tiles, col_tiles;  // per block
  int64_t group;                 // register tiles side by side whose panels of B stay in L2 while the strips pass
  int64_t copy_row;              // turned: elements between copied rows of A
  // scratch, in bytes: [shared A][shared B][totals][per thread: A strips, B block, partial sums, totals]
  size_t shared_a, shared_b, totals, slot_a, slot_b, slot_sums, slot_totals, slot;
};

GP_INLINE size_t room(int64_t elements, size_t bytes) { return (static_cast<size_t>(elements) * bytes + 63) / 64 * 64; }

// K is cut into equal blocks of about P::kDepth within each chunk; blocks are even so that pairs never straddle them.
template <class P>
GP_INLINE int64_t block_depth(int64_t k, int64_t most) {
  const int64_t chunk = min64(k, kChunk), blocks = ceil_div(chunk, most);
  return blocks <= 1 ? max64(chunk, 1) : round_up(ceil_div(chunk, blocks), 16);
}

// Never without any K: then there is nothing to pack.
GP_INLINE bool is_large(const GemmArgs &g) {
  constexpr int64_t NR = Vec<float>::N * kTileVectors;
  return g.m * g.n * g.k >= kLargeMacs && g.m > 4 * kTileRows && g.n > NR;
}

// A · Bᵀ with few rows: packing B would transpose every element of it for few uses. With the operands' places changed
// the rows of B are read where they stand, A is packed once for all, and only C is transposed.
template <class P>
GP_INLINE bool turns(const GemmArgs &g) {
  return P::kInPlace && g.b.row == 1 && g.c.col == 1 && g.m <= kTurnedRows && g.k >= 64 && g.k <= kChunk &&
         is_large(g) && g.n > 4 * kTileRows;
}

GP_INLINE GemmArgs turn(const GemmArgs &g) {
  GemmArgs t = g;
  t.m = g.n;
  t.n = g.m;
  t.a = g.b;
  t.a.row = g.b.col;
  t.a.col = g.b.row;
  t.b = g.a;
  t.b.row = g.a.col;
  t.b.col = g.a.row;
  return t;
}

// Few rows: half as deep, a packed block of A stands in L2 while B passes through.
GP_INLINE bool few_rows(const GemmArgs &g) { return g.m > 64 && g.m <= kStandingRows && is_large(g); }

// The same without packing A: it is read where it stands while B passes through once. Also A · Bᵀ, where it is not
// turned.
template <class P>
GP_INLINE bool stands(const GemmArgs &g) {
  const bool right = P::kInPlace ? kTileRows >= 12 && g.b.col == 1 : P::kRowsInPlace;
  return right && g.a.col == 1 && few_rows(g);
}

GP_INLINE int64_t stream_tiles(int64_t rows) {
  return round_up(ceil_div(rows, round_up(kStreamRows, kTileRows)), 2);  // two threads should end together
}

// What is packed once for all is read, written beyond L2 (which reads it first) and fetched again; what a tile packs
// for itself is only read. So with many rows it is B that is shared, if its tiles suffice for the threads.
GP_INLINE bool streams(const GemmArgs &g, int64_t tile_rows, size_t bytes_b, int threads) {
  constexpr int64_t kShared = 3;
  return g.m >= 64 * kTileRows && stream_tiles(g.m) >= 2 * static_cast<int64_t>(threads) && bytes_b <= kStreamBytes &&
         kShared * g.n + g.m < kShared * g.m + ceil_div(g.m, tile_rows) * g.n;
}

// Tiles of so many strips: few, so that B passes seldom, but so that threads end together.
GP_INLINE int64_t strip_tiles(int64_t strips, int threads) {
  const int64_t each = strips >= 16 * 8 ? 8 : 4;
  return min64(strips, round_up(ceil_div(strips, each), threads));
}

// The sums are the result, and C's rows can hold them as they are.
template <class P>
GP_INLINE bool is_plain(const GemmArgs &g) {
  return g.alpha == 1.0 && !g.accumulate && g.activation == kNoActivation && g.bias.data == nullptr &&
         g.residual.data == nullptr && g.pre.data == nullptr && g.c.col == 1 &&
         sizeof(typename P::Type) == sizeof(typename P::Sum);
}

// Of bias, residual and C's old elements one, its columns side by side.
template <class P>
GP_INLINE bool adds(const GemmArgs &g) {
  const bool bias = g.bias.data != nullptr, residual = g.residual.data != nullptr;
  const int64_t col = bias ? g.bias.col : residual ? g.residual.col : g.c.col;
  return P::kInPlace && bias + residual + g.accumulate == 1 && col == 1 && g.c.col == 1 && g.k <= kChunk &&
         g.alpha == 1.0 && g.activation == kNoActivation && g.pre.data == nullptr;
}

// g: as the caller gave it, or turned.
template <class P>
Plan make_plan(const GemmArgs &g, bool turned, int threads) {
  using Sum = typename P::Sum;
  using Packed = typename P::Packed;
  constexpr int64_t NR = Vec<Sum>::N * kTileVectors;
  Plan p;
  memset(&p, 0, sizeof p);
  p.batches = 1;
  for (int i = 0; i < g.batch_ndim; i++) p.batches *= g.batch_shape[i];
  p.turned = turned;
  p.plain = !turned && is_plain<P>(g);
  p.adds = adds<P>(g) && !turned;
  const bool standing = !turned && stands<P>(g);
  const bool shallow = turned || standing || (!P::kInPlace && few_rows(g));
  p.depth = block_depth<P>(g.k, shallow ? P::kDepth / 2 : P::kDepth);
  p.chunks = max64(1, ceil_div(g.k, kChunk));
  const int64_t chunk = min64(g.k, kChunk);
  p.span = chunk;
  p.large = turned || is_large(g);
  const bool several_blocks = chunk > p.depth;
  p.group = kGroup;
  int64_t scratch_rows = 0;  // of a tile, however many threads there are when it runs
  if (p.large) {
    const auto units = [](int64_t depth) { return P::units(depth) + 64; };
    const auto packed_b = [&](int64_t depth) { return room(round_up(g.n, NR) * units(depth), sizeof(Packed)); };
    const auto packed_a = [&](int64_t depth) { return room(p.block_rows * units(depth), sizeof(Packed)); };
    const int64_t most = static_cast<int64_t>(kSharedBytes / sizeof(Packed));
    const int64_t rows = min64(2016, max64(8 * kTileRows, most / units(chunk)));
    p.block_rows = ceil_div(g.m, ceil_div(g.m, rows));
    p.tile_rows = round_up(ceil_div(p.block_rows, ceil_div(p.block_rows, 512)), kTileRows);
    const int64_t wide = 4 * NR;
    p.tile_cols = g.n >= 8 * wide ? wide : g.n >= 8 * NR ? round_up(ceil_div(g.n, 8), NR) : NR;
    p.pack_b = !(P::kInPlace && g.b.col == 1 && g.m <= 2 * kTileRows);  // few rows: B is not read often enough
    const bool shares = p.pack_b && (g.n <= 16 * NR || g.m >= 32 * kTileRows);
    p.share_b = turned || (shares && packed_b(chunk) <= kSharedB);
    // Partial sums may live in C: a block of K at a time.
    const bool by_blocks = p.plain && p.chunks == 1 && several_blocks && !turned && !standing;
    if (by_blocks && !p.share_b && shares && packed_b(p.depth) <= kBlockOfB) {
      p.share_b = true;
      p.span = p.depth;
    }
    p.stream_b = !turned && !standing && p.pack_b && !p.share_b && g.n >= 8 * NR &&
                 streams(g, p.tile_rows, packed_b(chunk), threads);
    if (p.stream_b) {
      p.share_b = true;
      p.group = kStreamGroup;
      p.block_rows = g.m;
    }
    // Few columns: A is not read often enough, unless its rows (or columns) lie a multiple of a page apart and evict
    // each other. Columns that stand side by side cost more lines than packed ones: they stay for fewer uses.
    constexpr int64_t kOperand = sizeof(typename P::Type);
    const bool spread = (g.a.col == 1 ? g.a.row : g.a.col) * kOperand % 4096 != 0;
    const bool few =
        g.a.col == 1 ? p.share_b || g.n <= 16 * NR : g.a.row == 1 && p.share_b && !p.stream_b && g.n <= 4 * NR;
    p.pack_a = !turned && !((P::kInPlace || (P::kRowsInPlace && g.a.col == 1)) && spread && few);
    if (standing) {
      p.share_b = p.pack_a = false;
      p.tile_rows = p.block_rows;
      const bool rounds =
          sizeof(typename P::TypeB) > sizeof(typename P::Type);  // what is fetched ahead takes more room
      p.tile_cols = min64(rounds ? wide / 2 : wide, round_up(ceil_div(g.n, 4), NR));
    }
    if (!turned && !p.pack_a && g.a.col == 1 && g.a.row * kOperand % 4096 == 0) {
      p.copy_row = P::units(p.depth) + 16;
      p.slot_a = room((p.tile_rows + kTileRows) * p.copy_row, sizeof(Packed));
    }
    if (p.share_b) {  // a tile sees all columns: what it packs of A nobody else needs
      const int64_t strips = ceil_div(p.block_rows, kTileRows);
      p.row_tiles = p.stream_b ? stream_tiles(p.block_rows) : strip_tiles(strips, threads);
      if (turned) p.row_tiles = ceil_div(strips, min64(8, max64(4, ceil_div(p.block_rows / 8, kTileRows))));
      p.tile_rows = kTileRows * ceil_div(strips, p.row_tiles);
      scratch_rows = max64(p.tile_rows, 4 * kTileRows);
      p.tile_cols = round_up(g.n, NR);
      p.shared_b = packed_b(p.span);
      if (turned && g.a.row * kOperand % 4096 == 0) {
        p.copy_row = P::units(p.depth) + 16;
        p.slot_a = room((p.tile_rows + kTileRows) * p.copy_row, sizeof(Packed));
      }
      if (p.pack_a) p.slot_a = room((scratch_rows + kTileRows) * P::units(p.depth), sizeof(Packed));
    } else if (p.pack_a) {
      if (by_blocks && packed_a(p.depth) <= kBlockOfA) p.span = p.depth;
      p.shared_a = packed_a(p.span);
      p.fetch_a = p.block_rows * P::units(p.depth) * static_cast<int64_t>(sizeof(Packed)) > kHalfOfL2;
    }
    // A last element without its pair is packed beside a zero.
    if (!p.pack_a && g.k % kElements<Packed> != 0) {
      const size_t rows = room((max64(scratch_rows, p.tile_rows) + kTileRows) * P::units(p.depth), sizeof(Packed));
      if (rows > p.slot_a) p.slot_a = rows;
    }
    if (p.chunks > 1 && !p.plain) p.totals = room(p.block_rows * g.n, sizeof(Sum));
  } else {
    p.block_rows = g.m;
    const bool reused = g.n > 4 * NR && g.m > kTileRows;
    p.pack_a = !P::kInPlace || (reused && g.a.row != 1) || (g.a.row != 1 && g.a.col != 1);
    p.pack_b = !P::kInPlace || (g.b.col != 1 && g.n > 1) || (g.m > 8 * kTileRows && g.n * g.k > 64 * 1024);
    // Tiles of about 128 k multiply-adds: small enough to share out, large enough to reuse what they pack.
    p.tile_cols = min64(round_up(g.n, NR), 8 * NR);
    // One strip of rows is shared out by its columns.
    if (g.m <= kTileRows && p.batches == 1 && g.m * g.n * g.k >= kSerialMacs)
      p.tile_cols = min64(p.tile_cols, round_up(ceil_div(g.n, threads), NR));
    int64_t per_row = p.tile_cols * max64(g.k, 1);
    const int64_t fewest = (p.pack_b ? 12 : 4) * kTileRows;  // a strip of B is worth packing for many rows only
    p.tile_rows = min64(g.m, max64(fewest, round_up(128 * 1024 / per_row, kTileRows)));
    p.tile_rows = ceil_div(g.m, ceil_div(g.m, p.tile_rows));
    if (p.pack_a) p.slot_a = room((p.tile_rows + kTileRows) * P::units(p.depth), sizeof(Packed));
    if (p.chunks > 1 && !p.plain) p.slot_totals = room(p.tile_rows * p.tile_cols + NR, sizeof(Sum));
  }
  if (p.row_tiles == 0) p.row_tiles = ceil_div(p.block_rows, p.tile_rows);
  p.col_tiles = ceil_div(g.n, p.tile_cols);
  if (p.pack_b && !p.share_b) p.slot_b = room(p.tile_cols * P::units(p.depth), sizeof(Packed));
  if (turned || (several_blocks && (!p.plain || p.chunks > 1)))
    p.slot_sums = room(round_up(max64(scratch_rows, p.tile_rows), Vec<Sum>::N) * p.tile_cols + NR, sizeof(Sum));
  p.slot = p.slot_a + p.slot_b + p.slot_sums + p.slot_totals;
  return p;
}

}  // namespace
}  // namespace gp::GP_ISA
