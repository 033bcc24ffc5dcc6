// y[..., M, N] = a[..., M, K] · b[..., K, N]. Any strides; equal ranks >= 2; a broadcast batch axis has stride 0.
#include "../gemm/gemm.h"

namespace gp::GP_ISA {
namespace {

GemmArgs matmul_args(const gp_call *call) {
  const gp_view &a = in(call, 0), &b = in(call, 1), &y = out(call, 0);
  const int rank = y.ndim;
  GemmArgs g = gemm_args(a.dtype, y.shape[rank - 2], y.shape[rank - 1], a.shape[rank - 1]);
  g.a = gemm_matrix(a.data, a.stride[rank - 2], a.stride[rank - 1]);
  g.b = gemm_matrix(b.data, b.stride[rank - 2], b.stride[rank - 1]);
  g.c = gemm_matrix(y.data, g.n, 1);
  g.wide_b = b.dtype != a.dtype;
  g.wide_c = y.dtype != a.dtype;
  int axis = rank - 3;
  // Batches that share b and follow each other in a are more rows of one product.
  for (; axis >= 0; axis--) {
    if (y.shape[axis] == 1) continue;
    if (b.stride[axis] != 0 || a.stride[axis] != g.m * g.a.row) break;
    g.m *= y.shape[axis];
  }
  int64_t matrix = g.m * g.n;
  for (; axis >= 0; axis--) {
    if (y.shape[axis] == 1) continue;
    // GemmArgs lists the innermost batch axis last; here they come innermost first and are turned round below.
    const int d = g.batch_ndim++;
    g.batch_shape[d] = y.shape[axis];
    g.a.batch[d] = a.stride[axis];
    g.b.batch[d] = b.stride[axis];
    g.c.batch[d] = matrix;
    matrix *= y.shape[axis];
  }
  for (int i = 0, j = g.batch_ndim - 1; i < j; i++, j--) {
    int64_t *rows[] = {g.batch_shape, g.a.batch, g.b.batch, g.c.batch};
    for (int64_t *row : rows) {
      const int64_t t = row[i];
      row[i] = row[j];
      row[j] = t;
    }
  }
  return g;
}

size_t matmul_workspace(const gp_call *call) { return gemm_workspace(matmul_args(call)); }

int32_t matmul(gp_context *, const gp_kernel *, const gp_call *call) {
  return gemm(matmul_args(call), call->workspace, call->workspace_size);
}

constexpr uint32_t kFlags = GP_KERNEL_ANY_STRIDE | GP_KERNEL_WIDENS_RESULT | GP_KERNEL_NARROWS;

}  // namespace

GP_ROWS(matmul) = {
    {"matmul", "a b -> y", kFloats, kFlags, 0, matmul_workspace, matmul},
    {},
};

}  // namespace gp::GP_ISA
