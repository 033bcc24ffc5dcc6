// linear: y[..., N] = x[..., K] · weight[N, K]ᵀ + bias[N]. x has mergeable leading axes; weight has any strides.
// linear_act: the same, then an activation; `pre`, when it has elements, receives the value before the activation.
#include "../gemm/gemm.h"

namespace gp::GP_ISA {
namespace {

GemmArgs linear_args(const gp_call *call) {
  const gp_view &x = in(call, 0), &weight = in(call, 1), &y = out(call, 0);
  const int last = x.ndim - 1;
  GemmArgs g = gemm_args(x.dtype, 1, weight.shape[0], weight.shape[1]);
  int64_t row = g.k * x.stride[last];  // a single row: any stride will do
  for (int axis = last - 1; axis >= 0; axis--) {
    if (g.m == 1 && x.shape[axis] != 1) row = x.stride[axis];
    g.m *= x.shape[axis];
  }
  g.a = gemm_matrix(x.data, row, x.stride[last]);
  g.b = gemm_matrix(weight.data, weight.stride[1], weight.stride[0]);
  g.c = gemm_matrix(y.data, g.n, 1);
  g.wide_b = weight.dtype != x.dtype;
  g.wide_c = y.dtype != x.dtype;
  if (has(call, 2)) g.bias = gemm_matrix(in(call, 2).data, 0, in(call, 2).stride[0]);
  return g;
}

GemmArgs linear_act_args(const gp_call *call) {
  GemmArgs g = linear_args(call);
  const gp_view &pre = out(call, 1);
  g.activation = Attrs(call).choice();
  if (numel(pre) > 0) g.pre = gemm_matrix(pre.data, g.n, 1);
  return g;
}

size_t linear_workspace(const gp_call *call) { return gemm_workspace(linear_args(call)); }

int32_t linear(gp_context *, const gp_kernel *, const gp_call *call) {
  return gemm(linear_args(call), call->workspace, call->workspace_size);
}

size_t linear_act_workspace(const gp_call *call) { return gemm_workspace(linear_act_args(call)); }

int32_t linear_act(gp_context *, const gp_kernel *, const gp_call *call) {
  return gemm(linear_act_args(call), call->workspace, call->workspace_size);
}

constexpr uint64_t kWeightAndBias = 0b110;  // x arrives contiguous
constexpr uint32_t kMixed = GP_KERNEL_WIDENS_RESULT | GP_KERNEL_NARROWS;

}  // namespace

GP_ROWS(linear) = {
    {"linear", "x weight bias? -> y", kFloats, kMixed, kWeightAndBias, linear_workspace, linear},
    {"linear_act", "x weight bias? -> y | pre ; activation", kFloats, kMixed, kWeightAndBias, linear_act_workspace,
     linear_act},
    {},
};

}  // namespace gp::GP_ISA
