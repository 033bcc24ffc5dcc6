// The epilogue's activations: the functors of scalar.h, so that a fused activation has the bits of the separate op.
// A file of its own because simd/ and gemm/ each have a vector type.
#include "../simd/math.h"
#include "gemm.h"

namespace gp::GP_ISA {
namespace {

template <class F, class S>
GP_INLINE void apply(S *values, int64_t count) {
  using V = Compute<S>;
  for (int64_t i = 0; i < count; i += V::lanes) {
    V x;
    memcpy(&x.v, values + i, sizeof x.v);
    x = F::f(x);
    memcpy(values + i, &x.v, sizeof x.v);
  }
}

template <class S>
void apply_kind(int32_t kind, S *values, int64_t count) {
  switch (kind) {
    case kRelu:
      return apply<Relu>(values, count);
    case kGelu:
      return apply<Gelu>(values, count);
    case kGeluTanh:
      return apply<GeluTanh>(values, count);
    case kSilu:
      return apply<Silu>(values, count);
    default:
      return;
  }
}

}  // namespace

void activate(int32_t kind, float *values, int64_t count) { apply_kind(kind, values, count); }
void activate(int32_t kind, double *values, int64_t count) { apply_kind(kind, values, count); }

}  // namespace gp::GP_ISA
