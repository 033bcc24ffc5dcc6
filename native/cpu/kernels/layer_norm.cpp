// y = (x - mean) rstd · weight + bias over the last axes (Ba, Kiros & Hinton, 2016), and its gradients.
#include "norm.h"

namespace gp::GP_ISA {
namespace {

int32_t layer_norm(gp_context *, const gp_kernel *, const gp_call *call) {
  Attrs attrs(call);
  int64_t shape[2 * GP_MAX_DIMS];
  attrs.list(shape);
  const double eps = attrs.number();
  GP_FLOATS(in(call, 0).dtype, T, (norm_forward<true, T>(call, eps)));
  return GP_OK;
}

size_t layer_norm_backward_workspace(const gp_call *call) { return norm_workspace(in(call, 1), in(call, 3), 2); }

int32_t layer_norm_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  GP_FLOATS(in(call, 1).dtype, T, (norm_backward<true, T>(call)));
  return GP_OK;
}

}  // namespace

GP_ROWS(layer_norm) = {
    {"layer_norm", "x weight? bias? -> y | mean rstd ; normalizedShape eps", kFloats, 0, 0, nullptr, layer_norm},
    {"layer_norm_backward", "dy x weight? mean rstd -> dx dweight dbias ; normalizedShape wants", kFloats, 0, 0,
     layer_norm_backward_workspace, layer_norm_backward},
    {},
};

}  // namespace gp::GP_ISA
