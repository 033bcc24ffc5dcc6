#include "panel.h"

#include "micro.h"
#include "pairs.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kDepth = 256;  // a strip's block of this depth stays in L1 while all rows pass over it

GP_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

template <class W, class S>
void pack_one(W *panel, const S *b, int64_t row, int64_t col, int64_t k, int64_t n, int64_t strip) {
  constexpr int64_t NR = Vec<W>::N * kTileVectors;
  const int64_t first = strip * NR, count = n - first < NR ? n - first : NR;
  pack_strip<W>(panel + strip * NR * k, static_cast<int>(NR), b + first * col, col, row, k, static_cast<int>(count));
}

GP_INLINE int64_t row_blocks(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

MicroFn<float, float> kernel(float, int vectors, int64_t rows) {
  return kMicroF32[kRowsOfA | (vectors == kTileVectors ? kPackedB : kStridedB)][vectors][rows];
}
MicroFn<double, double> kernel(double, int vectors, int64_t rows) {
  return kMicroF64[kRowsOfA | (vectors == kTileVectors ? kPackedB : kStridedB)][vectors][rows];
}
#if defined(__AVX512F__)
MicroFn<float, uint32_t> kernel(uint32_t, int vectors, int64_t rows) { return kMicroBf16[kRowsOfA][vectors][rows]; }
#endif

template <class W, class Packed>
void multiply(W *c, int64_t c_row, const Packed *a, int64_t a_row, int64_t rows, const Packed *panel, int64_t k,
              int64_t n, PanelAhead *ahead) {
  constexpr int64_t N = Vec<W>::N, NR = N * kTileVectors;
  const int64_t blocks = row_blocks(rows), height = blocks == 0 ? 0 : (rows + blocks - 1) / blocks;
  const void *fetch[kDepth / kFetchSteps];
  for (int64_t from = 0; from < k; from += kDepth) {
    const int64_t depth = k - from < kDepth ? k - from : kDepth;
    for (int64_t j = 0; j < n; j += NR) {
      const int64_t columns = n - j < NR ? n - j : NR, vectors = (columns + N - 1) / N;
      const Packed *strip = panel + j * k + from * NR;
      const Packed *next = j + NR < n ? strip + NR * k : panel + min_of(from + depth, k - 1) * NR;
      for (int64_t i = 0; i < rows; i += height) {
        const void **to = fetch, **const end = fetch + depth / kFetchSteps;
        if (ahead != nullptr) {
          const int64_t count = min_of(min_of(ahead->per_tile, ahead->left), depth / kFetchSteps);
          for (int64_t l = 0; l < count; l++) *to++ = ahead->lines[l];
          ahead->lines += count;
          ahead->left -= count;
        }
        while (to < end) {
          *to++ = next;
          next += 64 / static_cast<int64_t>(sizeof(W));
        }
        const int64_t m = rows - i < height ? rows - i : height;
        W *out = c + i * c_row + j;
        const MicroJob<W, Packed> job = {depth,
                                         a + i * a_row + from,
                                         a_row * kElements<Packed>,
                                         strip,
                                         NR,
                                         from == 0 ? nullptr : out,
                                         c_row,
                                         out,
                                         c_row,
                                         fetch,
                                         static_cast<int>(columns - (vectors - 1) * N),
                                         to,
                                         c_row * static_cast<int64_t>(sizeof(W)),
                                         columns * static_cast<int64_t>(sizeof(W)) - 1};
        kernel(Packed{}, static_cast<int>(vectors), m)(&job);
      }
    }
  }
}

}  // namespace

int64_t panel_strips(int64_t n, size_t element_bytes) {
  const int64_t width = kVectorBytes / static_cast<int64_t>(element_bytes) * kTileVectors;
  return (n + width - 1) / width;
}

int64_t panel_tiles(int64_t rows, int64_t k, int64_t n, size_t element_bytes) {
  return row_blocks(rows) * panel_strips(n, element_bytes) * ((k + kDepth - 1) / kDepth);
}

int64_t panel_size(int64_t k, int64_t n, size_t element_bytes) {
  return panel_strips(n, element_bytes) * (kVectorBytes / static_cast<int64_t>(element_bytes) * kTileVectors) * k;
}

void pack_panel(float *panel, const void *b, int32_t dtype, int64_t row, int64_t col, int64_t k, int64_t n,
                int64_t strip) {
  if (dtype == GP_F16) {
    pack_one(panel, static_cast<const f16 *>(b), row, col, k, n, strip);
  } else if (dtype == GP_BF16) {
    pack_one(panel, static_cast<const bf16 *>(b), row, col, k, n, strip);
  } else {
    pack_one(panel, static_cast<const float *>(b), row, col, k, n, strip);
  }
}
void pack_panel(double *panel, const void *b, int32_t, int64_t row, int64_t col, int64_t k, int64_t n, int64_t strip) {
  pack_one(panel, static_cast<const double *>(b), row, col, k, n, strip);
}
#if defined(__AVX512F__)
bool multiplies_pairs() { return has_avx512_bf16(); }
void pack_panel(uint32_t *panel, const void *b, int32_t, int64_t row, int64_t col, int64_t k, int64_t n,
                int64_t strip) {
  constexpr int64_t NR = Vec<float>::N * kTileVectors;
  const int64_t first = strip * NR, count = n - first < NR ? n - first : NR;
  pack_pairs(panel + strip * NR * ((k + 1) / 2), static_cast<int>(NR), static_cast<const bf16 *>(b) + first * col, col,
             row, k, static_cast<int>(count));
}
void multiply_panel(float *c, int64_t c_row, const uint32_t *a, int64_t a_row, int64_t rows, const uint32_t *panel,
                    int64_t k, int64_t n, PanelAhead *ahead) {
  multiply(c, c_row, a, a_row, rows, panel, k, n, ahead);
}
#else
bool multiplies_pairs() { return false; }
#endif

void multiply_panel(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t rows, const float *panel, int64_t k,
                    int64_t n, PanelAhead *ahead) {
  multiply(c, c_row, a, a_row, rows, panel, k, n, ahead);
}
void multiply_panel(double *c, int64_t c_row, const double *a, int64_t a_row, int64_t rows, const double *panel,
                    int64_t k, int64_t n, PanelAhead *ahead) {
  multiply(c, c_row, a, a_row, rows, panel, k, n, ahead);
}

}  // namespace gp::GP_ISA
