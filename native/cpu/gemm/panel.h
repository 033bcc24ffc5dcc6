// A matrix B[k, n] packed once and multiplied many times by a few rows, as the recurrent product of a sequence is.
// The panel is cut into strips of columns; each strip is k-major, zero-padded to the width of the register tile.
//
// Bits: an element is one chain of fused multiply-adds with k ascending, like those of gemm.h up to their first cut.
#pragma once
#include "../../include/kernel.h"

namespace gp::GP_ISA {

// Addresses of lines, `per_tile` of which are prefetched beside each register tile.
struct PanelAhead {
  const void *const *lines;
  int64_t left, per_tile;
};

int64_t panel_strips(int64_t n, size_t element_bytes);
// Elements of the packed form.
int64_t panel_size(int64_t k, int64_t n, size_t element_bytes);

// Packs one strip; element (i, j) of B stands at b[i * row + j * col]. `dtype` is that of b: GP_F64 for double panels,
// else GP_F32, GP_F16 or GP_BF16, widened.
void pack_panel(float *panel, const void *b, int32_t dtype, int64_t row, int64_t col, int64_t k, int64_t n,
                int64_t strip);
void pack_panel(double *panel, const void *b, int32_t dtype, int64_t row, int64_t col, int64_t k, int64_t n,
                int64_t strip);

// C[rows, n] = A[rows, k] · B on the calling thread. `ahead`: what the caller reads next, prefetched on the way.
void multiply_panel(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t rows, const float *panel, int64_t k,
                    int64_t n, PanelAhead *ahead = nullptr);
void multiply_panel(double *c, int64_t c_row, const double *a, int64_t a_row, int64_t rows, const double *panel,
                    int64_t k, int64_t n, PanelAhead *ahead = nullptr);
// Whether bf16 is multiplied in pairs here; the functions that do exist with AVX-512 only.
bool multiplies_pairs();
#if defined(__AVX512F__)
// The last pair of an odd k is half zero in the panel, and must be finite in A. `pack_panel` counts k in elements,
// `multiply_panel` and sizes in pairs.
void pack_panel(uint32_t *panel, const void *b, int32_t dtype, int64_t row, int64_t col, int64_t k, int64_t n,
                int64_t strip);
void multiply_panel(float *c, int64_t c_row, const uint32_t *a, int64_t a_row, int64_t rows, const uint32_t *panel,
                    int64_t k, int64_t n, PanelAhead *ahead = nullptr);
#endif
// Register tiles of such a product: what `ahead` is spread over.
int64_t panel_tiles(int64_t rows, int64_t k, int64_t n, size_t element_bytes);

}  // namespace gp::GP_ISA
