// Matrix products on the CPU: C[M,N] = act(alpha · op(A) · op(B) + bias) + residual (+ C_old).
//
// Operands have any strides (a transpose is a pair of swapped strides), batches any rank, a batch stride of 0 shares a
// matrix. The order of every sum is fixed: see README.md, "Bits". Nothing here allocates.
#pragma once
#include "../../include/kernel.h"

namespace gp::GP_ISA {

// The positions of linear_act's `activation` attribute.
enum Activation : int32_t { kNoActivation = 0, kRelu = 1, kGelu = 2, kGeluTanh = 3, kSilu = 4 };

// A matrix operand: element (i, j) of batch b stands at data[offset(b) + i * row + j * col], strides in elements.
struct GemmMatrix {
  void *data;  // null: absent (bias, residual, pre)
  int64_t row, col;
  int64_t batch[GP_MAX_DIMS];
};

struct GemmArgs {
  int32_t dtype;    // of a, b, bias, residual, pre; sums run in f32 (f64 for f64)
  bool wide_b;      // half types only: b is f32 and counts as what a cast to the half type would give
  bool wide_c;      // half types only: c is f32 and gets what a cast of the half result would give
  bool accumulate;  // the finished value is added to what c holds: c = c_old + value, one rounded addition
  int32_t activation;
  double alpha;
  int64_t m, n, k;
  int32_t batch_ndim;
  int64_t batch_shape[GP_MAX_DIMS];
  GemmMatrix a;         // [m, k]
  GemmMatrix b;         // [k, n]
  GemmMatrix c;         // [m, n]
  GemmMatrix bias;      // [m, n] with row = 0 (per column) or col = 0 (per row)
  GemmMatrix residual;  // [m, n], added after the activation; may be c itself
  GemmMatrix pre;       // [m, n], receives the value before the activation
};

// Absent operands, alpha 1, no batch: what a caller starts from.
GP_INLINE GemmArgs gemm_args(int32_t dtype, int64_t m, int64_t n, int64_t k) {
  GemmArgs g;
  memset(&g, 0, sizeof g);
  g.dtype = dtype;
  g.alpha = 1.0;
  g.m = m;
  g.n = n;
  g.k = k;
  return g;
}

GP_INLINE GemmMatrix gemm_matrix(void *data, int64_t row, int64_t col) {
  GemmMatrix x;
  memset(&x, 0, sizeof x);
  x.data = data;
  x.row = row;
  x.col = col;
  return x;
}

// Bytes of scratch for the present thread count (64-byte aligned by the caller; may be 0).
size_t gemm_workspace(const GemmArgs &args);
// The same for `threads` threads; 1 for a product that runs inside a tile of another region.
size_t gemm_workspace(const GemmArgs &args, int threads);

// `size` is what gemm_workspace returned, perhaps under another thread count: with less room than the present threads
// need the product runs on the calling thread, with the same bits; without room for one, GP_BAD_ARGUMENT.
int32_t gemm(const GemmArgs &args, void *workspace, size_t size);

}  // namespace gp::GP_ISA
