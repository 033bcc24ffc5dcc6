// y = x rstd · weight, rstd = 1 / sqrt(mean(x²) + eps), over the last axes (Zhang & Sennrich, 2019), and its gradients.
#include "norm.h"

namespace gp::GP_ISA {
namespace {

int32_t rms_norm(gp_context *, const gp_kernel *, const gp_call *call) {
  Attrs attrs(call);
  int64_t shape[2 * GP_MAX_DIMS];
  attrs.list(shape);
  const double eps = attrs.number();
  GP_FLOATS(in(call, 0).dtype, T, (norm_forward<false, T>(call, eps)));
  return GP_OK;
}

size_t rms_norm_backward_workspace(const gp_call *call) { return norm_workspace(in(call, 1), in(call, 3), 1); }

int32_t rms_norm_backward(gp_context *, const gp_kernel *, const gp_call *call) {
  GP_FLOATS(in(call, 1).dtype, T, (norm_backward<false, T>(call)));
  return GP_OK;
}

}  // namespace

GP_ROWS(rms_norm) = {
    {"rms_norm", "x weight? -> y | rstd ; normalizedShape eps", kFloats, 0, 0, nullptr, rms_norm},
    {"rms_norm_backward", "dy x weight? rstd -> dx dweight ; normalizedShape wants", kFloats, 0, 0,
     rms_norm_backward_workspace, rms_norm_backward},
    {},
};

}  // namespace gp::GP_ISA
