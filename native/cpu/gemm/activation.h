// Activations for the epilogue, in place.
#pragma once
#include <stdint.h>

namespace gp::GP_ISA {

// kind: Activation. count: a multiple of the vector length.
void activate(int32_t kind, float *values, int64_t count);
void activate(int32_t kind, double *values, int64_t count);

}  // namespace gp::GP_ISA
